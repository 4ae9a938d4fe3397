// One line of steps, strokes and fills alike, that can be gone back and forward.

const MOST_STEPS = 400;
const MOST_BYTES = 256e6;

export class History {
  constructor() {
    this.steps = [];
    this.at = 0;
  }

  // A step has `label`, `undo()`, `redo()` and `bytes`; it has been done already.
  push(step) {
    this.steps.length = this.at;
    this.steps.push(step);
    let bytes = this.steps.reduce((sum, { bytes: b = 0 }) => sum + b, 0);
    while (this.steps.length > MOST_STEPS || (bytes > MOST_BYTES && this.steps.length > 1)) {
      bytes -= this.steps.shift().bytes ?? 0;
    }
    this.at = this.steps.length;
  }

  get canUndo() {
    return this.at > 0;
  }

  get canRedo() {
    return this.at < this.steps.length;
  }

  // Each returns the step's label, or null where there is none.
  undo() {
    if (!this.canUndo) return null;
    const step = this.steps[--this.at];
    step.undo();
    return step.label;
  }

  redo() {
    if (!this.canRedo) return null;
    const step = this.steps[this.at++];
    step.redo();
    return step.label;
  }
}
