// The page: what is open, what was chosen, and which action does what.

import * as api from "./api.js";
import { Stage } from "./canvas.js";
import { History } from "./history.js";
import { actionOf, fillHelp, MAC, typing } from "./keys.js";
import { encodePng, Mask, readMarked } from "./mask.js";
import { $, drawFills, drawModels, drawStrip, drawTools, markTool, thumbnail } from "./panel.js";
import { Photo } from "./photos.js";
import { Pointer, TOOLS } from "./tools.js";

const MOST_DECODED = 3; // photos whose pixels are kept while another is shown
const MOST_VARIANT = 63; // of a fill, as the server takes it

const settings = {
  fraction: 0.07, // the brush's size as a share of the photo's shorter side
  onRelease: false,
  theme: "auto",
  model: "",
  grow: 0,
  detail: "auto",
  grain: "auto",
  pressure: true,
  ...remembered(),
};
const state = {
  photos: [],
  current: null,
  tool: "brush",
  adding: true,
  boxed: false,
  space: false,
  waitingFill: false, // a stroke was drawn with Ctrl or Cmd held: it is filled when the key is let go
  outline: null, // what the smart lasso is asking about
  models: [],
  limits: {},
  recent: [],
};

function remembered() {
  try {
    return JSON.parse(localStorage.getItem("inpaintkit")) ?? {};
  } catch {
    return {};
  }
}

function remember() {
  try {
    localStorage.setItem("inpaintkit", JSON.stringify(settings));
  } catch {
    // a browser that keeps nothing works too
  }
}

const stage = new Stage(
  $("stage"),
  { photo: $("photoLayer"), mask: $("maskLayer"), outline: $("outlineLayer") },
  { outline: (context, where) => pointer.draw(context, where), moved: showZoom },
);

const brushSize = () => {
  const photo = state.current;
  return photo ? Math.max(1, Math.round(settings.fraction * Math.min(photo.width, photo.height))) : 40;
};

const pointer = new Pointer(stage, $("outlineLayer"), {
  photo: () => stage.photo,
  tool: () => (state.tool === "pan" ? "brush" : state.tool),
  size: brushSize,
  adding: () => state.adding,
  boxed: () => state.boxed,
  pressure: () => settings.pressure,
  locked: () => stage.compare !== null || state.tool === "pan",
  panning: () => state.space,
  waiting: () => state.outline,
  resized: (factor) => resize(factor),
  told: say,
  select,
  changed(step, label, event) {
    const photo = state.current;
    record(photo, step, label);
    refresh();
    if (!settings.onRelease || label === TOOLS.eraser.label || (state.tool !== "brush" && !state.adding)) return;
    if (event.ctrlKey || event.metaKey) state.waitingFill = true;
    else fill(photo);
  },
});

// Telling

function say(text) {
  $("status").textContent = "";
  requestAnimationFrame(() => ($("status").textContent = text));
}

// A message where the person looks; `act` is [words, function] for what helps.
function notice(text, { act = null, calm = false, lasts = 0 } = {}) {
  const box = $("notice");
  if (state.current) $("dock").prepend(box);
  else $("welcome").append(box);
  box.classList.toggle("calm", calm);
  $("noticeText").textContent = text;
  const button = $("noticeAct");
  button.hidden = !act;
  if (act) {
    button.textContent = act[0];
    button.onclick = () => {
      quiet();
      act[1]();
    };
  }
  box.hidden = false;
  clearTimeout(notice.timer);
  if (lasts) notice.timer = setTimeout(quiet, lasts);
}

// What is good to know, and goes by itself.
const hint = (text) => notice(text, { calm: true, lasts: 7000 });

function quiet() {
  $("notice").hidden = true;
  clearTimeout(notice.timer);
}

const sentence = (text) => {
  const whole = text.trim();
  if (/^\S*\.\S/.test(whole)) return whole + (/[.!?…)]$/.test(whole) ? "" : "."); // begins with a file's name
  return whole.charAt(0).toUpperCase() + whole.slice(1) + (/[.!?…)]$/.test(whole) ? "" : ".");
};

function failed(error, again) {
  if (!(error instanceof api.Problem)) console.error(error);
  const text = error instanceof api.Problem ? error.message : "Something in this page went wrong. Try again, or reload the page.";
  const mayHelp = error.offline || !error.status || error.status >= 500 || [401, 408, 429].includes(error.status);
  notice(sentence(text), { act: again && mayHelp ? ["Try again", again] : null });
}

// Opening

function openFiles(files) {
  const added = [];
  for (const file of files) {
    const limit = state.limits.max_bytes;
    if (limit && file.size > limit) {
      const sizes = `${file.name} has ${megabytes(file.size)}, this server takes ${megabytes(limit)}`;
      notice(`${sizes}: save the photo smaller, or start the server with a larger --max-bytes.`);
      continue;
    }
    const photo = new Photo(file);
    state.photos.push(photo);
    added.push(photo);
  }
  if (!added.length) return;
  quiet();
  activate(added[0]);
  drawThumbs(added.slice(1));
}

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;

// Small pictures for the strip, one after the other so that many large photos do not fill the memory.
async function drawThumbs(photos) {
  for (const photo of photos) {
    if (photo.thumb || photo.gone) continue;
    const bitmap = await createImageBitmap(photo.file).catch(() => null);
    if (!bitmap) continue;
    photo.thumb = thumbnail(bitmap);
    bitmap.close();
    refresh();
  }
}

async function activate(photo) {
  if (state.current === photo && photo.bitmap) return;
  pointer.cancel();
  setCompare(null);
  state.current = photo;
  if (!photo.problem) quiet();
  stage.show(null);
  busy("Opening…");
  refresh();
  try {
    await photo.open();
  } catch (error) {
    photo.problem = error;
    busy(null);
    if (!photo.ready) remove(photo);
    refresh();
    const told = error instanceof api.Problem ? error.message : "it is no photo that this page can open";
    const text = error.offline ? told : told.includes(photo.name) ? told : `${photo.name}: ${told}`;
    notice(sentence(text), error.offline ? { act: ["Try again", () => openFiles([photo.file])] } : {});
    return;
  }
  if (state.current !== photo) return;
  busy(null);
  photo.thumb ??= thumbnail(photo.bitmap);
  $("dockRow").hidden = false;
  measureDock();
  stage.show(photo);
  stage.maskChanged();
  keepFew(photo);
  refresh();
  say(`${photo.name} is open, ${photo.width} by ${photo.height} pixels.`);
  if (photo.failed) failed(photo.failed, () => fill(photo));
  photo.failed = null;
  photo.makeLevels().then(() => stage.photoChanged());
  sendOpened(photo);
}

async function sendOpened(photo) {
  try {
    await photo.send(() => refreshUpload(photo));
    const { facts } = photo;
    await corrected(photo);
    if (facts.has_alpha) stage.photoChanged();
    if (facts.notes?.length && state.current === photo) hint(sentence(facts.notes.join("; ")));
    refresh();
  } catch (error) {
    if (state.current !== photo) return;
    failed(error, () => {
      if (!photo.bitmap) return activate(photo);
      quiet();
      return sendOpened(photo);
    });
  }
}

// Opens a photo that the server has anew if this browser shows it otherwise.
async function corrected(photo) {
  if (photo.misread) photo.reopening ??= reopen(photo).finally(() => (photo.reopening = null));
  await photo.reopening;
}

// The browser and the server see it otherwise (an orientation that only one of them knows): the server is right.
async function reopen(photo) {
  const shown = state.current === photo;
  const marked = !photo.mask.empty;
  photo.job = null; // it has not begun: sentAsShown() ends it
  photo.more = false;
  if (shown) {
    pointer.cancel();
    setCompare(null);
    stage.show(null);
    busy("Opening…");
  }
  photo.close();
  photo.mask = null;
  photo.view = null;
  photo.history = new History();
  photo.fills = [];
  photo.current = photo.saved = null;
  photo.thumb = null;
  photo.width = photo.facts.width;
  photo.height = photo.facts.height;
  refresh();
  try {
    await photo.open();
  } finally {
    if (state.current === photo) busy(null);
  }
  photo.thumb = thumbnail(photo.bitmap);
  if (state.current === photo) {
    stage.show(photo);
    stage.maskChanged();
    if (marked) hint(markAgain(photo));
  } else photo.close();
  refresh();
  photo.makeLevels().then(() => stage.photoChanged());
}

const markAgain = (photo) => `${photo.name} lies otherwise than it was shown at first. Mark again what should go.`;

// The server has the photo and sees it as it was shown when `mask` was drawn; a Problem where not.
async function sentAsShown(photo, mask = photo.mask) {
  await photo.send();
  await corrected(photo);
  if (photo.mask !== mask) throw new api.Problem(markAgain(photo), { status: 409 });
}

// Pixels of photos that were not looked at lately are let go; the files remain.
function keepFew(photo) {
  state.recent = [photo, ...state.recent.filter((other) => other !== photo && !other.gone)];
  for (const old of state.recent.splice(MOST_DECODED)) old.close();
}

function remove(photo) {
  const index = state.photos.indexOf(photo);
  if (index < 0) return;
  if (photo.job) cancel(photo);
  photo.forget();
  state.photos.splice(index, 1);
  state.recent = state.recent.filter((other) => other !== photo);
  if (state.current !== photo) return refresh();
  state.current = null;
  stage.show(null);
  const next = state.photos[index] ?? state.photos[index - 1];
  if (next) activate(next);
  else {
    $("dockRow").hidden = true;
    refresh();
  }
}

function close(photo) {
  if (photo.dirty && !confirm(`Close ${photo.name}? What was filled in it is not saved.`)) return;
  remove(photo);
}

function busy(text) {
  $("busy").hidden = !text;
  if (text) $("busyText").textContent = text;
}

function refreshUpload(photo) {
  if (photo === state.current) refresh();
}

// Steps

function record(photo, step, label) {
  photo.history.push({
    label,
    bytes: step.bytes,
    undo: () => photo.mask.apply(step.before),
    redo: () => photo.mask.apply(step.after),
  });
}

// A stroke under way becomes a step of its own before anything else changes the mask.
function settle(photo) {
  if (pointer.draft?.sized && pointer.draft.photo === photo) pointer.finish({});
}

// Changes the mask of the photo on the stage as one step.
function changeMask(label, act) {
  const photo = state.current;
  if (!photo?.ready) return;
  settle(photo);
  photo.mask.begin();
  act(photo.mask, photo);
  const step = photo.mask.end();
  stage.maskChanged();
  if (step) record(photo, step, label);
  refresh();
  say(step ? `${label}: ${maskFacts(photo)}` : `${label}: nothing changed`);
}

function show(photo, fill) {
  photo.current = fill;
  const path = new Set(photo.path());
  for (const other of photo.fills) if (!path.has(other)) other.shown = null;
  if (photo === state.current) stage.photoChanged();
}

function go(photo, fill) {
  if (fill === photo.current) return;
  if (photo.job) cancel(photo);
  const before = photo.current;
  photo.history.push({ label: "Go to a fill", bytes: 0, undo: () => show(photo, before), redo: () => show(photo, fill) });
  show(photo, fill);
  refresh();
}

function walk(direction) {
  const photo = state.current;
  if (!photo?.ready) return;
  if (pointer.cancel()) return refresh();
  if (photo.job && direction === "undo") return cancel(photo);
  if (photo.job) return;
  const label = photo.history[direction]();
  quiet();
  stage.maskChanged();
  refresh();
  if (label) say(`${direction === "undo" ? "Undone" : "Done again"}: ${label}`);
}

// Filling

const options = () => ({ model: settings.model, grow: settings.grow, detail: settings.detail, grain: settings.grain });

// Fills what is marked, or the hole of the fill `again` in another way; true where that was done. `tell` hears why not;
// without it the person does.
async function fill(photo, again = null, tell = null) {
  if (!photo?.ready || photo.gone) return false;
  if (photo.job) {
    photo.more = true;
    return false;
  }
  const mask = again ? new Mask(photo.width, photo.height) : photo.mask;
  if (again) mask.apply(again.mask);
  const window = mask.bounds();
  if (!window) {
    if (photo === state.current) hint("Nothing is marked. Paint over what should go, then fill.");
    return false;
  }
  quiet();
  photo.failed = null;
  const drawn = photo.mask;
  const snapshot = mask.snapshot();
  const job = (photo.job = {
    share: 0,
    cancelled: false,
    progress(share) {
      job.share = share;
      refreshJob();
    },
    waiting: () => hint("The server is busy with other fills. Yours is sent again in a moment."),
  });
  const parent = again ? again.parent : photo.current;
  const wanted = options();
  const alike = (other) => other.parent === parent && other.mask === again.mask && other.model === wanted.model;
  const tries = again ? Math.min(MOST_VARIANT, photo.fills.filter(alike).length) : 0;
  refresh();
  let made;
  try {
    const blob = await encodePng(mask.window(window), window.width, window.height);
    await sentAsShown(photo, drawn);
    made = await photo.fill({ blob, window, snapshot: again ? again.mask : snapshot }, parent, wanted, tries, job);
  } catch (error) {
    if (photo.job === job) {
      photo.job = null;
      photo.more = false;
    }
    const stopped = job.cancelled || error.type === "cancelled";
    if (!stopped && photo !== state.current) photo.failed = error;
    refresh();
    if (stopped) return false;
    if (tell) tell(error);
    else if (photo === state.current) failed(error, () => fill(photo, again));
    return false;
  }
  if (job.cancelled) {
    photo.fills = photo.fills.filter((other) => other !== made);
    refresh();
    return false;
  }
  photo.job = null;
  land(photo, made, again ? null : snapshot);
  const text = `Filled in ${made.seconds.toFixed(1)} seconds`;
  say(made.notes.length ? `${text}. ${made.notes.join(". ")}` : text);
  if (made.notes.length && photo === state.current) hint(sentence(made.notes.join("; ")));
  if (photo.more) {
    photo.more = false;
    if (!photo.mask.empty) return fill(photo, null, tell);
  }
  return true;
}

// A fill has come: it is shown, and what it filled is taken off the mask, as one step.
function land(photo, made, filled) {
  const before = photo.current;
  let step = null;
  if (filled) {
    settle(photo);
    photo.mask.begin();
    photo.mask.subtract(filled);
    step = photo.mask.end();
  }
  photo.history.push({
    label: filled ? "Fill" : "Another fill",
    bytes: (step?.bytes ?? 0) + 5 * made.window.width * made.window.height,
    undo() {
      if (step) photo.mask.apply(step.before);
      show(photo, before);
    },
    redo() {
      if (step) photo.mask.apply(step.after);
      show(photo, made);
    },
  });
  show(photo, made);
  if (photo === state.current) stage.maskChanged();
  refresh();
}

function cancel(photo) {
  const job = photo.job;
  if (!job) return;
  job.cancelled = true;
  photo.job = null;
  photo.more = false;
  if (job.name) api.cancelJob(job.name);
  refresh();
  say("Cancelled. The mask is as it was.");
}

async function fillAll() {
  const marked = state.photos.filter((photo) => photo.ready && !photo.mask.empty && !photo.job);
  if (!marked.length) return hint("No photo has a mask. Paint over what should go in each, or use one mask for all.");
  const missed = [];
  let filled = 0;
  let why = null; // of the first that failed
  let stopped = false;
  for (const photo of marked) {
    if (photo.gone || photo.job || !photo.ready || photo.mask.empty) continue;
    let problem = null;
    if (!stopped && (await fill(photo, null, (error) => (problem = error)))) {
      filled += 1;
      continue;
    }
    if (photo.gone) continue;
    missed.push(photo.name);
    if (problem && !(problem instanceof api.Problem)) console.error(problem);
    why ??= problem;
    if (!problem || problem.offline) stopped = true; // without a problem it was cancelled
  }
  const all = filled + missed.length;
  const count = missed.length ? `${filled} of ${photos(all)} filled` : `${photos(filled)} filled`;
  say(count);
  if (!missed.length) return;
  const reason = why instanceof api.Problem ? ` ${sentence(why.message)}` : why ? " Something in this page went wrong." : "";
  notice(`${count}. Left as they were: ${few(missed)}.${reason}`, { act: ["Try again", fillAll], calm: !why });
}

const photos = (count) => (count === 1 ? "1 photo" : `${count} photos`);

// Some of many names.
const few = (names) => names.slice(0, 3).join(", ") + (names.length > 3 ? ", …" : "");

// The mask of this photo for all photos of its size; the others are opened for their size first.
async function maskToAll() {
  const from = state.current;
  const tiles = from.mask.snapshot();
  let taken = 0;
  const others = [];
  const unopened = [];
  for (const photo of state.photos) {
    if (photo === from) continue;
    try {
      busy(`Opening ${photo.name}…`);
      if (!(await photo.isJpeg())) {
        await photo.send(); // only the server knows how it lies
        await corrected(photo);
      }
      if (!photo.ready) {
        await photo.open();
        photo.thumb = thumbnail(photo.bitmap);
        if (photo !== state.current) photo.close();
      }
    } catch {
      unopened.push(photo.name);
      continue;
    }
    if (photo.width !== from.width || photo.height !== from.height) {
      others.push(photo.name);
      continue;
    }
    photo.mask.begin();
    photo.mask.add(tiles);
    const step = photo.mask.end();
    if (step) record(photo, step, "Mask of another photo");
    taken += 1;
  }
  busy(null);
  refresh();
  const left = others.length ? ` ${others.length} of another size were left: ${few(others)}.` : "";
  const shut = unopened.length ? ` ${unopened.length} could not be opened: ${few(unopened)}.` : "";
  notice(`The mask is on ${photos(taken + 1)} now.${left}${shut}`, { act: taken ? ["Fill all", fillAll] : null, calm: true });
}

async function select(request, draft) {
  const photo = draft.photo;
  const points = draft.box
    ? [draft.first, { x: draft.last.x, y: draft.first.y }, draft.last, { x: draft.first.x, y: draft.last.y }]
    : draft.points;
  if (request.box && (request.box[2] < 2 || request.box[3] < 2)) return;
  if (request.outline && request.outline.length < 3) return;
  state.outline = points;
  $("stage").classList.add("filling");
  stage.outlineChanged();
  // What stays of an object's soft edge would show in the fill, so the mask goes a little beyond it.
  const grow = Math.max(2, Math.round(0.004 * Math.min(photo.width, photo.height)));
  try {
    await sentAsShown(photo);
    const found = await photo.withServer((name, version) => api.select(name, { version, ...request, grow }));
    const bitmap = await createImageBitmap(found.blob);
    const data = readMarked(bitmap);
    const { top, left } = found.window;
    const window = { top, left, width: bitmap.width, height: bitmap.height };
    settle(photo);
    photo.mask.begin();
    if (draft.add) photo.mask.put(window, data);
    else {
      const kept = photo.mask.window(window);
      for (let i = 0; i < kept.length; i++) if (data[i]) kept[i] = 0;
      photo.mask.put(window, kept, true);
    }
    const step = photo.mask.end();
    if (step) {
      record(photo, step, TOOLS.smart.label);
      say(`Smart lasso: ${maskFacts(photo)}`);
      if (settings.onRelease && draft.add) fill(photo);
    } else hint("Nothing stood out there. Draw the outline closer round the object, or use the lasso.");
  } catch (error) {
    failed(error, () => select(request, draft));
  }
  state.outline = null;
  stage.maskChanged();
  stage.outlineChanged();
  refresh();
}

// Mask files

async function loadMask(file) {
  const photo = state.current;
  if (!photo?.ready || !file) return;
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) return notice(`${file.name} is no picture that this browser can open. Save the mask as PNG and load it again.`);
  const { width, height } = bitmap;
  if (width !== photo.width || height !== photo.height) {
    bitmap.close();
    const sizes = `${file.name} has ${width} × ${height} pixels, the photo has ${photo.width} × ${photo.height}`;
    notice(`${sizes}. Save the mask in the photo's size and load it again.`);
    return;
  }
  const data = readMarked(bitmap);
  bitmap.close();
  if (data.indexOf(1) < 0) {
    notice(`${file.name} has no white in it. White is what is to be filled: invert the mask and load it again.`);
    return;
  }
  quiet();
  changeMask("Load mask", (mask) => mask.put({ left: 0, top: 0, width, height }, data));
}

async function saveMask() {
  const photo = state.current;
  if (!photo?.ready) return;
  const { width, height } = photo;
  const blob = await encodePng(photo.mask.window({ left: 0, top: 0, width, height }), width, height);
  download(blob, `${stem(photo.name)}-mask.png`);
}

const stem = (name) => name.replace(/\.[^.]*$/, "");

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// Results

// Writes the photo in its own format, or as `wish` says: {format, quality}.
async function save(photo = state.current, wish = {}) {
  if (!photo?.ready) return;
  const shown = photo.current;
  try {
    const { blob, name } = await photo.withServer((id, version) => api.file(id, version, wish), shown);
    download(blob, name || photo.name);
    photo.saved = shown;
    say(`Saved ${name || photo.name}`);
  } catch (error) {
    failed(error, () => save(photo, wish));
  }
}

async function saveAll() {
  const filled = state.photos.filter((photo) => photo.current);
  if (!filled.length) return hint("No photo has been filled yet.");
  for (const photo of filled) await save(photo);
}

async function copy() {
  const photo = state.current;
  if (!photo?.ready) return;
  if (!navigator.clipboard?.write || !window.ClipboardItem) {
    return notice("This browser copies pictures only from a page on this computer or over https. Save the photo instead.");
  }
  const png = photo.withServer((id, version) => api.file(id, version, { format: "png" })).then(({ blob }) => blob);
  try {
    await navigator.clipboard.write([new ClipboardItem({ "image/png": png })]);
    notice("Copied at full size.", { calm: true, lasts: 3000 });
  } catch (error) {
    if (error instanceof api.Problem) failed(error, copy);
    else {
      const told = await png.then(() => null, (problem) => problem);
      if (told) failed(told, copy);
      else notice("The browser did not allow copying. Allow the clipboard for this page, or save the photo instead.");
    }
  }
}

// Looking

let holding = 0; // the timer of a long press on the button, -1 while it is one

function setCompare(value) {
  stage.compare = value;
  const sliding = typeof value === "number";
  $("divider").hidden = !sliding;
  $("before").hidden = value === null;
  $("before").textContent = value === "original" ? "Original" : "Before";
  $("after").hidden = !sliding;
  $("compare").setAttribute("aria-pressed", String(sliding));
  $("outlineLayer").classList.toggle("grab", value !== null || state.tool === "pan" || state.space);
  if (sliding) {
    $("divider").style.left = `${100 * value}%`;
    $("divider").setAttribute("aria-valuenow", String(Math.round(100 * value)));
    $("divider").setAttribute("aria-valuetext", `${Math.round(100 * value)} % before, ${Math.round(100 * (1 - value))} % after`);
  }
  stage.photoChanged();
  stage.maskChanged();
  stage.outlineChanged();
}

function toggleCompare() {
  if (!stage.photo || holding === -1) return;
  const on = typeof stage.compare !== "number";
  setCompare(on ? 0.5 : null);
  if (on) $("divider").focus({ preventScroll: true });
  refresh();
}

function showZoom() {
  $("zoomLevel").textContent = stage.view ? `${Math.round(100 * stage.view.scale * stage.dpr)} %` : "";
}

// What the dock covers of the stage: the photo is fitted into the rest.
function measureDock() {
  const over = getComputedStyle($("dock")).gridRowStart === getComputedStyle($("stage")).gridRowStart;
  stage.reserved = !$("dockRow").hidden && over ? $("dockRow").offsetHeight + 22 : 0;
}

// Settings

function resize(factor) {
  const now = brushSize();
  const least = factor > 1 ? now + 1 : now - 1;
  const wanted = factor > 1 ? Math.max(least, now * factor) : Math.min(least, now * factor);
  setSize(wanted);
}

const largest = () => (state.current ? Math.min(state.current.width, state.current.height) : 1000);

function setSize(pixels) {
  const side = largest();
  settings.fraction = Math.max(1, Math.min(side, pixels)) / side;
  remember();
  showSize();
  stage.outlineChanged();
}

// The slider is logarithmic: as fine at 3 pixels as at 300.
function showSize() {
  const size = brushSize();
  $("size").value = String(Math.round((1000 * Math.log(size)) / Math.log(Math.max(2, largest()))));
  $("size").setAttribute("aria-valuetext", `${size} pixels`);
  $("sizeText").textContent = `${size} px`;
}

function setTool(tool) {
  if (stage.compare !== null) setCompare(null);
  pointer.cancel();
  state.tool = tool;
  markTool($("tools"), tool);
  const sized = TOOLS[tool]?.sized ?? false;
  $("sizeRow").hidden = !sized;
  $("ways").hidden = sized || tool === "pan";
  $("shapes").hidden = tool !== "smart";
  $("outlineLayer").classList.toggle("grab", tool === "pan");
  stage.outlineChanged();
}

function setTheme(theme) {
  settings.theme = theme;
  remember();
  document.documentElement.dataset.theme = theme;
  $("themeIcon").setAttribute("href", `#i-${theme}`);
  const words = { auto: "as the system", light: "light", dark: "dark" }[theme];
  for (const id of ["theme", "theme2"]) $(id).setAttribute("aria-label", `Colours: ${words}`);
  $("theme").title = `Colours: ${words}`;
  $("theme2").textContent = `Colours: ${words}`;
}

function nextTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const order = dark ? ["auto", "light", "dark"] : ["auto", "dark", "light"];
  setTheme(order[(order.indexOf(settings.theme) + 1) % 3]);
}

function showModel() {
  const model = state.models.find(({ name }) => name === settings.model);
  $("about").textContent = model?.about ?? "";
  $("terms").textContent = model?.terms ? `Terms: ${model.terms}` : "";
}

// What the state looks like

function maskFacts(photo) {
  const count = photo.mask.count();
  if (!count) return "empty";
  const share = (100 * count) / (photo.width * photo.height);
  return `${count.toLocaleString("en")} px, ${share < 0.1 ? "< 0.1" : share.toFixed(1)} %`;
}

function refresh() {
  const photo = state.current;
  const ready = Boolean(photo?.ready);
  const working = Boolean(photo?.job);
  $("stage").classList.toggle("empty", !ready);
  $("stage").classList.toggle("filling", working || Boolean(state.outline));
  $("welcome").hidden = Boolean(photo);
  $("zoom").hidden = !ready;
  $("name").textContent = photo ? photo.name : "Erase something from a photo";
  const parts = [];
  if (ready) parts.push(`${photo.width} × ${photo.height}`);
  if (photo?.remote && photo.remote.facts.bits > 8) parts.push(`${photo.remote.facts.bits} bits`);
  if (photo && !photo.remote && photo.share > 0 && photo.share < 1) parts.push(`sending ${Math.round(100 * photo.share)} %`);
  $("facts").textContent = parts.join(" · ");
  $("stage").setAttribute("aria-label", ready ? `${photo.name}, mask ${maskFacts(photo)}` : "No photo is open");
  document.title = photo ? `${photo.name} · inpaintkit` : "inpaintkit";
  $("undo").disabled = !(photo?.history.canUndo || working);
  $("redo").disabled = !photo?.history.canRedo || working;
  for (const id of ["copy", "copy2", "save", "saveAs"]) $(id).disabled = !ready;
  $("compare").disabled = !photo?.current && typeof stage.compare !== "number";
  for (const id of ["grow", "invert", "loadMask"]) $(id).disabled = !ready;
  const marked = ready && !photo.mask.empty;
  for (const id of ["shrink", "grow", "clear", "saveMask"]) $(id).disabled = !marked;
  $("maskFacts").textContent = marked ? maskFacts(photo) : "";
  $("maskToAll").hidden = !marked || state.photos.length < 2;
  if (ready) {
    const step = maskStep();
    $("grow").title = `Grow by ${step} px (.)`;
    $("shrink").title = `Shrink by ${step} px (,)`;
  }
  $("fill").disabled = !working && !marked;
  $("fill").classList.toggle("accent", !working);
  $("fillText").textContent = working ? "Cancel" : "Fill";
  $("another").hidden = !photo?.current || working || marked;
  refreshJob();
  showSize();
  drawFills($("fills"), ready ? photo : null, (fillTo) => go(photo, fillTo));
  $("strip").hidden = state.photos.length < 2;
  if (state.photos.length > 1) drawStrip($("photos"), state.photos, photo, { choose: activate, drop: close });
}

function refreshJob() {
  const job = state.current?.job;
  const bar = $("progress");
  bar.hidden = !job;
  if (!job) return;
  if (job.share > 0) bar.value = job.share;
  else bar.removeAttribute("value");
}

const maskStep = () => Math.max(1, Math.round(0.004 * Math.min(state.current.width, state.current.height)));

// Actions: what buttons and keys do

const actions = {
  open: () => $("files").click(),
  undo: () => walk("undo"),
  redo: () => walk("redo"),
  compare: toggleCompare,
  copy,
  save: () => save(),
  help: () => ($("helpBox").open ? $("helpBox").close() : $("helpBox").showModal()),
  theme: nextTheme,
  fill: () => (state.current?.job ? cancel(state.current) : fill(state.current)),
  another: () => state.current?.current && !state.current.job && fill(state.current, state.current.current),
  grow: () => changeMask("Grow", (mask) => mask.grow(maskStep())),
  shrink: () => changeMask("Shrink", (mask) => mask.grow(-maskStep())),
  invert: () => changeMask("Invert", (mask) => mask.invert()),
  clear: () => changeMask("Clear", (mask) => mask.clear()),
  smaller: () => resize(1 / 1.15),
  larger: () => resize(1.15),
  zoomIn: () => stage.view && stage.zoomBy(1.25),
  zoomOut: () => stage.view && stage.zoomBy(0.8),
  fit: () => stage.fit(),
  actual() {
    if (!stage.view) return;
    const at = pointer.at ?? { x: stage.width / 2, y: stage.height / 2 };
    stage.zoomAt(at.x, at.y, 1 / stage.dpr);
  },
  reset() {
    if (pointer.cancel()) return refresh();
    if (panelOpen()) return togglePanel();
    if (state.current?.job) return cancel(state.current);
    if (stage.compare !== null) return toggleCompare();
    quiet();
    stage.fit();
  },
  loadMask: () => $("maskFile").click(),
  saveMask,
  maskToAll,
  fillAll,
  saveAll,
};
for (const tool of Object.keys(TOOLS)) actions[tool] = () => setTool(tool);

const panelOpen = () => $("panel").classList.contains("open");

function togglePanel() {
  const open = $("panel").classList.toggle("open");
  $("more").setAttribute("aria-expanded", String(open));
  (open ? $("sheetClose") : $("more")).focus();
}

const BUTTONS = {
  open: "open", choose: "open", undo: "undo", redo: "redo", compare: "compare", copy: "copy", copy2: "copy", save: "save",
  theme: "theme", theme2: "theme", help: "help", help2: "help", fill: "fill", another: "another", grow: "grow",
  shrink: "shrink", invert: "invert", clear: "clear", zoomIn: "zoomIn", zoomOut: "zoomOut", zoomLevel: "actual", fit: "fit",
  loadMask: "loadMask", saveMask: "saveMask", maskToAll: "maskToAll", fillAll: "fillAll", saveAll: "saveAll",
};
for (const [id, action] of Object.entries(BUTTONS)) $(id).addEventListener("click", () => actions[action]());
$("more").addEventListener("click", togglePanel);
$("sheetClose").addEventListener("click", togglePanel);
$("noticeClose").addEventListener("click", quiet);

for (const [id, act] of [["files", openFiles], ["maskFile", ([file]) => loadMask(file)]]) {
  $(id).addEventListener("change", () => {
    act([...$(id).files]);
    $(id).value = "";
  });
}

$("size").addEventListener("input", () => {
  setSize(Math.round(Math.exp((Math.log(Math.max(2, largest())) * $("size").value) / 1000)));
  pointer.preview();
});
$("ways").addEventListener("change", (event) => (state.adding = event.target.value === "add"));
$("shapes").addEventListener("change", (event) => (state.boxed = event.target.value === "box"));
$("onRelease").addEventListener("change", () => {
  settings.onRelease = $("onRelease").checked;
  remember();
});
$("optPressure").addEventListener("change", () => {
  settings.pressure = $("optPressure").checked;
  remember();
});
$("model").addEventListener("change", () => {
  settings.model = $("model").value;
  remember();
  showModel();
});
$("optGrow").addEventListener("change", () => {
  settings.grow = Math.max(0, Math.min(500, Math.round(Number($("optGrow").value) || 0)));
  $("optGrow").value = String(settings.grow);
  remember();
});
for (const [id, name] of [["optDetail", "detail"], ["optGrain", "grain"]]) {
  $(id).addEventListener("change", () => {
    settings[name] = $(id).value;
    remember();
  });
}

// Save menu

$("saveAs").addEventListener("click", () => {
  const menu = $("saveMenu");
  menu.togglePopover();
  if (!menu.matches(":popover-open")) return;
  const under = $("saveAs").getBoundingClientRect();
  menu.style.top = `${under.bottom + 6}px`;
  menu.style.left = `${Math.max(8, Math.min(innerWidth - menu.offsetWidth - 8, under.right - menu.offsetWidth))}px`;
  $("format").focus();
});
const lossy = () => {
  $("qualityRow").hidden = !["jpg", "webp"].includes($("format").value);
};
$("format").addEventListener("change", lossy);
$("quality").addEventListener("input", () => ($("qualityText").textContent = $("quality").value));
$("saveNow").addEventListener("click", () => {
  $("saveMenu").hidePopover();
  save(state.current, { format: $("format").value, quality: $("qualityRow").hidden ? undefined : $("quality").value });
});

// Divider of before and after

function slide(event) {
  const box = $("stage").getBoundingClientRect();
  setCompare(Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)));
}
$("divider").addEventListener("pointerdown", (event) => {
  $("divider").setPointerCapture(event.pointerId);
  $("divider").onpointermove = slide;
  event.stopPropagation();
});
for (const name of ["pointerup", "pointercancel"]) $("divider").addEventListener(name, () => ($("divider").onpointermove = null));
$("divider").addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -0.02, ArrowDown: -0.02, ArrowRight: 0.02, ArrowUp: 0.02, Home: -1, End: 1 }[event.key];
  if (!step) return;
  event.preventDefault();
  event.stopPropagation();
  setCompare(Math.max(0, Math.min(1, stage.compare + step)));
});

// Keyboard

let keyedTo = false; // the stage was reached by keyboard: then Tab moves the focus as everywhere
function keyed(on) {
  keyedTo = on;
  $("stage").classList.toggle("keyed", on);
}
$("stage").addEventListener("focus", () => keyed($("stage").matches(":focus-visible")));
$("stage").addEventListener("blur", () => $("stage").classList.remove("keyed"));
$("stage").addEventListener("pointerdown", () => {
  keyed(false);
  state.pointed = true;
});

// Tab shows the original only for a hand that works on the photo with the pointer; else it moves the focus.
const tabCompares = () => {
  const at = document.activeElement;
  return state.current?.current && state.pointed && !keyedTo && (at === document.body || at === $("stage"));
};

document.addEventListener("keydown", (event) => {
  if ($("helpBox").open) {
    if (["h", "?"].includes(event.key.toLowerCase())) $("helpBox").close();
    return;
  }
  if (typing(event.target) || $("saveMenu").matches(":popover-open")) return;
  if (event.key === "Tab" && !event.shiftKey && tabCompares()) {
    event.preventDefault();
    if (!event.repeat && stage.compare === null) setCompare("original");
    return;
  }
  if (event.key === "Tab") keyedTo = true;
  const onControl = event.target.closest?.("button, input, summary, a, [role=slider]");
  if (event.key === " " && !onControl) {
    event.preventDefault();
    if (!event.repeat) hold(true);
    return;
  }
  if (event.target === $("stage") && state.current?.ready) {
    const far = event.shiftKey ? 1 : 10;
    const move = { ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, -far], ArrowDown: [0, far] }[event.key];
    if (move && state.tool !== "pan" && stage.compare === null) {
      event.preventDefault();
      return pointer.nudge(...move, event);
    }
    if (move) {
      event.preventDefault();
      return stage.panBy(-4 * move[0], -4 * move[1]);
    }
    if (event.key === "Enter" && state.tool !== "pan" && stage.compare === null) {
      event.preventDefault();
      return event.repeat ? undefined : pointer.press(event);
    }
  }
  if (onControl && ["Enter", " "].includes(event.key)) return;
  const action = actionOf(event);
  if (!action) return;
  if (action === "copy" && String(getSelection())) return;
  if (event.target.type === "range" && ["zoomIn", "zoomOut"].includes(action)) return;
  event.preventDefault();
  actions[action]();
});

document.addEventListener("keyup", (event) => {
  if (event.key === "Tab" && stage.compare === "original") setCompare(null);
  if (event.key === " ") hold(false);
  if (["Control", "Meta"].includes(event.key) && state.waitingFill) {
    state.waitingFill = false;
    fill(state.current);
  }
});

function hold(on) {
  state.space = on;
  $("outlineLayer").classList.toggle("grab", on || state.tool === "pan" || stage.compare !== null);
  stage.outlineChanged();
}

window.addEventListener("blur", () => {
  hold(false);
  state.waitingFill = false;
  if (stage.compare === "original") setCompare(null);
});

// Hold the button on a touch screen to see the original
$("compare").addEventListener("pointerdown", () => {
  holding = setTimeout(() => {
    holding = -1;
    setCompare("original");
  }, 350);
});
for (const name of ["pointerup", "pointercancel", "pointerleave"]) {
  $("compare").addEventListener(name, () => {
    clearTimeout(holding);
    if (holding !== -1) return;
    setCompare(null);
    setTimeout(() => (holding = 0), 50); // the click that ends a long press is none
  });
}

// Dropping and pasting

let depth = 0;
const carriesFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
window.addEventListener("dragenter", (event) => {
  if (!carriesFiles(event)) return;
  depth += 1;
  $("dropping").hidden = false;
});
window.addEventListener("dragleave", (event) => {
  if (carriesFiles(event)) $("dropping").hidden = --depth > 0 ? false : true;
});
window.addEventListener("dragover", (event) => event.preventDefault());
window.addEventListener("drop", (event) => {
  event.preventDefault(); // or the browser would leave the page for what was dropped
  depth = 0;
  $("dropping").hidden = true;
  const files = [...(event.dataTransfer?.files ?? [])];
  if (!files.length) return hint("That is no file. Save the picture first, or copy it and paste it here.");
  if (event.target.closest?.("#panel") && state.current?.ready && files.length === 1) loadMask(files[0]);
  else openFiles(files);
});
document.addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  if (files.length) {
    event.preventDefault();
    openFiles(files);
  } else if (!typing(event.target)) hint("There is no picture on the clipboard. Copy one, then paste again.");
});

window.addEventListener("beforeunload", (event) => {
  if (state.photos.some((photo) => photo.current && photo.dirty)) event.preventDefault();
});
window.addEventListener("pagehide", (event) => {
  if (event.persisted) return;
  for (const photo of state.photos) if (photo.remote) api.dropPhoto(photo.remote.photo);
});
new ResizeObserver(() => {
  measureDock();
  if (stage.view?.fitted) stage.fit();
}).observe($("dockRow"));

// Start

async function start() {
  setTheme(settings.theme);
  drawTools($("tools"), setTool);
  setTool("brush");
  fillHelp($("keys"));
  $("onRelease").checked = settings.onRelease;
  $("optPressure").checked = settings.pressure;
  $("optGrow").value = String(settings.grow);
  $("optDetail").value = settings.detail;
  $("optGrain").value = settings.grain;
  const undoKey = MAC ? "⌘Z" : "Ctrl+Z";
  $("undo").title = `Undo (${undoKey})`;
  $("redo").title = `Redo (Shift+${undoKey})`;
  $("save").title = `Save (${MAC ? "⌘S" : "Ctrl+S"})`;
  $("copy").title = `Copy the result (${MAC ? "⌘C" : "Ctrl+C"})`;
  const here = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  $("where").textContent = here
    ? "Your photos stay on this computer."
    : `Your photos go to ${location.host} and nowhere else.`;
  refresh();
  await loadModels();
}

async function loadModels() {
  try {
    const told = await api.models();
    state.models = told.models;
    state.limits = told.limits ?? {};
    if (!state.models.some(({ name }) => name === settings.model)) settings.model = told.default;
    drawModels($("model"), state.models, settings.model);
    showModel();
    if (!$("notice").hidden) quiet();
  } catch (error) {
    failed(error, loadModels);
  }
}

start();
