// One photo at a time; answers stay in the page (and in the browser's store where it lets us) until they are saved.
"use strict";

(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const frame = at("frame");
  const images = [...frame.querySelectorAll("img")];
  const store = `study-${data.study}`;
  // Tells one judge's file from another's where names and answers are the same.
  const drawId = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  let id = drawId();
  let answers = images.map(() => null);
  let place = 0;
  let saved = true;
  let cross = null;
  let keptName = "";

  const answered = () => answers.filter((answer) => answer !== null).length;

  try {
    const kept = JSON.parse(localStorage.getItem(store));
    if (Array.isArray(kept?.answers) && kept.answers.length === images.length) {
      answers = kept.answers;
      id = kept.id || id;
      keptName = kept.judge || "";
      at("judge").value = keptName;
      place = Math.max(0, answers.indexOf(null));
      saved = answered() === 0;
      if (!saved) {
        at("kept").textContent = `This browser keeps answers${keptName && ` of ${keptName}`} to ${answered()} of ${images.length} photos. Somebody else starts anew.`;
        at("kept").hidden = false;
        at("begin").textContent = "Go on where you stopped";
        at("anew").hidden = false;
      }
    }
  } catch { /* without a store the answers stay in the page alone */ }

  function keep() {
    saved = answered() === 0;
    try {
      localStorage.setItem(store, JSON.stringify({ id, answers, judge: at("judge").value }));
    } catch { /* as above */ }
  }

  function show(section) {
    for (const id of ["start", "judging", "end"]) at(id).hidden = id !== section;
  }

  function tellProgress() {
    at("bar").value = answered();
    at("progress").textContent = at("judging").hidden ? "" : `Photo ${place + 1} of ${images.length}`;
  }

  function put(element, x, y) {
    const [width, height] = data.sizes[place];
    element.style.setProperty("--at-x", `${(100 * x) / width}%`);
    element.style.setProperty("--at-y", `${(100 * y) / height}%`);
    element.hidden = false;
  }

  function render() {
    const [width, height] = data.sizes[place];
    const answer = answers[place];
    images.forEach((image, index) => { image.hidden = index !== place; });
    frame.style.setProperty("--aspect", width / height);
    at("mark").hidden = true;
    if (Array.isArray(answer)) put(at("mark"), ...answer);
    at("cross").hidden = true;
    if (cross) put(at("cross"), ...cross);
    at("none").setAttribute("aria-pressed", String(answer === "real"));
    at("said").textContent = answer === null ? "Where is the fill?"
      : answer === "real" ? "You say: nothing is filled."
      : `You say: the fill is here (${Math.round((100 * answer[0]) / width)} % from the left, ${Math.round((100 * answer[1]) / height)} % from the top).`;
    at("back").disabled = place === 0;
    at("next").disabled = answer === null;
    at("next").textContent = place === images.length - 1 ? "Finish" : "Next \u2192";
    tellProgress();
  }

  function say(answer) {
    answers[place] = answer;
    keep();
    render();
  }

  function go(step) {
    if (step > 0 && answers[place] === null) return;
    cross = null;
    if (place + step >= images.length) { finish(); return; }
    place = Math.max(0, place + step);
    render();
    frame.focus({ preventScroll: true });
  }

  function finish() {
    show("end");
    const missing = images.length - answered();
    at("summary").textContent = `${answered()} of ${images.length} photos answered${missing ? `; ${missing} are left open` : ""}.`;
    tellProgress();
    at("save").focus();
  }

  function begin() {
    show("judging");
    render();
    frame.focus({ preventScroll: true });
  }

  // Back to the first page as it was before anybody judged; a name that was typed just now stays.
  function anew() {
    if (!confirm(`Delete the answers to ${answered()} photos from this browser and start anew? Files that were saved stay.`)) return;
    try { localStorage.removeItem(store); } catch { /* there is none */ }
    id = drawId();
    answers = images.map(() => null);
    place = 0;
    saved = true;
    if (at("judge").value === keptName) at("judge").value = "";
    at("begin").textContent = "Begin";
    at("anew").hidden = true;
    at("kept").hidden = true;
    tellProgress();
    at("judge").focus();
  }

  function save() {
    keep();
    const judge = at("judge").value.trim();
    const content = JSON.stringify({ schema: data.schema, what: "study answers", study: data.study, id, judge, answers }) + "\n";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([content], { type: "application/json" }));
    link.download = `answers-${data.study.slice(0, 8)}${judge ? `-${judge.replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 40)}` : ""}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    saved = true;
  }

  frame.addEventListener("click", (event) => {
    const box = frame.getBoundingClientRect();
    const [width, height] = data.sizes[place];
    const inside = (value, most) => Math.min(most, Math.max(0, Math.round(value * 10) / 10));
    cross = null;
    say([inside(((event.clientX - box.left) / box.width) * width, width), inside(((event.clientY - box.top) / box.height) * height, height)]);
  });

  document.addEventListener("keydown", (event) => {
    if (at("judging").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
    const [width, height] = data.sizes[place];
    const onButton = event.target.closest("button");
    const step = (event.shiftKey ? 0.08 : 0.02) * Math.min(width, height);
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (event.key in moves) {
      const [x, y] = cross || (Array.isArray(answers[place]) ? answers[place] : [width / 2, height / 2]);
      cross = [Math.min(width, Math.max(0, x + moves[event.key][0])), Math.min(height, Math.max(0, y + moves[event.key][1]))];
      put(at("cross"), ...cross);
    } else if (event.key === " " && !onButton) {
      if (!cross) return;
      say(cross.map((value) => Math.round(value * 10) / 10));
    } else if (event.key === "Enter" && !onButton) go(1);
    else if (event.key === "Backspace") go(-1);
    else if (event.key.toLowerCase() === "n") say("real");
    else return;
    event.preventDefault();
  });

  at("begin").addEventListener("click", begin);
  at("anew").addEventListener("click", anew);
  at("none").addEventListener("click", () => say("real"));
  at("next").addEventListener("click", () => go(1));
  at("back").addEventListener("click", () => go(-1));
  at("finish").addEventListener("click", finish);
  at("again").addEventListener("click", begin);
  at("save").addEventListener("click", save);
  at("judge").addEventListener("change", keep);
  addEventListener("beforeunload", (event) => { if (!saved) event.preventDefault(); });
  tellProgress();
})();
