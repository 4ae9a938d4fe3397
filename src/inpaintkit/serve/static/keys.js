// The keyboard map: one table, from which both the handler and the list under `?` are made.

export const MAC = /Mac|iPhone|iPad/.test(navigator.platform);
const COMMAND = MAC ? "⌘" : "Ctrl";

// Each row: what it does, how it is written, and the action's name (null where the pointer handles it).
// `key` is compared with event.key in lower case; `mod` means Ctrl or Cmd; `still` means that no control has the focus.
export const KEYS = [
  ["Draw", [
    { what: "Brush", shown: ["B"], key: "b", action: "brush" },
    { what: "Eraser", shown: ["E"], key: "e", action: "eraser" },
    { what: "Rectangle", shown: ["R"], key: "r", action: "rectangle" },
    { what: "Lasso", shown: ["L"], key: "l", action: "lasso" },
    { what: "Smart lasso", shown: ["S"], key: "s", action: "smart" },
    { what: "Smaller, larger brush", shown: ["[", "]"], key: "[", action: "smaller" },
    { key: "]", action: "larger" },
    { what: "Brush size", shown: ["Alt", "wheel"] },
    { what: "Straight line", shown: ["Shift", "drag or click"] },
    { what: "Take away with lasso or rectangle", shown: ["Alt", "drag"] },
    { what: "Move the brush, put it down and lift it", shown: ["Arrows", "Enter"] },
  ]],
  ["Mask", [
    { what: "Shrink, grow", shown: [",", "."], key: ",", action: "shrink" },
    { key: ".", action: "grow" },
    { what: "Invert", shown: ["I"], key: "i", action: "invert" },
    { what: "Clear", shown: ["Delete"], key: "delete", action: "clear" },
    { key: "backspace", action: "clear", still: true },
  ]],
  ["Fill", [
    { what: "Fill", shown: ["Shift", "R"], key: "r", shift: true, action: "fill" },
    { what: "Try another", shown: ["N"], key: "n", action: "another" },
    { what: "More strokes before it fills by itself", shown: [COMMAND, "drag"] },
    { what: "Undo", shown: [COMMAND, "Z"], key: "z", mod: true, action: "undo" },
    { what: "Redo", shown: ["Shift", COMMAND, "Z"], key: "z", mod: true, shift: true, action: "redo" },
    { key: "y", mod: true, action: "redo" },
  ]],
  ["Look", [
    { what: "Zoom to the pointer", shown: ["wheel or pinch"] },
    { what: "Pan", shown: ["Space", "drag"] },
    { what: "Zoom in, out", shown: ["+", "−"], key: "+", action: "zoomIn" },
    { key: "=", action: "zoomIn" },
    { key: "-", action: "zoomOut" },
    { what: "Fit, 100 %", shown: ["0", "1"], key: "0", action: "fit" },
    { key: "1", action: "actual" },
    { what: "Cancel, else reset zoom and pan", shown: ["Esc"], key: "escape", action: "reset" },
    { what: "Original while held (pointer on the photo)", shown: ["Tab"] },
    { what: "Before and after", shown: ["C"], key: "c", action: "compare" },
  ]],
  ["File", [
    { what: "Open photos", shown: ["O"], key: "o", action: "open" },
    { what: "Save", shown: [COMMAND, "S"], key: "s", mod: true, action: "save" },
    { what: "Copy the result", shown: [COMMAND, "C"], key: "c", mod: true, action: "copy" },
    { what: "Paste a photo", shown: [COMMAND, "V"] },
    { what: "This list", shown: ["H", "?"], key: "h", action: "help" },
    { key: "?", shift: true, action: "help" },
    { key: "?", action: "help" },
  ]],
];

const ROWS = KEYS.flatMap(([, rows]) => rows).filter((row) => row.action);

// The action of a key press, or null.
export function actionOf(event) {
  const key = event.key.toLowerCase();
  const mod = event.ctrlKey || event.metaKey;
  const free = key === "+" || key === "="; // Shift belongs to the key itself on some keyboards
  const row = ROWS.find((r) => r.key === key && !!r.mod === mod && (free || !!r.shift === event.shiftKey));
  if (!row || event.altKey) return null;
  const still = event.target === document.body || event.target.id === "stage";
  return row.still && !still ? null : row.action;
}

// True where a key belongs to what has the focus.
export function typing(target) {
  return Boolean(target.closest?.("input:not([type=range], [type=checkbox], [type=radio]), textarea, select"));
}

export function fillHelp(element) {
  for (const [title, rows] of KEYS) {
    const section = document.createElement("section");
    section.append(Object.assign(document.createElement("h3"), { textContent: title }));
    const list = document.createElement("dl");
    for (const { what, shown } of rows) {
      if (!what) continue;
      const keys = document.createElement("dt");
      for (const part of shown) keys.append(Object.assign(document.createElement("kbd"), { textContent: part }), " ");
      const line = document.createElement("div");
      line.append(keys, Object.assign(document.createElement("dd"), { textContent: what }));
      list.append(line);
    }
    section.append(list);
    element.append(section);
  }
}
