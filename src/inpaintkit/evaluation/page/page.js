// The page works without this script; with it tables sort, figures and pictures can be chosen, and pictures enlarge.
"use strict";

(() => {
  document.documentElement.classList.add("scripted");
  const data = JSON.parse(document.getElementById("data").textContent);
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  function make(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
      else if (value === true) made.setAttribute(key, "");
      else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  }

  // ---- Definitions on hover and focus ----------------------------------------------------------------------------

  const tip = make("div", { class: "tip", role: "tooltip", id: "tip", hidden: true });
  document.body.append(tip);

  function showTip(words, target) {
    tip.textContent = words;
    tip.hidden = false;
    const place = target.getBoundingClientRect();
    const size = tip.getBoundingClientRect();
    const left = Math.min(Math.max(8, place.left + place.width / 2 - size.width / 2), innerWidth - size.width - 8);
    const above = place.top - size.height - 8;
    tip.style.left = `${left}px`;
    tip.style.top = `${above > 8 ? above : place.bottom + 8}px`;
  }

  const hideTip = () => { tip.hidden = true; };
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hideTip(); });
  document.addEventListener("scroll", hideTip, { capture: true, passive: true });

  // ---- Tables that sort ------------------------------------------------------------------------------------------

  function sortTable(table, column, heading) {
    const better = heading.dataset.better;
    const first = better === "higher" ? "descending" : "ascending";
    const now = heading.getAttribute("aria-sort");
    const order = now === null ? first : now === "ascending" ? "descending" : "ascending";
    for (const other of all("thead th", table)) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", order);
    const body = table.tBodies[0];
    const textual = heading.dataset.kind === "text";
    const keyed = [...body.rows].map((row, place) => {
      const value = row.cells[column]?.dataset.value;
      return { row, place, value: value === undefined ? null : textual ? value : Number(value) };
    });
    const sign = order === "ascending" ? 1 : -1;
    keyed.sort((a, b) => {
      if (a.value === null || b.value === null) return (a.value === null) - (b.value === null) || a.place - b.place;
      const compared = textual ? a.value.localeCompare(b.value) : a.value - b.value;
      return sign * compared || a.place - b.place;
    });
    body.append(...keyed.map((each) => each.row));
  }

  for (const table of all("table.sortable")) {
    all("thead th", table).forEach((heading, column) => {
      const words = heading.getAttribute("title");
      heading.removeAttribute("title");
      const button = make("button", { type: "button", class: "sort-button" }, ...one(".sort", heading).childNodes);
      heading.replaceChildren(button);
      button.addEventListener("click", () => sortTable(table, column, heading));
      if (!words) return;
      const definition = heading.dataset.metric && document.getElementById(`def-${heading.dataset.metric}`);
      if (definition) button.setAttribute("aria-describedby", definition.id);
      else button.setAttribute("aria-description", words);
      for (const kind of ["mouseenter", "focus"]) button.addEventListener(kind, () => showTip(words, button));
      for (const kind of ["mouseleave", "blur"]) button.addEventListener(kind, hideTip);
    });
  }

  // ---- Figures ---------------------------------------------------------------------------------------------------

  const figureForm = document.getElementById("figure-controls");

  function showPanel() {
    const metric = document.getElementById("metric-choice").value;
    const group = document.getElementById("group-choice")?.value;
    const reference = document.getElementById("reference-choice")?.value;
    for (const panel of all(".panel")) {
      const chosen = panel.dataset.metric === metric && (group === undefined || panel.dataset.group === group);
      panel.hidden = !chosen;
      panel.open = chosen;
      if (reference === undefined) continue;
      for (const chart of all("[data-reference]", panel)) chart.hidden = chart.dataset.reference !== reference;
    }
  }

  if (figureForm) {
    figureForm.addEventListener("submit", (event) => event.preventDefault());
    figureForm.addEventListener("change", showPanel);
    showPanel();
    document.getElementById("figures").addEventListener("mouseover", (event) => {
      const series = event.target.closest?.(".series");
      for (const lit of all(".lit")) lit.classList.remove("lit");
      for (const dimmed of all(".dimmed")) dimmed.classList.remove("dimmed");
      if (!series) return;
      const panel = series.closest(".panel");
      panel.classList.add("dimmed");
      for (const same of all(`.series[data-m="${series.dataset.m}"]`, panel)) same.classList.add("lit");
    });
  }

  // ---- The grid of pictures --------------------------------------------------------------------------------------

  const cards = document.getElementById("cards");
  const gridForm = document.getElementById("grid-controls");
  const shownCases = () => data.cases.filter((each) => !document.getElementById(each.id).hidden);
  const metricOf = (name) => data.metrics.find((metric) => metric.name === name);

  function caseOrder(key) {
    const down = (value) => (value === null || value === undefined ? Infinity : -value);
    if (key === "area") return (each) => down(each.area);
    if (key === "depth") return (each) => (each.depth === null ? -Infinity : -each.depth);
    if (key.startsWith("m")) {
      const sign = metricOf(data.sorted_by).better === "higher" ? -1 : 1;
      const method = Number(key.slice(1));
      return (each) => {
        const score = each.scores[method];
        if (score.error) return -Infinity;
        const value = score[data.sorted_by];
        return value === null ? Infinity : -sign * value;
      };
    }
    return (each) => each.rank;
  }

  function arrangeCards() {
    const key = document.getElementById("sort").value;
    const group = document.getElementById("group-filter")?.value;
    const bin = document.getElementById("bin-filter").value;
    const order = caseOrder(key);
    data.cases.sort((a, b) => {
      if (key === "photo") return a.photo.localeCompare(b.photo) || a.rank - b.rank;
      const first = order(a), second = order(b);
      return first < second ? -1 : first > second ? 1 : a.rank - b.rank;
    });
    cards.append(...data.cases.map((each) => document.getElementById(each.id)));
    for (const each of data.cases) {
      document.getElementById(each.id).hidden = Boolean((group && each.group !== group) || (bin && each.bin !== bin));
    }
    cards.dataset.view = document.getElementById("view").value;
    const count = document.getElementById("shown-count");
    count.textContent = `${shownCases().length} of ${data.cases.length} shown`;
  }

  if (gridForm) {
    gridForm.addEventListener("submit", (event) => event.preventDefault());
    gridForm.addEventListener("change", arrangeCards);
    arrangeCards();
    buildViewer();
  }

  // ---- The enlarged picture --------------------------------------------------------------------------------------

  function buildViewer() {
    const names = [["truth", "photo"], ["given", "input"], ...data.methods.map((label, place) => [`m${place}`, label])];
    const state = { at: null, left: "truth", right: "m0", split: 50, zoom: 1, x: 0, y: 0 };
    const title = make("h2", { id: "viewer-title" });
    const about = make("p");
    const leftLayer = make("div", { class: "layer left" });
    const rightLayer = make("div", { class: "layer right" });
    const outline = make("div", { class: "layer outline", hidden: true });
    const leftLabel = make("span", { class: "stage-label of-left" });
    const rightLabel = make("span", { class: "stage-label of-right" });
    const divider = make("div", {
      class: "divider", role: "slider", tabindex: "0", "aria-label": "Where the left picture ends and the right begins",
      "aria-valuemin": "0", "aria-valuemax": "100", "aria-orientation": "horizontal",
    });
    const stage = make("div", { class: "stage" }, leftLayer, rightLayer, outline, leftLabel, rightLabel, divider);
    const choice = (id) => make("select", { id }, ...names.map(([key, label]) => make("option", { value: key }, label)));
    const leftChoice = choice("left-choice");
    const rightChoice = choice("right-choice");
    const holeTick = make("input", { type: "checkbox", id: "hole-tick" });
    const zoomValue = make("span", { class: "zoom-value", role: "status" });
    const button = (label, spoken, action) =>
      make("button", { type: "button", class: "button", "aria-label": spoken, title: spoken, onclick: action }, label);
    const scores = make("div", { class: "scroll scores", tabindex: "0", role: "region", "aria-label": "Scores of this photo" });
    const dialog = make("dialog", { class: "viewer", "aria-labelledby": "viewer-title" },
      make("div", { class: "viewer-inside" },
        make("div", { class: "viewer-head" }, make("div", {}, title, about), button("Close", "Close (Escape)", () => dialog.close())),
        make("div", { class: "stage-room" }, stage),
        make("div", { class: "viewer-foot" },
          make("div", { class: "controls" },
            make("label", { for: "left-choice" }, make("span", {}, "Left"), leftChoice),
            make("label", { for: "right-choice" }, make("span", {}, "Right"), rightChoice),
            make("label", { class: "tick", for: "hole-tick" }, holeTick, make("span", {}, "show hole")),
            make("span", { class: "spacer" }),
            make("div", { class: "buttons" },
              button("\u2212", "Zoom out (-)", () => zoomBy(1 / 1.5)), zoomValue,
              button("+", "Zoom in (+)", () => zoomBy(1.5)), button("Fit", "Fit (0)", () => { Object.assign(state, { zoom: 1, x: 0, y: 0 }); place(); }),
              button("\u2191", "Previous photo (up)", () => stepPhoto(-1)), button("\u2193", "Next photo (down)", () => stepPhoto(1)))),
          scores,
          make("p", { class: "keys" }, "\u2190 \u2192 step the right picture through the methods, \u2191 \u2193 photos, + \u2212 0 zoom, H hole, Escape closes; on the slider \u2190 \u2192 move it."))));
    document.body.append(dialog);

    const pictureOf = (key) => one(`[data-key="${key}"] img`, document.getElementById(state.at.id));
    const labelOf = (key) => names.find(([other]) => other === key)[1];

    function fillLayer(layer, key) {
      const source = pictureOf(key);
      layer.replaceChildren();
      if (source) {
        layer.append(make("img", { src: source.src, alt: source.alt, draggable: "false" }));
        return;
      }
      const base = pictureOf("given");
      if (base) layer.append(make("img", { src: base.src, alt: base.alt, draggable: "false" }));
      const method = Number(key.slice(1));
      const error = key.startsWith("m") ? state.at.scores[method].error : undefined;
      layer.append(make("p", { class: "failed" }, error ? `${labelOf(key)} failed: ${error}` : "This picture was not kept."));
    }

    function render() {
      title.textContent = state.at.photo;
      about.textContent = state.at.about;
      const truth = pictureOf("truth");
      if (truth) stage.style.setProperty("--aspect", truth.getAttribute("width") / truth.getAttribute("height"));
      fillLayer(leftLayer, state.left);
      fillLayer(rightLayer, state.right);
      const mask = one(".cell .below img", document.getElementById(state.at.id));
      outline.replaceChildren(...(mask ? [make("img", { src: mask.src, alt: "", draggable: "false" })] : []));
      leftChoice.value = state.left;
      rightChoice.value = state.right;
      leftLabel.textContent = labelOf(state.left);
      rightLabel.textContent = labelOf(state.right);
      renderScores();
      place();
    }

    function renderScores() {
      const chosen = [...new Set([state.left, state.right])].filter((key) => key.startsWith("m"));
      const metrics = data.metrics.filter((metric) =>
        state.at.scores.some((score) => score[metric.name] !== null && score[metric.name] !== undefined));
      const head = make("tr", {}, make("th", { scope: "col" }, "this photo"),
        ...metrics.map((metric) => make("th", { scope: "col" }, metric.label + (metric.unit ? `, ${metric.unit}` : ""))));
      const rows = chosen.map((key) => {
        const score = state.at.scores[Number(key.slice(1))];
        const cells = score.error
          ? [make("td", { colspan: metrics.length, class: "failed-row" }, score.error)]
          : metrics.map((metric) => {
            const value = score[metric.name];
            return make("td", {}, value === null ? "\u2013" : value.toFixed(metric.digits).replace("-", "\u2212"));
          });
        return make("tr", {}, make("th", { scope: "row" }, labelOf(key)), ...cells);
      });
      scores.replaceChildren(make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
      scores.hidden = rows.length === 0;
    }

    function place() {
      const width = stage.clientWidth, height = stage.clientHeight;
      state.zoom = Math.min(16, Math.max(1, state.zoom));
      state.x = Math.min(0, Math.max(width * (1 - state.zoom), state.x));
      state.y = Math.min(0, Math.max(height * (1 - state.zoom), state.y));
      const truth = pictureOf("truth");
      const natural = truth ? Number(truth.getAttribute("width")) : width;
      stage.classList.toggle("crisp", (width * state.zoom) / natural >= 4);
      stage.style.setProperty("--zoom", state.zoom);
      stage.style.setProperty("--x", `${state.x}px`);
      stage.style.setProperty("--y", `${state.y}px`);
      stage.style.setProperty("--split", `${state.split}%`);
      divider.setAttribute("aria-valuenow", Math.round(state.split));
      divider.setAttribute("aria-valuetext", `${Math.round(state.split)} percent ${labelOf(state.left)}, the rest ${labelOf(state.right)}`);
      zoomValue.textContent = `${Math.round(state.zoom * 100)} %`;
    }

    function zoomAt(factor, x, y) {
      const before = state.zoom;
      state.zoom = Math.min(16, Math.max(1, before * factor));
      state.x = x - (x - state.x) * (state.zoom / before);
      state.y = y - (y - state.y) * (state.zoom / before);
      place();
    }

    function zoomBy(factor) { zoomAt(factor, stage.clientWidth / 2, stage.clientHeight / 2); }

    function stepMethod(step) {
      const keys = names.map(([key]) => key);
      state.right = keys[(keys.indexOf(state.right) + step + keys.length) % keys.length];
      render();
    }

    function stepPhoto(step) {
      const cases = shownCases().filter((each) => one("[data-key=truth]", document.getElementById(each.id)));
      state.at = cases[(cases.indexOf(state.at) + step + cases.length) % cases.length];
      render();
    }

    function moveSplit(to) {
      state.split = Math.min(100, Math.max(0, to));
      place();
    }

    leftChoice.addEventListener("change", () => { state.left = leftChoice.value; render(); });
    rightChoice.addEventListener("change", () => { state.right = rightChoice.value; render(); });
    holeTick.addEventListener("change", () => { outline.hidden = !holeTick.checked; });

    divider.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10 };
      if (event.key in steps) moveSplit(state.split + steps[event.key]);
      else if (event.key === "Home") moveSplit(0);
      else if (event.key === "End") moveSplit(100);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });

    dialog.addEventListener("keydown", (event) => {
      if (event.target.closest("select") || event.ctrlKey || event.metaKey || event.altKey) return;
      const actions = {
        ArrowLeft: () => stepMethod(-1), ArrowRight: () => stepMethod(1), ArrowUp: () => stepPhoto(-1), ArrowDown: () => stepPhoto(1),
        "+": () => zoomBy(1.5), "=": () => zoomBy(1.5), "-": () => zoomBy(1 / 1.5),
        0: () => { Object.assign(state, { zoom: 1, x: 0, y: 0 }); place(); },
        h: () => { holeTick.checked = !holeTick.checked; outline.hidden = !holeTick.checked; },
      };
      const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (!action) return;
      event.preventDefault();
      action();
    });

    // One finger or the mouse moves the slider from its line, the picture from elsewhere; two fingers zoom.
    const pointers = new Map();
    let held = null;
    const inStage = (event) => {
      const box = stage.getBoundingClientRect();
      return { x: event.clientX - box.left, y: event.clientY - box.top };
    };
    stage.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      stage.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, inStage(event));
      held = event.target === divider || state.zoom === 1 ? "split" : "pan";
      if (pointers.size === 2) held = "pinch";
      if (held === "split" && event.target !== divider) moveSplit((100 * inStage(event).x) / stage.clientWidth);
      stage.classList.toggle("dragged", held === "pan");
      if (event.target !== divider) event.preventDefault();
    });
    stage.addEventListener("pointermove", (event) => {
      if (!pointers.has(event.pointerId)) return;
      const before = pointers.get(event.pointerId), now = inStage(event);
      if (held === "pinch" && pointers.size === 2) {
        const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
        const apart = (a, b) => Math.max(1, Math.hypot(a.x - b.x, a.y - b.y));
        state.x += (now.x - before.x) / 2;
        state.y += (now.y - before.y) / 2;
        zoomAt(apart(now, other) / apart(before, other), (now.x + other.x) / 2, (now.y + other.y) / 2);
      } else if (held === "split") {
        moveSplit((100 * now.x) / stage.clientWidth);
      } else if (held === "pan") {
        state.x += now.x - before.x;
        state.y += now.y - before.y;
        place();
      }
      pointers.set(event.pointerId, now);
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      stage.addEventListener(kind, (event) => {
        pointers.delete(event.pointerId);
        held = pointers.size ? "pan" : null;
        stage.classList.remove("dragged");
      });
    }
    stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      const at = inStage(event);
      zoomAt(Math.exp(-event.deltaY / 400), at.x, at.y);
    }, { passive: false });
    stage.addEventListener("dblclick", (event) => {
      const at = inStage(event);
      zoomAt(state.zoom > 1 ? 1 / state.zoom : 3, at.x, at.y);
    });
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    addEventListener("resize", () => { if (dialog.open) place(); });

    cards.addEventListener("click", (event) => {
      const thumb = event.target.closest(".thumb");
      if (!thumb) return;
      state.at = data.cases.find((each) => each.id === thumb.closest(".card").id);
      const key = thumb.dataset.key;
      if (key.startsWith("m")) state.right = key;
      else state.left = key;
      Object.assign(state, { zoom: 1, x: 0, y: 0, split: key === "truth" || key === "given" ? 100 : 50 });
      dialog.showModal();
      render();
      divider.focus({ preventScroll: true, focusVisible: false });
      stage.tabIndex = -1;
      stage.focus({ preventScroll: true });
    });
  }
})();
