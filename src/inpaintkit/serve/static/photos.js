// One opened photo: its pixels for display, its mask, its fills and the line of steps.

import * as api from "./api.js";
import { History } from "./history.js";
import { Mask } from "./mask.js";

let counter = 0;

// A fill: what it was made from, what it was made with, and the window that it changed.
// `node.parent` is null for the photo as it was opened.
export class Fill {
  constructor(parent, { window, patch, bitmap, model, variant, mask, seconds }) {
    this.id = ++counter;
    this.parent = parent;
    this.window = window;
    this.patch = patch; // the server's PNG, to be put back after a restart
    this.bitmap = bitmap;
    this.model = model;
    this.variant = variant;
    this.mask = mask; // the mask's tiles that were filled, for another try
    this.seconds = seconds;
    this.shown = null;
  }
}

export class Photo {
  constructor(file) {
    this.id = ++counter;
    this.file = file;
    this.name = file.name || "pasted.png";
    this.width = this.height = 0;
    this.bitmap = null;
    this.levels = [];
    this.mask = null;
    this.history = new History();
    this.fills = [];
    this.current = null; // the fill that is shown, null = as opened
    this.saved = null;
    this.view = null;
    this.remote = null; // {photo, facts, versions: Map from a fill (or null) to the server's number}
    this.facts = null; // the server's, kept when it forgets the photo
    this.viewed = false; // the pixels are the server's view
    this.reopening = null;
    this.upload = null;
    this.share = 0; // of the upload
    this.job = null; // the fill under way
    this.problem = null; // why it could not be opened
    this.failed = null; // why a fill failed while another photo was shown
    this.lastPoint = null;
    this.gone = false;
  }

  get ready() {
    return this.mask !== null;
  }

  get dirty() {
    return this.current !== this.saved;
  }

  get hasAlpha() {
    return this.facts?.has_alpha ?? false;
  }

  // True where camera data turns the photo and the browser may not know it: browsers turn JPEG alike, the rest not.
  get turned() {
    return Boolean(this.facts?.turned) && this.facts.media_type !== "image/jpeg";
  }

  // True where what is shown lies otherwise than the server's photo: its mask would fill the wrong place.
  get misread() {
    if (!this.facts || !this.ready) return false;
    return (this.turned && !this.viewed) || this.width !== this.facts.width || this.height !== this.facts.height;
  }

  // By its content; a name may say anything.
  async isJpeg() {
    const [first, second] = new Uint8Array(await this.file.slice(0, 2).arrayBuffer());
    return first === 0xff && second === 0xd8;
  }

  // Fills from the photo as opened to `node`, oldest first.
  path(node = this.current) {
    const nodes = [];
    for (let at = node; at; at = at.parent) nodes.unshift(at);
    return nodes;
  }

  // Opens the pixels for display: the browser's own decoding, or the server's view where it has none or may be wrong.
  async open() {
    if (this.bitmap) return;
    let bitmap = this.turned ? null : await createImageBitmap(this.file).catch(() => null);
    if (bitmap && this.width && (bitmap.width !== this.width || bitmap.height !== this.height)) bitmap = null;
    const viewed = !bitmap;
    if (viewed) {
      const blob = await this.withServer((photo) => api.view(photo, 0), null);
      bitmap = await createImageBitmap(blob);
    }
    this.viewed = viewed;
    this.setPixels(bitmap);
  }

  setPixels(bitmap) {
    this.bitmap = bitmap;
    this.levels = [];
    this.width = bitmap.width;
    this.height = bitmap.height;
    this.mask ??= new Mask(this.width, this.height);
    for (const fill of this.fills) fill.shown = null;
  }

  // Halved copies, so that a large photo seen small is drawn quickly and without jagged lines.
  async makeLevels() {
    let from = this.bitmap;
    while (from && Math.max(from.width, from.height) > 1600 && this.bitmap) {
      const size = { resizeWidth: Math.ceil(from.width / 2), resizeHeight: Math.ceil(from.height / 2) };
      from = await createImageBitmap(from, { ...size, resizeQuality: "medium" }).catch(() => null);
      if (!this.bitmap) from?.close();
      else if (from) this.levels.push(from);
    }
  }

  // The smallest copy that is fine enough for a scale in device pixels per pixel; `factor`: photo pixels per pixel.
  level(scale) {
    let bitmap = this.bitmap;
    for (const smaller of this.levels) if (smaller.width >= this.width * scale) bitmap = smaller;
    return { bitmap, factor: this.width / bitmap.width };
  }

  // Gives the pixels' memory back; open() makes them again.
  close() {
    for (const bitmap of [this.bitmap, ...this.levels]) bitmap?.close();
    this.bitmap = null;
    this.levels = [];
    for (const fill of this.fills) fill.shown = null;
  }

  // A fill in its surroundings, small and square.
  thumbOf(fill) {
    if (fill.thumb || !this.bitmap) return fill.thumb ?? fill.bitmap;
    const { left, top, width, height } = fill.window;
    const side = Math.min(1.5 * Math.max(width, height, 24), Math.max(this.width, this.height));
    const canvas = (fill.thumb = document.createElement("canvas"));
    canvas.width = canvas.height = 88;
    const context = canvas.getContext("2d");
    const scale = 88 / side;
    context.scale(scale, scale);
    context.translate(side / 2 - left - width / 2, side / 2 - top - height / 2);
    context.drawImage(this.level(scale).bitmap, 0, 0, this.width, this.height);
    if (this.hasAlpha) context.globalCompositeOperation = "source-atop";
    for (const node of this.path(fill)) context.drawImage(node.bitmap, node.window.left, node.window.top);
    return canvas;
  }

  // The server's copy. It may forget photos (a restart, a long pause): then the photo is sent again and its fills are
  // put back, so that the caller notices nothing.

  send(progress = () => {}) {
    this.upload ??= api
      .sendPhoto(this.file, (share) => {
        this.share = share;
        progress();
      })
      .then((facts) => {
        this.facts = facts;
        this.remote = { photo: facts.photo, facts, versions: new Map([[null, facts.version]]) };
        if (this.gone) api.dropPhoto(facts.photo);
        return this.remote;
      })
      .catch((error) => {
        this.upload = null;
        throw error;
      });
    return this.upload;
  }

  async #version(remote, node) {
    if (remote.versions.has(node)) return remote.versions.get(node);
    const parent = await this.#version(remote, node.parent);
    const number = await api.sendPatch(remote.photo, parent, node.patch, node.window);
    remote.versions.set(node, number);
    return number;
  }

  // Calls `ask(photo, version)` with the server's names of this photo and of `node`.
  async withServer(ask, node = this.current) {
    for (let attempt = 0; ; attempt++) {
      const remote = await this.send();
      try {
        return await ask(remote.photo, await this.#version(remote, node));
      } catch (error) {
        if (!(error.photoGone && attempt < 2)) throw error;
        if (this.remote === remote) {
          this.remote = null;
          this.upload = null;
        }
      }
    }
  }

  // Fills the marked window on top of `parent`. `settings`: model, grow, detail, grain; variants see the hole in other
  // ways; `job.cancelled` ends it.
  async fill({ blob, window, snapshot }, parent, settings, variant, job) {
    const begun = performance.now();
    const { done, png, remote } = await this.withServer(async (photo, version) => {
      const fields = { mask: blob, top: window.top, left: window.left, version, ...settings, variant };
      const started = await this.#patiently(() => api.startFill(photo, fields), job);
      job.name = started.job;
      if (job.cancelled) await api.cancelJob(started.job);
      const done = await api.follow(started.job, job.progress);
      // The patch is in the photo's own depth and colours: the browser shows it as it shows the photo.
      return { done, png: await api.patch(photo, done.version), remote: this.remote };
    }, parent);
    const bitmap = await createImageBitmap(png);
    const box = { top: done.top, left: done.left, height: done.height, width: done.width };
    const made = new Fill(parent, {
      window: box, patch: png, bitmap, model: settings.model, variant, mask: snapshot,
      seconds: done.seconds ?? (performance.now() - begun) / 1000,
    });
    made.notes = done.notes ?? [];
    remote.versions.set(made, done.version);
    this.fills.push(made);
    return made;
  }

  // Waits where the server is busy and says for how long.
  async #patiently(ask, job) {
    for (let attempt = 0; ; attempt++) {
      try {
        return await ask();
      } catch (error) {
        if (error.status !== 429 || attempt >= 20 || job.cancelled) throw error;
        job.waiting?.();
        await new Promise((wake) => setTimeout(wake, 1000 * Math.min(10, error.retryAfter || 1)));
      }
    }
  }

  forget() {
    this.gone = true;
    this.close();
    if (this.remote) api.dropPhoto(this.remote.photo);
  }
}
