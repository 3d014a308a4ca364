// A map in three dimensions that turns under the pointer.

import { colorsOf, fitted, followTheme, h } from "./dom.js";
import { pushApart } from "./layers.js";

const TURN = 0.01; // radians for each pixel of a drag
const KEY_TURN = 0.1;
const DISTANCE = 5; // of the eye from the middle, in units of the map's radius

export class TurningMap {
  /**
   * @param element that the map fills
   * @param answer {labels of the codes, heads: how many of the points, the last ones, are heads}
   * @param points [x, y, z ...]
   */
  constructor(element, { labels, heads }, points) {
    this.labels = labels;
    this.heads = heads;
    this.#center(points);
    element.classList.add("aae");
    element.dataset.lmSuppressShortcuts = "true";
    this.root = element;
    this.canvas = h("canvas", {
      class: "aae-canvas", tabIndex: 0, role: "application",
      "aria-label": "A map of codes in three dimensions. Drag, or the arrow keys, turn it; plus and minus zoom.",
    });
    this.element = h("div", { class: "aae-plane aae-map" }, this.canvas);
    const words = ["Drag or arrow keys turn the map", "+ \u2212 zoom"].map((part) => h("span", {}, part));
    element.append(this.element, h("p", { class: "aae-status" }, ...words));
    this.turn = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
    this.scale = 1;
    this.rotate(0.6, -0.4);
    this.#listen();
    this.stopFollowing = followTheme((dark) => {
      element.dataset.theme = dark ? "dark" : "light";
      this.colors = colorsOf(element);
      this.paint();
    });
    this.observer = new ResizeObserver(() => this.paint());
    this.observer.observe(this.element);
  }

  /** Put the middle of the points at the origin and all but a hundredth of them within 1 of it. */
  #center(points) {
    const count = points.length / 3, middle = [0, 1, 2].map((axis) => {
      let sum = 0;
      for (let n = 0; n < count; n++) sum += points[3 * n + axis];
      return sum / count;
    });
    this.places = Array.from({ length: count }, (_, n) => middle.map((value, axis) => points[3 * n + axis] - value));
    const lengths = this.places.map((place) => Math.hypot(...place)).sort((a, b) => a - b);
    const radius = lengths[Math.floor(0.99 * (count - 1))] || 1;
    this.places = this.places.map((place) => place.map((value) => value / radius));
  }

  /** Turn by angles around the vertical and the horizontal axis of the page. */
  rotate(across, down) {
    const [a, b, c, d] = [Math.cos(across), Math.sin(across), Math.cos(down), Math.sin(down)];
    const step = [[a, 0, b], [b * d, c, -a * d], [-b * c, d, a * c]];
    const { turn } = this, axes = [0, 1, 2];
    this.turn = step.map((row) => axes.map((axis) => row.reduce((sum, value, k) => sum + value * turn[k][axis], 0)));
    this.paint();
  }

  #listen() {
    let last = null;
    this.canvas.addEventListener("pointerdown", (event) => {
      last = [event.clientX, event.clientY];
      this.canvas.setPointerCapture(event.pointerId);
    });
    this.canvas.addEventListener("pointermove", ({ clientX, clientY }) => {
      if (!last) return;
      this.rotate((clientX - last[0]) * TURN, (clientY - last[1]) * TURN);
      last = [clientX, clientY];
    });
    for (const name of ["pointerup", "pointercancel"]) this.canvas.addEventListener(name, () => { last = null; });
    this.canvas.addEventListener("keydown", (event) => {
      const turn = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      const zoom = { "+": 1.2, "=": 1.2, "-": 1 / 1.2 }[event.key];
      if (!turn && !zoom) return;
      event.preventDefault();
      event.stopPropagation();
      this.scale = Math.min(8, Math.max(0.3, this.scale * (zoom ?? 1)));
      this.rotate(...(turn ?? [0, 0]).map((value) => value * KEY_TURN));
    });
  }

  paint() {
    const size = this.element?.clientWidth;
    if (!size || !this.colors) return;
    const { colors, turn } = this, context = fitted(this.canvas, size, size);
    context.fillStyle = colors.ground;
    context.fillRect(0, 0, size, size);
    const seen = this.places.map((place, n) => {
      const [x, y, z] = turn.map((row) => row.reduce((sum, value, axis) => sum + value * place[axis], 0));
      const near = (0.42 * size * this.scale * DISTANCE) / (DISTANCE - z);
      return { n, z, at: [size / 2 + x * near, size / 2 - y * near] };
    });
    const codes = seen.slice(0, seen.length - this.heads).sort((a, b) => a.z - b.z);
    for (const { n, z, at } of codes) {
      context.globalAlpha = Math.min(0.95, Math.max(0.25, 0.65 + 0.35 * z)); // what is far fades
      context.fillStyle = colors.classOf(this.labels[n]);
      context.beginPath();
      context.arc(...at, 2.4 * (1 + 0.25 * z), 0, 2 * Math.PI);
      context.fill();
    }
    context.globalAlpha = 1;
    const heads = seen.slice(seen.length - this.heads).map((head, label) => ({ ...head, label, half: 9 }));
    pushApart(heads, size);
    context.font = "600 13px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (const { label, at } of heads.sort((a, b) => a.z - b.z)) {
      context.fillStyle = colors.ground;
      context.strokeStyle = colors.classOf(label);
      context.lineWidth = 1.5;
      context.beginPath();
      context.arc(...at, 9, 0, 2 * Math.PI);
      context.fill();
      context.stroke();
      context.fillStyle = colors.ink;
      context.fillText(label, at[0], at[1] + 1);
    }
  }

  close() {
    this.stopFollowing();
    this.observer.disconnect();
  }
}
