// What the pointer does on the stage: drawing tools, pan and zoom by mouse, pen, fingers, wheel and keyboard.

const FINE = 0.75; // CSS pixels that the pointer moves before a new point is taken

export const TOOLS = {
  brush: { label: "Brush", key: "B", sized: true, hint: "Paint over what should go. Shift draws a straight line." },
  eraser: { label: "Eraser", key: "E", sized: true, hint: "Rub out what is marked. Shift draws a straight line." },
  rectangle: { label: "Rectangle", key: "R", hint: "Drag from corner to corner." },
  lasso: { label: "Lasso", key: "L", hint: "Draw round it; the outline closes itself." },
  smart: { label: "Smart lasso", key: "S", hint: "Draw roughly round it; the mask snaps to the object." },
};

// Handles the pointer. `host` says how things stand and hears what is done:
//   photo(), tool(), size() in photo pixels, adding(), boxed(), pressure(), locked(), panning(),
//   changed(step, tool, event), select(request), resized(factor), told(text)
export class Pointer {
  constructor(stage, element, host) {
    this.stage = stage;
    this.element = element;
    this.host = host;
    this.at = null; // where the pointer is, in stage coordinates, or null
    this.kind = "mouse";
    this.draft = null; // the drawing under way
    this.pan = null;
    this.fingers = new Map();
    this.pinch = null;
    this.keyed = false; // drawn by keyboard
    this.previewed = 0; // the brush is shown in the middle while its size is chosen elsewhere

    const on = (name, act, options) => element.addEventListener(name, act, options);
    on("pointerdown", (event) => this.down(event));
    on("pointermove", (event) => this.move(event));
    on("pointerup", (event) => this.up(event));
    on("pointercancel", (event) => this.lost(event));
    on("pointerleave", () => this.leave());
    on("wheel", (event) => this.wheel(event), { passive: false });
    // Safari tells of a pinch on the trackpad by events of its own
    on("gesturestart", (event) => {
      event.preventDefault();
      this.gesture = 1;
    });
    on("gesturechange", (event) => {
      event.preventDefault();
      if (!this.host.photo() || this.fingers.size) return;
      const { x, y } = this.place(event);
      this.stage.zoomAt(x, y, this.stage.view.scale * (event.scale / this.gesture));
      this.gesture = event.scale;
    });
    on("contextmenu", (event) => event.preventDefault());
    on("auxclick", (event) => event.preventDefault());
  }

  place(event) {
    const box = this.element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  down(event) {
    if (!this.host.photo()) return;
    this.element.setPointerCapture(event.pointerId);
    this.kind = event.pointerType;
    const at = (this.at = this.place(event));
    if (event.pointerType === "touch") {
      if (this.draft?.pen) return; // the hand that rests beside a pen
      this.fingers.set(event.pointerId, at);
      if (this.fingers.size === 2) {
        this.cancel();
        this.startPinch();
        return;
      }
      if (this.fingers.size > 2) return;
    }
    if (event.button === 1 || this.host.panning() || (event.button === 0 && this.host.locked())) {
      this.pan = at;
      this.element.classList.add("grabbing");
      event.preventDefault();
      return;
    }
    if (event.button === 0 || event.button === 5) this.start(at, event);
  }

  move(event) {
    const at = this.place(event);
    if (event.pointerType !== "touch" || this.draft || !this.at) this.at = at;
    if (this.fingers.has(event.pointerId)) this.fingers.set(event.pointerId, at);
    if (this.pinch) this.movePinch();
    else if (this.pan) {
      this.stage.panBy(at.x - this.pan.x, at.y - this.pan.y);
      this.pan = at;
    } else if (this.draft && !this.keyed) {
      const all = event.getCoalescedEvents?.() ?? [];
      for (const part of all.length ? all : [event]) this.go(this.place(part), part);
    }
    this.kind = event.pointerType;
    this.stage.outlineChanged();
  }

  up(event) {
    this.fingers.delete(event.pointerId);
    if (this.pinch) {
      if (this.fingers.size < 2) this.pinch = null;
    } else if (this.pan) {
      this.pan = null;
      this.element.classList.remove("grabbing");
    } else if (this.draft && !this.keyed) {
      this.go(this.place(event), event);
      this.finish(event);
    }
    if (event.pointerType === "touch") this.at = null;
    this.stage.outlineChanged();
  }

  lost(event) {
    this.fingers.delete(event.pointerId);
    this.pinch = null;
    this.pan = null;
    this.element.classList.remove("grabbing");
    if (!this.keyed) this.cancel();
  }

  leave() {
    if (!this.draft && !this.keyed) this.at = null;
    this.stage.outlineChanged();
  }

  startPinch() {
    const [a, b] = [...this.fingers.values()];
    this.pinch = { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, span: Math.hypot(a.x - b.x, a.y - b.y) || 1 };
    this.at = null;
  }

  movePinch() {
    const before = this.pinch;
    if (this.fingers.size < 2) return;
    this.startPinch();
    const now = this.pinch;
    this.stage.panBy(now.x - before.x, now.y - before.y);
    this.stage.zoomAt(now.x, now.y, this.stage.view.scale * (now.span / before.span));
  }

  wheel(event) {
    if (!this.host.photo()) return;
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 32 : event.deltaMode === 2 ? 400 : 1;
    const delta = (event.deltaY || event.deltaX) * unit;
    if (event.altKey) {
      this.host.resized(Math.exp(-delta * 0.0015));
      return;
    }
    const { x, y } = this.place(event);
    // a pinch on a trackpad arrives as a wheel with Ctrl, in small steps
    const factor = Math.exp(-Math.max(-200, Math.min(200, delta)) * (event.ctrlKey ? 0.01 : 0.0022));
    this.stage.zoomAt(x, y, this.stage.view.scale * factor);
  }

  // Drawing. `at` is in stage coordinates.

  start(at, event) {
    const photo = this.host.photo();
    const tool = event.button === 5 ? "eraser" : this.host.tool(); // the other end of a pen
    const point = this.disc(at, event);
    const sized = TOOLS[tool].sized;
    this.draft = {
      tool,
      photo,
      sized,
      pen: event.pointerType === "pen",
      add: tool === "eraser" ? false : sized ? true : this.host.adding() !== event.altKey,
      line: sized && event.shiftKey,
      box: tool === "rectangle" || (tool === "smart" && this.host.boxed()),
      first: point,
      last: point,
      points: [point],
      moved: false,
      stageAt: at,
      stageFirst: at,
    };
    if (sized) photo.mask.begin();
    if (sized && !this.draft.line) {
      photo.mask.stroke(point, point, this.draft.add ? 1 : 0);
      this.stage.strokeChanged();
    }
    this.stage.outlineChanged();
  }

  // The brush at a place, in photo pixels; a pen that presses lightly draws thinner.
  disc(at, event) {
    const { x, y } = this.stage.toPhoto(at.x, at.y);
    const pressed = this.host.pressure() && event.pointerType === "pen" && event.pressure > 0;
    const share = pressed ? 0.25 + 0.75 * event.pressure : 1;
    return { x, y, radius: Math.max(0.5, (this.host.size() * share) / 2) };
  }

  go(at, event) {
    const draft = this.draft;
    if (Math.hypot(at.x - draft.stageAt.x, at.y - draft.stageAt.y) < FINE) return;
    if (Math.hypot(at.x - draft.stageFirst.x, at.y - draft.stageFirst.y) > 3) draft.moved = true;
    draft.stageAt = at;
    const point = this.disc(at, event);
    if (draft.sized && !draft.line) {
      draft.photo.mask.stroke(draft.last, point, draft.add ? 1 : 0);
      this.stage.strokeChanged();
    } else if (!draft.box) draft.points.push(point);
    draft.last = point;
    this.stage.outlineChanged();
  }

  finish(event) {
    const draft = this.draft;
    this.draft = null;
    this.keyed = false;
    this.stage.outlineChanged();
    const { photo, tool, first, last, points } = draft;
    const value = draft.add ? 1 : 0;
    if (draft.sized) {
      if (draft.line) photo.mask.stroke(draft.moved || !photo.lastPoint ? first : photo.lastPoint, last, value);
      photo.lastPoint = last;
    } else {
      if (!draft.moved) return; // a click marks nothing with these
      if (tool === "smart") {
        this.host.select(this.request(draft), draft);
        return;
      }
      photo.mask.begin();
      if (tool === "rectangle") photo.mask.rectangle(first.x, first.y, last.x, last.y, value);
      else photo.mask.polygon(points.map(({ x, y }) => [x, y]), value);
    }
    this.stage.strokeChanged();
    const step = photo.mask.end();
    if (step) this.host.changed(step, TOOLS[tool].label, event);
  }

  // The outline or box of the smart lasso, in whole pixels inside the photo.
  request({ photo, box, first, last, points }) {
    const inside = (value, size) => Math.round(Math.max(0, Math.min(size, value)));
    if (box) {
      const left = inside(Math.min(first.x, last.x), photo.width);
      const top = inside(Math.min(first.y, last.y), photo.height);
      const right = inside(Math.max(first.x, last.x), photo.width);
      const bottom = inside(Math.max(first.y, last.y), photo.height);
      return { box: [top, left, bottom - top, right - left] };
    }
    const step = Math.max(1, points.length / 400);
    const outline = [];
    for (let i = 0; i < points.length; i += step) {
      const { x, y } = points[Math.floor(i)];
      outline.push([inside(x, photo.width - 1), inside(y, photo.height - 1)]);
    }
    return { outline };
  }

  // True where there was something to give up.
  cancel() {
    const draft = this.draft;
    if (!draft) return false;
    this.draft = null;
    this.keyed = false;
    if (draft.sized) draft.photo.mask.cancel();
    this.stage.maskChanged();
    this.stage.outlineChanged();
    return true;
  }

  // Keyboard: arrows move the point, Enter puts the tool down and lifts it.

  nudge(dx, dy, event) {
    this.at ??= { x: this.stage.width / 2, y: this.stage.height / 2 };
    this.kind = "mouse";
    this.at = {
      x: Math.max(0, Math.min(this.stage.width, this.at.x + dx)),
      y: Math.max(0, Math.min(this.stage.height, this.at.y + dy)),
    };
    if (this.draft && this.keyed) this.go(this.at, event);
    this.stage.outlineChanged();
  }

  press(event) {
    this.at ??= { x: this.stage.width / 2, y: this.stage.height / 2 };
    this.kind = "mouse";
    const { x, y } = this.stage.toPhoto(this.at.x, this.at.y);
    const where = `${Math.round(x)}, ${Math.round(y)}`;
    if (this.draft && this.keyed) {
      this.finish(event);
      this.host.told(`${TOOLS[this.host.tool()].label} up at ${where}`);
      return;
    }
    this.keyed = true;
    this.start(this.at, event);
    this.host.told(`${TOOLS[this.host.tool()].label} down at ${where}. Arrow keys draw, Enter ends.`);
  }

  // Shows the brush in the middle of the stage for a moment, where no pointer shows it.
  preview() {
    clearTimeout(this.previewed);
    this.previewed = setTimeout(() => {
      this.previewed = 0;
      this.stage.outlineChanged();
    }, 900);
    this.stage.outlineChanged();
  }

  // What is under way, drawn over everything.
  draw(context, stage) {
    const draft = this.draft;
    const two = (paint) => {
      context.lineJoin = context.lineCap = "round";
      context.setLineDash([]);
      context.strokeStyle = "rgba(0, 0, 0, 0.75)";
      context.lineWidth = 3;
      paint();
      context.strokeStyle = "#fff";
      context.lineWidth = 1.25;
      if (draft && !draft.add) context.setLineDash([5, 4]);
      paint();
      context.setLineDash([]);
    };
    if (draft?.box) {
      const a = stage.toStage(draft.first.x, draft.first.y);
      const b = stage.toStage(draft.last.x, draft.last.y);
      context.fillStyle = draft.add ? "rgba(224, 16, 160, 0.3)" : "rgba(255, 255, 255, 0.2)";
      context.fillRect(a.x, a.y, b.x - a.x, b.y - a.y);
      two(() => context.strokeRect(a.x, a.y, b.x - a.x, b.y - a.y));
    } else if (draft && !draft.sized) this.drawPath(context, stage, draft.points, draft.add, two);
    else if (draft?.line) {
      const from = stage.toStage(draft.first.x, draft.first.y);
      const to = stage.toStage(draft.last.x, draft.last.y);
      context.strokeStyle = draft.add ? "rgba(224, 16, 160, 0.5)" : "rgba(255, 255, 255, 0.5)";
      context.lineCap = "round";
      context.lineWidth = Math.max(1, this.host.size() * stage.view.scale);
      context.beginPath();
      context.moveTo(from.x, from.y);
      context.lineTo(to.x, to.y);
      context.stroke();
    }
    const waiting = this.host.waiting?.();
    if (waiting) this.drawPath(context, stage, waiting, true, two);
    if (this.previewed && !this.at) {
      this.ring(context, stage, { x: stage.width / 2, y: stage.height / 2 }, two);
      return;
    }
    if (!this.at || this.pan || this.pinch || this.host.panning() || this.host.locked()) return;
    if (TOOLS[this.host.tool()].sized) this.ring(context, stage, this.at, two);
    else this.cross(context, this.at, 7, two);
  }

  // The brush's outline.
  ring(context, stage, { x, y }, two) {
    const radius = Math.max(1.5, (this.host.size() * stage.view.scale) / 2);
    two(() => {
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.stroke();
    });
    if (radius < 6) this.cross(context, { x, y }, 8, two);
  }

  cross(context, { x, y }, arm, two) {
    two(() => {
      context.beginPath();
      context.moveTo(x - arm, y);
      context.lineTo(x - 2, y);
      context.moveTo(x + 2, y);
      context.lineTo(x + arm, y);
      context.moveTo(x, y - arm);
      context.lineTo(x, y - 2);
      context.moveTo(x, y + 2);
      context.lineTo(x, y + arm);
      context.stroke();
    });
  }

  drawPath(context, stage, points, add, two) {
    const trace = () => {
      context.beginPath();
      points.forEach(({ x, y }, index) => {
        const at = stage.toStage(x, y);
        if (index) context.lineTo(at.x, at.y);
        else context.moveTo(at.x, at.y);
      });
      context.closePath();
    };
    trace();
    context.fillStyle = add ? "rgba(224, 16, 160, 0.3)" : "rgba(255, 255, 255, 0.2)";
    context.fill();
    two(() => {
      trace();
      context.stroke();
    });
  }
}
