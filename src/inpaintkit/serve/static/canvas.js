// The stage: photo, mask and outlines on three canvases that lie on one another, seen through one zoom and pan.
//
// A view {scale, x, y} takes photo pixels to CSS pixels of the stage: x' = x * scale + view.x.

const MASK_COLOUR = 0xffa010e0; // as 0xAABBGGRR; the canvas as a whole is made translucent by the style sheet
const STRIPE = "#ff86d8"; // stripes are seen on photos of any colour
const LARGEST_SCALE = 32;
const RIM = 32; // pixels of its surroundings that a fill is drawn with, so that no edge shows when it is scaled
const MOST_CANVAS = 12e6; // pixels; some browsers draw nothing on canvases that are larger

export class Stage {
  #frame = 0;
  #todo = { photo: false, mask: false, outline: false };

  // `layers`: {photo, mask, outline} canvases. `outline` draws what is on top, given (context, stage).
  constructor(element, layers, { outline, moved }) {
    this.element = element;
    this.layers = layers;
    this.contexts = {};
    for (const [name, canvas] of Object.entries(layers)) this.contexts[name] = canvas.getContext("2d");
    this.drawOutline = outline;
    this.moved = moved;
    this.photo = null;
    this.compare = null; // null, "original", or the divider's share of the stage's width
    this.width = this.height = 0;
    this.dpr = 1;
    new ResizeObserver(() => this.resize()).observe(element);
    this.resize();
  }

  resize() {
    const { clientWidth, clientHeight } = this.element;
    const centre = this.photo && this.toPhoto(this.width / 2, this.height / 2);
    this.width = clientWidth;
    this.height = clientHeight;
    this.dpr = Math.min(2, window.devicePixelRatio || 1);
    for (const canvas of Object.values(this.layers)) {
      canvas.width = Math.max(1, Math.round(clientWidth * this.dpr));
      canvas.height = Math.max(1, Math.round(clientHeight * this.dpr));
    }
    const view = this.view;
    if (!view) return;
    if (view.fitted) this.fit();
    else {
      view.x = clientWidth / 2 - centre.x * view.scale;
      view.y = clientHeight / 2 - centre.y * view.scale;
      this.changed();
    }
  }

  get view() {
    return this.photo?.view ?? null;
  }

  show(photo) {
    this.photo = photo;
    if (photo && !photo.view) this.fit();
    else this.changed();
  }

  // Zoom and pan.

  get fitScale() {
    const margin = this.width < 720 ? 12 : 28;
    const wide = (this.width - 2 * margin) / this.photo.width;
    const high = (this.height - 2 * margin - this.#dock()) / this.photo.height;
    return Math.max(1e-3, Math.min(wide, high, 4));
  }

  // The height that the dock takes from the stage's lower end.
  #dock() {
    return this.photo ? (this.reserved ?? 0) : 0;
  }

  fit() {
    if (!this.photo) return;
    const scale = this.fitScale;
    this.photo.view = {
      scale,
      x: (this.width - this.photo.width * scale) / 2,
      y: (this.height - this.#dock() - this.photo.height * scale) / 2,
      fitted: true,
    };
    this.changed();
  }

  // Zooms so that the photo's point under (x, y) of the stage stays there.
  zoomAt(x, y, scale) {
    const view = this.view;
    if (!view) return;
    const least = Math.min(this.fitScale / 2, 1);
    scale = Math.min(LARGEST_SCALE, Math.max(least, scale));
    const factor = scale / view.scale;
    view.x = x - (x - view.x) * factor;
    view.y = y - (y - view.y) * factor;
    view.scale = scale;
    view.fitted = false;
    this.#hold();
    this.changed();
  }

  zoomBy(factor) {
    this.zoomAt(this.width / 2, this.height / 2, this.view.scale * factor);
  }

  panBy(dx, dy) {
    const view = this.view;
    if (!view) return;
    view.x += dx;
    view.y += dy;
    view.fitted = false;
    this.#hold();
    this.changed();
  }

  // A part of the photo always stays in sight.
  #hold() {
    const view = this.view;
    const keep = 48;
    view.x = Math.min(this.width - keep, Math.max(keep - this.photo.width * view.scale, view.x));
    view.y = Math.min(this.height - keep, Math.max(keep - this.photo.height * view.scale, view.y));
  }

  toPhoto(x, y) {
    const { scale, x: left, y: top } = this.view;
    return { x: (x - left) / scale, y: (y - top) / scale };
  }

  toStage(x, y) {
    const { scale, x: left, y: top } = this.view;
    return { x: x * scale + left, y: y * scale + top };
  }

  // Drawing.

  changed() {
    this.#ask("photo", "mask", "outline");
    this.moved?.();
  }

  photoChanged() {
    this.#ask("photo");
  }

  maskChanged() {
    this.#ask("mask");
    this.wholeMask = true;
  }

  strokeChanged() {
    this.#ask("mask");
  }

  outlineChanged() {
    this.#ask("outline");
  }

  #ask(...what) {
    for (const name of what) this.#todo[name] = true;
    if (what.length === 3) this.wholeMask = true;
    if (!this.#frame) this.#frame = requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#frame = 0;
    const todo = this.#todo;
    this.#todo = { photo: false, mask: false, outline: false };
    if (todo.photo) this.#drawPhoto();
    if (todo.mask) this.#drawMask();
    if (todo.outline) {
      const context = this.contexts.outline;
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.clearRect(0, 0, this.layers.outline.width, this.layers.outline.height);
      context.setTransform(this.dpr, 0, 0, this.dpr, 0, 0);
      if (this.photo) this.drawOutline(context, this);
    }
  }

  #drawPhoto() {
    const context = this.contexts.photo;
    const { width, height } = this.layers.photo;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    const photo = this.photo;
    if (!photo?.bitmap) return;
    if (photo.hasAlpha) this.#chequer(context);
    const nodes = this.compare === "original" ? [] : photo.path();
    this.#drawVersion(context, nodes);
    if (typeof this.compare === "number") {
      context.save();
      context.beginPath();
      context.rect(0, 0, Math.round(this.compare * width), height);
      context.clip();
      if (photo.hasAlpha) this.#chequer(context);
      this.#drawVersion(context, []);
      context.restore();
    }
  }

  #drawVersion(context, nodes) {
    const photo = this.photo;
    const scale = this.view.scale * this.dpr;
    const left = this.view.x * this.dpr;
    const top = this.view.y * this.dpr;
    context.imageSmoothingEnabled = scale < 3;
    context.imageSmoothingQuality = scale < 1 ? "high" : "medium";
    const { bitmap, factor } = photo.level(scale);
    // only what is in sight, in whole pixels of the bitmap
    const x0 = Math.max(0, Math.floor(-left / scale / factor) - 1);
    const y0 = Math.max(0, Math.floor(-top / scale / factor) - 1);
    const x1 = Math.min(bitmap.width, Math.ceil((this.layers.photo.width - left) / scale / factor) + 1);
    const y1 = Math.min(bitmap.height, Math.ceil((this.layers.photo.height - top) / scale / factor) + 1);
    if (x1 <= x0 || y1 <= y0) return;
    const stepX = (photo.width * scale) / bitmap.width;
    const stepY = (photo.height * scale) / bitmap.height;
    context.drawImage(
      bitmap, x0, y0, x1 - x0, y1 - y0,
      left + x0 * stepX, top + y0 * stepY, (x1 - x0) * stepX, (y1 - y0) * stepY,
    );
    for (const node of nodes) {
      const shown = this.#shown(node);
      if (!shown) continue;
      const { picture, window } = shown;
      const [x, y] = [left + window.left * scale, top + window.top * scale];
      const [wide, high] = [window.width * scale, window.height * scale];
      if (!photo.hasAlpha) {
        context.drawImage(picture, x, y, wide, high);
        continue;
      }
      // what lies below would be seen through it: it begins anew, in whole pixels of the stage
      context.save();
      const [inX, inY] = [Math.ceil(x), Math.ceil(y)];
      context.beginPath();
      context.rect(inX, inY, Math.max(0, Math.floor(x + wide) - inX), Math.max(0, Math.floor(y + high) - inY));
      context.clip();
      this.#chequer(context);
      context.drawImage(picture, x, y, wide, high);
      context.restore();
    }
  }

  // A fill with a rim of what surrounds it: where its edge is blended by scaling, like is blended with like. A fill
  // changes colours, never the photo's own alpha.
  #shown(node) {
    if (node.shown || !node.bitmap) return node.shown;
    const photo = this.photo;
    const { window } = node;
    const left = Math.max(0, window.left - RIM);
    const top = Math.max(0, window.top - RIM);
    const width = Math.min(photo.width, window.left + window.width + RIM) - left;
    const height = Math.min(photo.height, window.top + window.height + RIM) - top;
    const share = Math.min(1, Math.sqrt(MOST_CANVAS / (width * height)));
    if (share < 1 && !photo.hasAlpha) return (node.shown = { picture: node.bitmap, window });
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.floor(width * share));
    canvas.height = Math.max(1, Math.floor(height * share));
    const context = canvas.getContext("2d");
    context.scale(canvas.width / width, canvas.height / height);
    context.drawImage(photo.bitmap, left, top, width, height, 0, 0, width, height);
    if (photo.hasAlpha) context.globalCompositeOperation = "source-atop";
    for (const before of photo.path(node)) {
      if (before === node || !before.bitmap) continue;
      context.drawImage(before.bitmap, before.window.left - left, before.window.top - top);
    }
    context.drawImage(node.bitmap, window.left - left, window.top - top);
    return (node.shown = { picture: canvas, window: { left, top, width, height } });
  }

  #chequer(context) {
    const { x, y, scale } = this.view;
    const d = this.dpr;
    const side = 8 * d;
    if (!this.pattern) {
      const tile = document.createElement("canvas");
      tile.width = tile.height = 2 * side;
      const c = tile.getContext("2d");
      c.fillStyle = "#fff";
      c.fillRect(0, 0, 2 * side, 2 * side);
      c.fillStyle = "#d5d5d9";
      c.fillRect(0, 0, side, side);
      c.fillRect(side, side, side, side);
      this.pattern = context.createPattern(tile, "repeat");
    }
    this.pattern.setTransform(new DOMMatrix().translate(x * d, y * d));
    context.fillStyle = this.pattern;
    context.fillRect(x * d, y * d, this.photo.width * scale * d, this.photo.height * scale * d);
  }

  #drawMask() {
    const context = this.contexts.mask;
    const mask = this.photo?.mask;
    const dirty = mask?.takeDirty();
    const { width, height } = this.layers.mask;
    context.setTransform(1, 0, 0, 1, 0, 0);
    const whole = this.wholeMask;
    this.wholeMask = false;
    if (!mask || whole) context.clearRect(0, 0, width, height);
    if (!mask || this.compare !== null) {
      context.clearRect(0, 0, width, height);
      this.wholeMask = true;
      return;
    }
    const { scale, x, y } = this.view;
    const d = this.dpr;
    const placeX = (px) => Math.round((px * scale + x) * d);
    const placeY = (py) => Math.round((py * scale + y) * d);
    const left = -x / scale;
    const top = -y / scale;
    let box = [left, top, left + this.width / scale, top + this.height / scale];
    context.save();
    if (!whole) {
      if (!dirty) return context.restore();
      const rim = 2 / Math.min(1, scale) + 1;
      box = [
        Math.max(box[0], dirty[0] - rim), Math.max(box[1], dirty[1] - rim),
        Math.min(box[2], dirty[2] + rim), Math.min(box[3], dirty[3] + rim),
      ];
      if (box[2] <= box[0] || box[3] <= box[1]) return context.restore();
      const clip = [placeX(box[0]), placeY(box[1]), placeX(box[2]), placeY(box[3])];
      context.beginPath();
      context.rect(clip[0], clip[1], clip[2] - clip[0], clip[3] - clip[1]);
      context.clip();
      context.clearRect(clip[0], clip[1], clip[2] - clip[0], clip[3] - clip[1]);
    }
    context.imageSmoothingEnabled = scale * d < 3;
    mask.draw(context, box, placeX, placeY, MASK_COLOUR);
    this.stripes ??= stripes(context, d);
    this.stripes.setTransform(new DOMMatrix().translate(Math.round(x * d), Math.round(y * d)));
    context.globalCompositeOperation = "source-atop";
    context.fillStyle = this.stripes;
    context.fillRect(0, 0, width, height);
    context.restore();
  }
}

// Slanting stripes that repeat without a seam.
function stripes(context, dpr) {
  const side = Math.round(9 * dpr);
  const tile = document.createElement("canvas");
  tile.width = tile.height = side;
  const c = tile.getContext("2d");
  c.strokeStyle = STRIPE;
  c.lineWidth = 1.6 * dpr;
  c.beginPath();
  for (const shift of [-side, 0, side]) {
    c.moveTo(shift - side / 2, side * 1.5);
    c.lineTo(shift + side * 1.5, -side / 2);
  }
  c.stroke();
  return context.createPattern(tile, "repeat");
}
