// The server's side of the page. Addresses are relative, so that the page may stand under any path.

const ROOT = "api/v1/";

// What went wrong, with a sentence for the person and, where the server gave one, its problem type.
export class Problem extends Error {
  constructor(message, { type = "", status = 0, retryAfter = 0 } = {}) {
    super(message);
    this.type = type;
    this.status = status;
    this.retryAfter = retryAfter;
  }

  get photoGone() {
    return ["photo-gone", "version-gone", "job-gone"].includes(this.type);
  }

  get offline() {
    return this.type === "offline";
  }
}

const OFFLINE = "The server does not answer. See whether `inpaintkit serve` still runs, start it again, then press Try again.";
const TOKEN = "The server wants its token. Open the address that ends in ?token=… and that `inpaintkit serve` printed.";

function offline() {
  return new Problem(OFFLINE, { type: "offline" });
}

function problemOf(status, text, retryAfter) {
  let told = {};
  try {
    told = JSON.parse(text);
  } catch {
    // not from our server: the status must do
  }
  if (status === 401) return new Problem(TOKEN, { type: told.type || "", status });
  const detail = typeof told.detail === "string" ? told.detail : "";
  const message = detail || told.title || `The server answered ${status} without a reason. Try again, or restart it.`;
  return new Problem(message, { type: told.type || "", status, retryAfter });
}

async function call(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch {
    throw offline();
  }
  if (response.ok) return response;
  throw problemOf(response.status, await response.text(), Number(response.headers.get("Retry-After")) || 0);
}

function form(fields) {
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined || value === null || value === "") continue;
    if (value instanceof Blob) body.append(name, value, value.name ?? `${name}.png`);
    else body.append(name, String(value));
  }
  return body;
}

export async function models() {
  return (await call(`${ROOT}models`)).json();
}

// Sends a photo. `progress` hears what share is on its way; fetch cannot say.
export function sendPhoto(file, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${ROOT}photos`);
    request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    request.onerror = () => reject(offline());
    request.onload = () => {
      if (request.status < 300) resolve(JSON.parse(request.responseText));
      else reject(problemOf(request.status, request.responseText, Number(request.getResponseHeader("Retry-After")) || 0));
    };
    request.send(form({ photo: file }));
  });
}

export function dropPhoto(photo) {
  fetch(`${ROOT}photos/${photo}`, { method: "DELETE", credentials: "same-origin", keepalive: true }).catch(() => {});
}

const version = (photo, number, what) => `${ROOT}photos/${photo}/versions/${number}/${what}`;

function windowOf(response) {
  const [top, left, height, width] = (response.headers.get("X-Window") ?? "").split(",").map(Number);
  return { top, left, height, width };
}

// The photo as the server shows it, for formats that the browser cannot decode.
export async function view(photo, number) {
  return (await call(version(photo, number, "view"))).blob();
}

// What a fill changed, as PNG: transparent where it changed nothing.
export async function patch(photo, number) {
  return (await call(version(photo, number, "patch"))).blob();
}

// Puts a fill back that the server has forgotten; the number of the version it becomes.
export async function sendPatch(photo, number, blob, window) {
  const fields = { patch: blob, top: window.top, left: window.left, version: number };
  return (await (await call(`${ROOT}photos/${photo}/patches`, { method: "POST", body: form(fields) })).json()).version;
}

// The mask of what a rough outline or box goes round.
export async function select(photo, request) {
  const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(request) };
  const response = await call(`${ROOT}photos/${photo}/select`, options);
  return { blob: await response.blob(), window: windowOf(response) };
}

// The finished photo as a file, in its own format and with its metadata unless `format` says otherwise.
export async function file(photo, number, { format, quality } = {}) {
  const query = new URLSearchParams();
  if (format && format !== "keep") query.set("format", format);
  if (quality) query.set("quality", quality);
  const response = await call(version(photo, number, `file${query.size ? `?${query}` : ""}`));
  const header = response.headers.get("Content-Disposition") ?? "";
  const encoded = /filename\*=UTF-8''([^;]+)/i.exec(header);
  const plain = /filename="?([^";]+)"?/i.exec(header);
  return { blob: await response.blob(), name: encoded ? decodeURIComponent(encoded[1]) : (plain?.[1] ?? "") };
}

export async function startFill(photo, fields) {
  const response = await call(`${ROOT}photos/${photo}/fills`, { method: "POST", body: form(fields) });
  return response.json();
}

export function cancelJob(job) {
  return call(`${ROOT}jobs/${job}`, { method: "DELETE" }).catch(() => {});
}

// The end of a job: what its `done` event says. A Problem where it failed; `type` "cancelled" where it was cancelled.
export function follow(job, progress) {
  return new Promise((resolve, reject) => {
    const source = new EventSource(`${ROOT}jobs/${job}/events`);
    const close = (settle, value) => {
      source.close();
      settle(value);
    };
    const cancelled = () => new Problem("Cancelled.", { type: "cancelled" });
    source.addEventListener("progress", (event) => progress(JSON.parse(event.data).share ?? 0));
    source.addEventListener("done", (event) => close(resolve, JSON.parse(event.data)));
    source.addEventListener("cancelled", () => close(reject, cancelled()));
    source.addEventListener("failed", (event) => {
      const { problem } = JSON.parse(event.data);
      close(reject, problemOf(problem.status, JSON.stringify(problem), 0));
    });
    source.onerror = async () => {
      source.close(); // no reconnecting: ask once how the job stands
      try {
        for (;;) {
          const state = await (await call(`${ROOT}jobs/${job}`)).json();
          if (state.status === "done") return resolve({ ...state, ...state.done });
          if (state.status === "cancelled") return reject(cancelled());
          if (state.status === "failed") return reject(problemOf(state.problem.status, JSON.stringify(state.problem), 0));
          progress(state.share ?? 0);
          await new Promise((wake) => setTimeout(wake, 300));
        }
      } catch (error) {
        reject(error); // a restarted server knows neither the job nor the photo: the caller begins anew
      }
    };
  });
}
