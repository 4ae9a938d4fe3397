// The mask of one photo at the photo's own resolution, kept in tiles.
//
// A tile is made where something is marked and never changed once a step is over: a step that touches it makes a copy.
// So undo keeps two references for every tile touched, a snapshot costs nothing, and an inverted mask is one shared tile.

export const TILE = 256;
const AREA = TILE * TILE;

class Tile {
  constructor(data = new Uint8Array(AREA)) {
    this.data = data; // 1 = missing
    this.canvas = null;
    this.changed();
  }

  // Forgets what was derived from the data.
  changed() {
    this.stale = true;
    this.box = undefined;
    this.sum = undefined;
    return this;
  }

  copy() {
    const copy = new Tile(this.data.slice());
    if (this !== FULL) {
      copy.canvas = this.canvas;
      this.canvas = null;
      this.stale = true;
    }
    return copy;
  }

  // [x0, y0, x1, y1] of what is marked, the ends excluded, or null; remembered, since a tile of a finished step stays.
  bounds() {
    if (this.box !== undefined) return this.box;
    const { data } = this;
    const first = data.indexOf(1);
    if (first < 0) return (this.box = null);
    const y0 = Math.floor(first / TILE);
    const y1 = Math.floor(data.lastIndexOf(1) / TILE) + 1;
    let x0 = TILE;
    let x1 = 0;
    for (let y = y0; y < y1; y++) {
      const row = data.subarray(y * TILE, (y + 1) * TILE);
      const left = row.indexOf(1);
      if (left < 0) continue;
      x0 = Math.min(x0, left);
      x1 = Math.max(x1, row.lastIndexOf(1) + 1);
    }
    return (this.box = [x0, y0, x1, y1]);
  }

  // The tile as pixels to draw, in one colour (a number 0xAABBGGRR).
  picture(colour) {
    if (!this.canvas) {
      this.canvas = document.createElement("canvas");
      this.canvas.width = this.canvas.height = TILE;
      this.stale = true;
    }
    if (this.stale) {
      const pixels = new ImageData(TILE, TILE);
      const words = new Uint32Array(pixels.data.buffer);
      const { data } = this;
      for (let i = 0; i < AREA; i++) if (data[i]) words[i] = colour;
      this.canvas.getContext("2d").putImageData(pixels, 0, 0);
      this.stale = false;
    }
    return this.canvas;
  }
}

const FULL = new Tile(new Uint8Array(AREA).fill(1));

export class Mask {
  #before = null; // tiles as they were when the step began
  #dirty = null;

  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.columns = Math.ceil(width / TILE);
    this.rows = Math.ceil(height / TILE);
    this.tiles = new Map();
  }

  get empty() {
    return this.tiles.size === 0;
  }

  get recording() {
    return this.#before !== null;
  }

  // Steps: everything that changes the mask stands between begin() and end() or cancel().

  begin() {
    if (this.#before) this.end();
    this.#before = new Map();
  }

  // The finished step {before, after} for apply(), or null where nothing changed.
  end() {
    const before = this.#before;
    this.#before = null;
    const after = new Map();
    for (const [key, old] of before) {
      let tile = this.tiles.get(key);
      if (tile && tile !== FULL) {
        if (tile.data.indexOf(1) < 0) tile = undefined;
        else if (tile.data.indexOf(0) < 0) tile = FULL;
      }
      if (tile) this.tiles.set(key, tile);
      else this.tiles.delete(key);
      if (tile === old || (tile && old && same(tile.data, old.data))) {
        if (old) this.tiles.set(key, old);
        before.delete(key);
        continue;
      }
      after.set(key, tile);
    }
    return after.size ? { before, after, bytes: 2 * AREA * after.size } : null;
  }

  cancel() {
    if (!this.#before) return;
    const before = this.#before;
    this.#before = null;
    this.apply(before);
  }

  // Puts tiles back: one half of a step.
  apply(tiles) {
    for (const [key, tile] of tiles) {
      if (tile) this.tiles.set(key, tile);
      else this.tiles.delete(key);
      this.#touch(key);
    }
  }

  // The whole mask as it is now; keep it as long as you like.
  snapshot() {
    return new Map(this.tiles);
  }

  #touch(key) {
    const x = (key % this.columns) * TILE;
    const y = Math.floor(key / this.columns) * TILE;
    this.#mark(x, y, x + TILE, y + TILE);
  }

  #mark(x0, y0, x1, y1) {
    const d = this.#dirty;
    if (!d) this.#dirty = [x0, y0, x1, y1];
    else {
      if (x0 < d[0]) d[0] = x0;
      if (y0 < d[1]) d[1] = y0;
      if (x1 > d[2]) d[2] = x1;
      if (y1 > d[3]) d[3] = y1;
    }
  }

  // [x0, y0, x1, y1] of what changed since the last call, or null.
  takeDirty() {
    const dirty = this.#dirty;
    this.#dirty = null;
    return dirty;
  }

  // A tile that may be written, or null where there is none and none is wanted.
  #writable(key, create) {
    let tile = this.tiles.get(key);
    if (this.#before.has(key)) {
      if (tile && tile !== FULL) {
        return tile.changed();
      }
    } else {
      if (!tile && !create) return null;
      this.#before.set(key, tile);
    }
    if (!tile && !create) return null;
    tile = tile ? tile.copy() : new Tile();
    this.tiles.set(key, tile);
    return tile.changed();
  }

  // Shapes. Coordinates are pixels of the photo; a pixel belongs to a shape that covers its centre.

  // Row y from x0 to x1, both ends included.
  span(y, x0, x1, value) {
    if (y < 0 || y >= this.height) return;
    x0 = Math.max(0, x0);
    x1 = Math.min(this.width - 1, x1);
    if (x1 < x0) return;
    this.#mark(x0, y, x1 + 1, y + 1);
    const row = Math.floor(y / TILE);
    const offset = (y - row * TILE) * TILE;
    const last = Math.floor(x1 / TILE);
    for (let column = Math.floor(x0 / TILE); column <= last; column++) {
      const tile = this.#writable(row * this.columns + column, value === 1);
      if (!tile) continue;
      const left = column * TILE;
      const from = Math.max(0, x0 - left);
      const to = Math.min(TILE - 1, x1 - left);
      tile.data.fill(value, offset + from, offset + to + 1);
    }
  }

  // A stroke from one disc to another, each {x, y, radius}.
  stroke(a, b, value) {
    const dx = b.x - a.x;
    const dy = b.y - a.y;
    const length = Math.hypot(dx, dy);
    const corners = [];
    if (length > 1e-6) {
      const nx = -dy / length;
      const ny = dx / length;
      corners.push(
        [a.x + nx * a.radius, a.y + ny * a.radius],
        [b.x + nx * b.radius, b.y + ny * b.radius],
        [b.x - nx * b.radius, b.y - ny * b.radius],
        [a.x - nx * a.radius, a.y - ny * a.radius],
      );
    }
    const top = Math.max(0, Math.floor(Math.min(a.y - a.radius, b.y - b.radius)));
    const bottom = Math.min(this.height - 1, Math.ceil(Math.max(a.y + a.radius, b.y + b.radius)));
    for (let y = top; y <= bottom; y++) {
      const centre = y + 0.5;
      let left = Infinity;
      let right = -Infinity;
      for (const disc of [a, b]) {
        const h = disc.radius * disc.radius - (centre - disc.y) ** 2;
        if (h < 0) continue;
        const half = Math.sqrt(h);
        left = Math.min(left, disc.x - half);
        right = Math.max(right, disc.x + half);
      }
      for (let i = 0; i < corners.length; i++) {
        const [px, py] = corners[i];
        const [qx, qy] = corners[(i + 1) % corners.length];
        if (py <= centre === qy <= centre) continue;
        const x = px + ((centre - py) * (qx - px)) / (qy - py);
        left = Math.min(left, x);
        right = Math.max(right, x);
      }
      if (right >= left) this.span(y, Math.ceil(left - 0.5), Math.floor(right - 0.5), value);
    }
  }

  // A closed outline [[x, y], ...]; where it crosses itself, all that it goes round is inside.
  polygon(points, value) {
    if (points.length < 3) return;
    let top = Infinity;
    let bottom = -Infinity;
    for (const [, y] of points) {
      top = Math.min(top, y);
      bottom = Math.max(bottom, y);
    }
    top = Math.max(0, Math.floor(top));
    bottom = Math.min(this.height - 1, Math.ceil(bottom));
    const crossings = Array.from({ length: Math.max(0, bottom - top + 1) }, () => []);
    for (let i = 0; i < points.length; i++) {
      const [px, py] = points[i];
      const [qx, qy] = points[(i + 1) % points.length];
      if (py === qy) continue;
      const [x0, y0, x1, y1, turn] = py < qy ? [px, py, qx, qy, 1] : [qx, qy, px, py, -1];
      const from = Math.max(top, Math.ceil(y0 - 0.5));
      const to = Math.min(bottom, Math.ceil(y1 - 0.5) - 1);
      for (let y = from; y <= to; y++) {
        crossings[y - top].push([x0 + ((y + 0.5 - y0) * (x1 - x0)) / (y1 - y0), turn]);
      }
    }
    crossings.forEach((row, index) => {
      row.sort((p, q) => p[0] - q[0]);
      let winding = 0;
      for (let i = 0; i + 1 < row.length; i++) {
        winding += row[i][1];
        if (winding) this.span(top + index, Math.ceil(row[i][0] - 0.5), Math.floor(row[i + 1][0] - 0.5), value);
      }
    });
  }

  // A rectangle between two corners.
  rectangle(x0, y0, x1, y1, value) {
    const left = Math.round(Math.min(x0, x1));
    const right = Math.round(Math.max(x0, x1)) - 1;
    const bottom = Math.min(this.height, Math.round(Math.max(y0, y1)));
    for (let y = Math.max(0, Math.round(Math.min(y0, y1))); y < bottom; y++) this.span(y, left, right, value);
  }

  clear() {
    for (const key of [...this.tiles.keys()]) this.#replace(key, undefined);
  }

  invert() {
    for (let key = 0; key < this.columns * this.rows; key++) {
      const tile = this.tiles.get(key);
      if (tile === FULL) {
        this.#replace(key, undefined);
        continue;
      }
      const wide = Math.min(TILE, this.width - (key % this.columns) * TILE);
      const high = Math.min(TILE, this.height - Math.floor(key / this.columns) * TILE);
      if (!tile && wide === TILE && high === TILE) {
        this.#replace(key, FULL);
        continue;
      }
      const inverted = new Tile();
      for (let y = 0; y < high; y++) {
        const start = y * TILE;
        if (!tile) inverted.data.fill(1, start, start + wide);
        else for (let i = start; i < start + wide; i++) inverted.data[i] = tile.data[i] ^ 1;
      }
      this.#replace(key, inverted);
    }
  }

  #replace(key, tile) {
    if (!this.#before.has(key)) this.#before.set(key, this.tiles.get(key));
    if (tile) this.tiles.set(key, tile);
    else this.tiles.delete(key);
    this.#touch(key);
  }

  // Takes away what a snapshot held: the part of the mask that has been filled.
  subtract(snapshot) {
    for (const [key, gone] of snapshot) {
      const tile = this.tiles.get(key);
      if (!tile) continue;
      if (tile === gone || gone === FULL) {
        this.#replace(key, undefined);
        continue;
      }
      const left = new Tile(tile.data.slice());
      for (let i = 0; i < AREA; i++) if (gone.data[i]) left.data[i] = 0;
      this.#replace(key, left);
    }
  }

  // Adds what a snapshot of a mask of the same size holds.
  add(snapshot) {
    for (const [key, more] of snapshot) {
      const tile = this.tiles.get(key);
      if (!tile || more === FULL) {
        this.#replace(key, more);
        continue;
      }
      const both = new Tile(tile.data.slice());
      for (let i = 0; i < AREA; i++) if (more.data[i]) both.data[i] = 1;
      this.#replace(key, both);
    }
  }

  // Makes every hole wider (radius > 0) or narrower (radius < 0) by so many pixels, round.
  // The photo's border is no edge of a hole: a hole that reaches it still does after shrinking.
  grow(radius) {
    const box = this.bounds();
    const reach = Math.abs(radius);
    if (!box || !reach) return;
    const x0 = Math.max(0, box.left - reach - 1);
    const y0 = Math.max(0, box.top - reach - 1);
    const width = Math.min(this.width, box.left + box.width + reach + 1) - x0;
    const height = Math.min(this.height, box.top + box.height + reach + 1) - y0;
    const window = { left: x0, top: y0, width, height };
    const marked = this.window(window);
    if (radius < 0) for (let i = 0; i < marked.length; i++) marked[i] ^= 1;
    const grown = dilate(marked, width, height, reach);
    if (radius < 0) for (let i = 0; i < grown.length; i++) grown[i] ^= 1;
    this.put(window, grown, true);
  }

  // Windows: {left, top, width, height}.

  // The smallest window that holds all that is marked, or null.
  bounds() {
    let x0 = Infinity;
    let y0 = Infinity;
    let x1 = -Infinity;
    let y1 = -Infinity;
    for (const [key, tile] of this.tiles) {
      const box = tile.bounds();
      if (!box) continue;
      const left = (key % this.columns) * TILE;
      const top = Math.floor(key / this.columns) * TILE;
      x0 = Math.min(x0, left + box[0]);
      y0 = Math.min(y0, top + box[1]);
      x1 = Math.max(x1, left + box[2]);
      y1 = Math.max(y1, top + box[3]);
    }
    return x1 > x0 ? { left: x0, top: y0, width: x1 - x0, height: y1 - y0 } : null;
  }

  #each(window, visit) {
    const right = window.left + window.width;
    const bottom = window.top + window.height;
    for (let row = Math.floor(window.top / TILE); row * TILE < bottom; row++) {
      for (let column = Math.floor(window.left / TILE); column * TILE < right; column++) {
        const x0 = Math.max(window.left, column * TILE);
        const x1 = Math.min(right, (column + 1) * TILE);
        for (let y = Math.max(window.top, row * TILE); y < Math.min(bottom, (row + 1) * TILE); y++) {
          const inTile = (y - row * TILE) * TILE + x0 - column * TILE;
          const inWindow = (y - window.top) * window.width + x0 - window.left;
          visit(row * this.columns + column, inTile, inWindow, x1 - x0);
        }
      }
    }
  }

  // The mask inside a window, row by row: 1 = missing.
  window(window) {
    const out = new Uint8Array(window.width * window.height);
    this.#each(window, (key, inTile, inWindow, count) => {
      const tile = this.tiles.get(key);
      if (tile) out.set(tile.data.subarray(inTile, inTile + count), inWindow);
    });
    return out;
  }

  // Writes a window: adds what is marked in it, or takes it as it is where `replace` is true.
  put(window, data, replace = false) {
    this.#mark(window.left, window.top, window.left + window.width, window.top + window.height);
    this.#each(window, (key, inTile, inWindow, count) => {
      const row = data.subarray(inWindow, inWindow + count);
      const marked = row.indexOf(1) >= 0;
      if (!marked && !replace) return;
      const tile = this.#writable(key, marked);
      if (!tile) return;
      if (replace) tile.data.set(row, inTile);
      else for (let i = 0; i < count; i++) if (row[i]) tile.data[inTile + i] = 1;
    });
  }

  // How many pixels are marked.
  count() {
    let sum = 0;
    for (const tile of this.tiles.values()) {
      if (tile.sum === undefined) {
        tile.sum = 0;
        for (let i = 0; i < AREA; i++) tile.sum += tile.data[i];
      }
      sum += tile.sum;
    }
    return sum;
  }

  // Draws the tiles inside [x0, y0, x1, y1] (photo pixels) with `place`, which maps photo x and y to whole device pixels.
  draw(context, box, placeX, placeY, colour) {
    const [x0, y0, x1, y1] = box;
    const lastRow = Math.min(this.rows - 1, Math.floor((y1 - 1) / TILE));
    const lastColumn = Math.min(this.columns - 1, Math.floor((x1 - 1) / TILE));
    for (let row = Math.max(0, Math.floor(y0 / TILE)); row <= lastRow; row++) {
      for (let column = Math.max(0, Math.floor(x0 / TILE)); column <= lastColumn; column++) {
        const tile = this.tiles.get(row * this.columns + column);
        if (!tile) continue;
        const left = placeX(column * TILE);
        const top = placeY(row * TILE);
        const wide = placeX((column + 1) * TILE) - left;
        const high = placeY((row + 1) * TILE) - top;
        context.drawImage(tile.picture(colour), left, top, wide, high);
      }
    }
  }
}

function same(a, b) {
  for (let i = 0; i < AREA; i++) if (a[i] !== b[i]) return false;
  return true;
}

// Every pixel no farther than `radius` from a marked one.
function dilate(marked, width, height, radius) {
  const far = radius + 1;
  const across = new Uint16Array(width * height).fill(far); // to the nearest marked pixel of the same row
  for (let y = 0; y < height; y++) {
    const start = y * width;
    let run = far;
    for (let i = start; i < start + width; i++) {
      run = marked[i] ? 0 : Math.min(far, run + 1);
      across[i] = run;
    }
    run = far;
    for (let i = start + width - 1; i >= start; i--) {
      run = marked[i] ? 0 : Math.min(far, run + 1);
      if (run < across[i]) across[i] = run;
    }
  }
  const out = new Uint8Array(width * height);
  for (let dy = -radius; dy <= radius; dy++) {
    const reach = Math.floor(Math.sqrt(radius * radius - dy * dy + radius)); // rounder than without the last term
    const wide = Math.min(radius, reach);
    for (let y = Math.max(0, -dy); y < Math.min(height, height - dy); y++) {
      const from = (y + dy) * width;
      const to = y * width;
      for (let x = 0; x < width; x++) if (across[from + x] <= wide) out[to + x] = 1;
    }
  }
  return out;
}

// PNG, without a canvas: a canvas has a largest size that photos exceed.

const CRC = new Uint32Array(256).map((_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function chunk(kind, body) {
  const bytes = new Uint8Array(12 + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, body.length);
  for (let i = 0; i < 4; i++) bytes[4 + i] = kind.charCodeAt(i);
  bytes.set(body, 8);
  let crc = 0xffffffff;
  for (let i = 4; i < 8 + body.length; i++) crc = CRC[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  view.setUint32(8 + body.length, ~crc >>> 0);
  return bytes;
}

// A grey PNG, white = missing, of a mask given row by row.
export async function encodePng(marked, width, height) {
  const rows = new Uint8Array((width + 1) * height);
  for (let y = 0; y < height; y++) {
    const to = y * (width + 1) + 1;
    for (let x = 0; x < width; x++) rows[to + x] = marked[y * width + x] ? 255 : 0;
  }
  const packed = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const data = new Uint8Array(await new Response(packed).arrayBuffer());
  const head = new Uint8Array(13);
  const view = new DataView(head.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  head[8] = 8; // bits of one grey channel
  const signature = new Uint8Array([137, 80, 78, 71, 13, 10, 26, 10]);
  const parts = [signature, chunk("IHDR", head), chunk("IDAT", data), chunk("IEND", new Uint8Array(0))];
  return new Blob(parts, { type: "image/png" });
}

// What is white in a picture (above half; transparent counts as black), row by row, in pieces that any browser can draw.
export function readMarked(bitmap) {
  const { width, height } = bitmap;
  const out = new Uint8Array(width * height);
  const canvas = document.createElement("canvas");
  const side = 1024;
  canvas.width = Math.min(side, width);
  canvas.height = Math.min(side, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  for (let top = 0; top < height; top += side) {
    for (let left = 0; left < width; left += side) {
      const wide = Math.min(side, width - left);
      const high = Math.min(side, height - top);
      context.fillStyle = "#000";
      context.fillRect(0, 0, wide, high);
      context.drawImage(bitmap, left, top, wide, high, 0, 0, wide, high);
      const { data } = context.getImageData(0, 0, wide, high);
      for (let y = 0; y < high; y++) {
        const to = (top + y) * width + left;
        for (let x = 0; x < wide; x++) {
          const i = 4 * (y * wide + x);
          if (data[i] + data[i + 1] + data[i + 2] > 382) out[to + x] = 1;
        }
      }
    }
  }
  return out;
}
