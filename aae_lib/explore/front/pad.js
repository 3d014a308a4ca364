// Where images come in: a pad to draw on, on which picture files can be dropped, and which shows encoded digits.

import { centered, imageOf, inkOf } from "./digit.js";
import { fitted, h, pictureOf } from "./dom.js";

const PEN_WIDTH = 0.07; // width of the pen on the page, of the pad's side
const PAUSE = 40; // milliseconds between two readings of a drawing while it grows

export class Pad {
  /** @param on what is done: image(values, text, strokes), fail(error) */
  constructor(on) {
    this.on = on;
    this.strokes = [];
    this.image = null; // of an encoded digit or picture, in place of strokes
    this.canvas = h("canvas", {
      role: "img", class: "aae-canvas", "aria-label": "Pad for a picture",
    });
    this.file = h("input", { type: "file", accept: "image/*", hidden: true, "aria-label": "Picture file" });
    this.file.addEventListener("change", () => this.#read(this.file.files[0]));
    this.hint = h("p", { class: "aae-hint" });
    this.seen = h("canvas", { class: "aae-seen", title: "What the encoder sees" });
    this.element = h("div", { class: "aae-square aae-pad" }, this.canvas, this.hint, this.seen, this.file);
    this.#listen();
  }

  show(latent, colors) {
    const [channels, height, width] = latent.shape;
    this.latent = latent;
    this.canDraw = channels === 1 && height === width;
    this.hint.textContent = this.canDraw ? "Draw here, or drop a picture" : "Drop a picture here";
    this.canvas.setAttribute("aria-label", this.canDraw ? "Drawing pad: mouse or finger" : "Drop a picture here");
    this.element.classList.toggle("aae-drop-only", !this.canDraw);
    this.recolor(colors);
  }

  recolor(colors) {
    this.colors = colors;
    this.paint();
  }

  resize(size) {
    this.size = size;
    this.paint();
  }

  /** Choose a picture file. */
  open() {
    this.file.click();
  }

  /** Show an image in place of the drawing; null: nothing. */
  set(image) {
    this.strokes = [];
    [this.image, this.drawn] = [image, null];
    this.paint();
  }

  paint() {
    if (!this.size || !this.latent) return;
    const { size, colors, image } = this, context = fitted(this.canvas, size, size);
    this.hint.hidden = Boolean(image || this.strokes.length);
    this.seen.hidden = !this.drawn;
    if (this.drawn) pictureOf(this.drawn, this.latent, colors, this.seen);
    if (image) {
      context.imageSmoothingEnabled = false;
      context.drawImage(pictureOf(image, this.latent, colors), 0, 0, size, size);
    }
    context.strokeStyle = colors.ink;
    context.lineWidth = PEN_WIDTH * size;
    context.lineCap = context.lineJoin = "round";
    for (const stroke of this.strokes) {
      context.beginPath();
      for (const [x, y] of stroke) context.lineTo(x * size, y * size);
      if (stroke.length === 1) context.lineTo(stroke[0][0] * size + 0.1, stroke[0][1] * size);
      context.stroke();
    }
  }

  // ------------------------------------------------------------------------------------------------ input

  #listen() {
    const { canvas, element } = this;
    const at = ({ clientX, clientY }) => {
      const { left, top, width } = canvas.getBoundingClientRect();
      return [(clientX - left) / width, (clientY - top) / width];
    };
    let pen = null;
    canvas.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      if (pen !== null || event.button || !this.canDraw) return;
      pen = event.pointerId;
      canvas.setPointerCapture(pen);
      this.image = null;
      this.strokes.push([at(event)]);
      this.#drawn();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.pointerId !== pen) return;
      const events = event.getCoalescedEvents?.() ?? [];
      for (const each of events.length ? events : [event]) this.strokes.at(-1).push(at(each));
      this.#drawn();
    });
    const lift = (event) => {
      if (event.pointerId === pen) pen = null;
    };
    canvas.addEventListener("pointerup", lift);
    canvas.addEventListener("pointercancel", lift);
    element.addEventListener("dragover", (event) => {
      event.preventDefault();
      element.classList.add("aae-over");
    });
    element.addEventListener("dragleave", () => element.classList.remove("aae-over"));
    element.addEventListener("drop", (event) => {
      event.preventDefault();
      element.classList.remove("aae-over");
      this.#read(event.dataTransfer.files[0]);
    });
  }

  #drawn() {
    this.paint();
    if (this.waiting) return;
    this.waiting = setTimeout(() => {
      this.waiting = null;
      if (!this.strokes.length || !this.canDraw) return; // another model may be shown by now
      this.drawn = centered(inkOf(this.strokes), this.latent.shape[1]);
      this.paint();
      if (this.drawn) this.on.image(this.drawn, "drawn");
    }, PAUSE);
  }

  /** Take the picture of a file, as if it had been dropped. */
  async #read(file) {
    if (!file) return;
    try {
      const image = await imageOf(file, this.latent.shape);
      if (!image) throw new Error("it is empty");
      this.set(image);
      this.on.image(image, file.name);
    } catch (error) {
      this.on.fail(`${file.name} cannot be read as a picture (${error.message})`);
    }
  }
}
