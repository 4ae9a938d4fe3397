// Lists that are drawn from the state: the fills of a photo, the strip of photos, the tools, the models.

import { TOOLS } from "./tools.js";

export const $ = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

// A small square or oblong of a picture, cut to cover it.
function cover(canvas, picture, width, height) {
  canvas.width = width;
  canvas.height = height;
  const scale = Math.max(width / picture.width, height / picture.height);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(
    picture, (width - picture.width * scale) / 2, (height - picture.height * scale) / 2,
    picture.width * scale, picture.height * scale,
  );
}

export function thumbnail(bitmap) {
  const canvas = make("canvas");
  cover(canvas, bitmap, 152, 112);
  return canvas;
}

// "Fill 2", or "Fill 2 b" for the second try at the same hole.
export function names(fills) {
  const groups = [];
  return fills.map((fill) => {
    let group = groups.find((g) => g.parent === fill.parent && g.mask === fill.mask);
    if (!group) groups.push((group = { parent: fill.parent, mask: fill.mask, tries: 0 }));
    group.tries += 1;
    const letter = group.tries > 1 ? ` ${String.fromCharCode(96 + ((group.tries - 1) % 26) + 1)}` : "";
    return `Fill ${groups.indexOf(group) + 1}${letter}`;
  });
}

export function drawFills(list, photo, go) {
  const held = list.contains(document.activeElement) ? document.activeElement.dataset.fill : null;
  list.replaceChildren();
  $("noFills").hidden = Boolean(photo?.fills.length);
  if (!photo?.fills.length) return;
  const path = new Set(photo.path());
  const row = (fill, title, size, picture) => {
    const text = `${size.width} × ${size.height}`;
    const canvas = make("canvas", { "aria-hidden": "true" });
    if (picture) cover(canvas, picture, 88, 88);
    const words = make("span", {}, make("strong", { textContent: title }), make("span", { textContent: text }));
    const button = make("button", { type: "button", onclick: () => go(fill) }, canvas, words);
    button.dataset.fill = fill ? fill.id : 0;
    button.setAttribute("aria-current", String(fill === photo.current));
    if (fill) button.title = `${fill.model}, ${fill.seconds.toFixed(1)} s`;
    if (fill && !path.has(fill)) button.className = "aside";
    const item = make("li", {}, button);
    list.append(item);
    if (button.dataset.fill === held) button.focus();
    if (fill === photo.current) item.scrollIntoView?.({ block: "nearest", inline: "nearest" });
  };
  row(null, "Original", photo, photo.thumb);
  const titles = names(photo.fills);
  photo.fills.forEach((fill, index) => row(fill, titles[index], fill.window, photo.thumbOf(fill)));
}

export function drawStrip(list, photos, current, { choose, drop }) {
  const held = list.contains(document.activeElement) ? document.activeElement.dataset.photo : null;
  list.replaceChildren();
  for (const photo of photos) {
    const button = make("button", { type: "button", className: "photo", onclick: () => choose(photo) });
    button.title = photo.name;
    const done = photo.path().length;
    const marked = photo.mask && !photo.mask.empty ? ", marked" : "";
    const how = photo.failed ? ", could not be filled" : photo.job ? ", being filled" : done ? `, ${done} fills` : marked;
    button.setAttribute("aria-label", `${photo.name}${how}`);
    button.setAttribute("aria-current", String(photo === current));
    button.dataset.photo = photo.id;
    if (photo.thumb) button.append(photo.thumb);
    const text = photo.failed ? "!" : photo.job ? "…" : done ? `✓ ${done}` : marked ? "●" : "";
    const state = make("span", { className: photo.failed ? "state bad" : "state", textContent: text, "aria-hidden": "true" });
    button.append(state);
    const title = `Close ${photo.name}`;
    const close = make("button", { type: "button", className: "drop", title, onclick: () => drop(photo) }, icon("close"));
    close.setAttribute("aria-label", title);
    list.append(make("li", {}, button, close));
    if (button.dataset.photo === held) button.focus();
  }
}

// The tools as a group of radio buttons: one tab stop, arrows go from one to the next.
export function drawTools(bar, choose) {
  const pan = { label: "Move", key: "Space", hint: "Drag to move; two fingers do it with any tool." };
  for (const [name, { label, key, hint }] of Object.entries({ ...TOOLS, pan })) {
    const button = make("button", { type: "button", className: "tool", role: "radio", onclick: () => choose(name) }, icon(name));
    button.append(make("span", { className: "name", textContent: label.split(" ")[0] }));
    button.title = `${label} (${key}): ${hint}`;
    button.setAttribute("aria-label", label);
    button.dataset.tool = name;
    bar.append(button);
  }
  bar.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const buttons = [...bar.children];
    const next = buttons[(buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length];
    next.focus();
    next.click();
  });
}

export function markTool(bar, tool) {
  for (const button of bar.children) {
    const on = button.dataset.tool === tool;
    button.setAttribute("aria-checked", String(on));
    button.tabIndex = on ? 0 : -1;
  }
}

export function drawModels(select, models, chosen) {
  select.replaceChildren(...models.map(({ name, title }) => new Option(title || name, name)));
  select.value = chosen;
}
