// The plane of codes: a canvas that is looked at, pointed at, dragged on and zoomed.

import { fitted, h, pictureOf } from "./dom.js";
import {
  middlesOf, paintCodes, paintFar, paintHeads, paintJudge, paintLabels, paintPrior, paintScale, paintTiles,
} from "./layers.js";

const NEAR = 6, NEAR_TOUCH = 14; // pixels within which a dot is meant
const TILES = 15; // decoded images along a side
const SLICE = 8; // milliseconds that tiles may take before the page gets its turn
const REPAINT = 150; // milliseconds between two looks at tiles that are being made
const CLICK = 4; // pixels that a pointer may move while it clicks
const PAINTERS = [
  ["far", paintFar], ["judge", paintJudge], ["tiles", paintTiles], [null, paintScale], ["prior", paintPrior],
  ["codes", paintCodes], [null, paintHeads], ["codes", paintLabels],
];

export class Plane {
  /**
   * @param on what is done: preview(u, v, index of a dot or -1), leave(), move(u, v), pick(index), look(view)
   * @param name for screen readers
   */
  constructor(on, name) {
    this.on = on;
    this.layers = new Set(["codes", "prior"]);
    this.only = null; // the one class that is shown
    this.tiles = [];
    this.pointers = new Map();
    this.canvas = h("canvas", {
      tabIndex: 0, role: "application", class: "aae-canvas",
      "aria-label": `${name}. Arrow keys move the code, plus and minus zoom.`,
    });
    const zoom = (label, title, key, onclick) => h("button", {
      type: "button", title, "aria-label": title, "aria-keyshortcuts": key, onclick,
    }, label);
    this.element = h("div", { class: "aae-plane" }, this.canvas, h("div", { class: "aae-zoom" },
      zoom("+", "Zoom in (+)", "+", () => this.zoom(1 / 1.4)),
      zoom("\u2212", "Zoom out (\u2212)", "-", () => this.zoom(1.4)),
      zoom("\u2922", "Show all codes (F)", "F", () => this.fit())));
    this.#listen();
  }

  /** Show another model in colors of the theme, at first in the view `home`, {x, y, half}: a square. */
  show(latent, colors, decode, home) {
    Object.assign(this, { latent, decode, home, only: null });
    this.middles = middlesOf(latent);
    this.view = { ...this.home };
    this.marks = { place: new Array(latent.dimensions).fill(0), hover: null, pins: [], path: null };
    this.recolor(colors);
  }

  recolor(colors) {
    this.colors = colors;
    this.touchTiles();
  }

  /** What is drawn above the layers: {place, hover: [u, v], pins: [[u, v], ...], path: [[u, v], ...]}. */
  mark(marks) {
    const before = this.marks.place;
    Object.assign(this.marks, marks);
    if (marks.place && marks.place.slice(2).some((value, i) => value !== before[i + 2])) this.touchTiles();
    else this.paint();
  }

  setLayers(names) {
    if (names.length === this.layers.size && names.every((name) => this.layers.has(name))) return;
    this.layers = new Set(names);
    this.touchTiles();
  }

  /** Tiles, and all else that depends on the label or on coordinates outside of the plane, have to be made anew. */
  touchTiles() {
    this.off = this.latent.offPlane(this.marks.place);
    this.ground = null;
    this.round = {};
    this.tiles = [];
    if (this.layers.has("tiles") && this.size) this.fillTiles(this.round);
    this.paint();
  }

  // ------------------------------------------------------------------------------------------------ the view

  get magnification() {
    return this.home.half / this.view.half;
  }

  pixelOf(u, v) {
    const scale = this.size / (2 * this.view.half);
    return [(u - this.view.x + this.view.half) * scale, (this.view.y + this.view.half - v) * scale];
  }

  pointAt([x, y]) {
    const scale = (2 * this.view.half) / this.size;
    return [this.view.x - this.view.half + x * scale, this.view.y + this.view.half - y * scale];
  }

  codePoint(n) {
    const start = n * this.latent.dimensions;
    return [this.latent.codes[start], this.latent.codes[start + 1]];
  }

  outside(u, v) {
    return this.latent.sphere && Math.hypot(u, v) > 1;
  }

  /** What the unit sphere covers. */
  disk() {
    const path = new Path2D(), [x, y] = this.pixelOf(0, 0);
    path.arc(x, y, this.pixelOf(1, 0)[0] - x, 0, 2 * Math.PI);
    return path;
  }

  /** Closed or open lines, with NaN between them, as a path. */
  outline(lines) {
    const path = new Path2D();
    let pen = "moveTo";
    for (let i = 0; i < lines.length; i += 2) {
      if (Number.isNaN(lines[i])) pen = "moveTo";
      else {
        path[pen](...this.pixelOf(lines[i], lines[i + 1]));
        pen = "lineTo";
      }
    }
    return path;
  }

  /** The smallest of the prior's contours around a point, by the mass in it; 1 outside of all, null without any. */
  massAt(u, v) {
    const { contours, masses } = this.latent, context = this.canvas.getContext("2d");
    if (!contours.length) return null;
    const ratio = window.devicePixelRatio || 1, [x, y] = this.pixelOf(u, v).map((value) => value * ratio);
    const path = (lines) => {
      const scaled = new Path2D();
      scaled.addPath(this.outline(lines), new DOMMatrix([ratio, 0, 0, ratio, 0, 0]));
      return scaled;
    };
    context.save();
    context.resetTransform();
    const inside = contours.map((lines) => context.isPointInPath(path(lines), x, y, "evenodd"));
    context.restore();
    return inside.includes(true) ? masses[inside.lastIndexOf(true)] : 1;
  }

  zoom(factor, [x, y] = [this.size / 2, this.size / 2]) {
    const { half: most } = this.home, half = Math.min(6 * most, Math.max(most / 60, this.view.half * factor));
    const [u, v] = this.pointAt([x, y]), ratio = half / this.view.half;
    this.#turnTo({ x: u + (this.view.x - u) * ratio, y: v + (this.view.y - v) * ratio, half });
  }

  fit() {
    this.#turnTo(this.home);
  }

  /** Show another part of the plane. */
  look(view) {
    this.view = { ...view };
    this.touchTiles();
  }

  #turnTo(view) {
    this.look(view);
    this.on.look(view);
  }

  /** Decode a lattice of images, from the middle outward, a few at a time. */
  async fillTiles(round) {
    const side = this.size / TILES, middle = (TILES - 1) / 2, cells = [];
    for (let i = 0; i < TILES ** 2; i++) cells.push([i % TILES, Math.floor(i / TILES)]);
    cells.sort((a, b) => Math.hypot(a[0] - middle, a[1] - middle) - Math.hypot(b[0] - middle, b[1] - middle));
    let slice = performance.now(), painted = slice;
    for (const [column, row] of cells) {
      const [u, v] = this.pointAt([(column + 0.5) * side, (row + 0.5) * side]);
      if (this.outside(u, v)) continue;
      const image = await this.decode(this.latent.changed(this.marks.place, { 0: u, 1: v }));
      if (this.round !== round) return;
      const picture = pictureOf(image, this.latent, this.colors);
      this.tiles.push({ picture, left: column * side, top: row * side, side });
      if (performance.now() - slice < SLICE) continue;
      if (performance.now() - painted > REPAINT) {
        this.ground = null;
        this.paint();
        painted = performance.now();
      }
      await new Promise((resolve) => setTimeout(resolve));
      slice = performance.now();
    }
    this.ground = null;
    this.paint();
  }

  // ------------------------------------------------------------------------------------------------ painting

  resize(size) {
    this.size = size;
    this.touchTiles();
  }

  paint() {
    if (this.frame || !this.size) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = null;
      this.#paintNow();
    });
  }

  #paintNow() {
    if (!this.ground) {
      this.ground = document.createElement("canvas");
      const context = fitted(this.ground, this.size, this.size);
      context.fillStyle = this.colors.ground;
      context.fillRect(0, 0, this.size, this.size);
      for (const [name, painter] of PAINTERS) if (!name || this.layers.has(name)) painter(context, this);
    }
    const context = fitted(this.canvas, this.size, this.size);
    context.drawImage(this.ground, 0, 0, this.size, this.size);
    this.#paintMarks(context);
  }

  #paintMarks(context) {
    const { place, hover, pins, path } = this.marks, { ink, ground, accent } = this.colors;
    const twice = (draw, thick, thin) => [[thick, ground], [thin, ink]].forEach(([width, color]) => {
      context.lineWidth = width;
      context.strokeStyle = color;
      draw();
    });
    if (path) {
      context.strokeStyle = accent;
      context.lineWidth = 1.6;
      context.stroke(this.outline(path.flat()));
    }
    for (const pin of pins) if (pin) this.#paintPin(context, pin, accent, ground);
    if (hover) {
      const [x, y] = this.pixelOf(...hover);
      twice(() => this.#ring(context, x, y, 5), 3, 1.2);
    }
    const [x, y] = this.pixelOf(place[0], place[1]);
    twice(() => {
      this.#ring(context, x, y, 7);
      context.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(x + 7 * dx, y + 7 * dy);
        context.lineTo(x + 12 * dx, y + 12 * dy);
      }
      context.stroke();
    }, 4.5, 2);
  }

  #ring(context, x, y, radius) {
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.stroke();
  }

  #paintPin(context, { name, point }, color, ground) {
    const [x, y] = this.pixelOf(...point);
    context.fillStyle = color;
    context.strokeStyle = ground;
    context.lineWidth = 2;
    context.beginPath();
    context.moveTo(x, y);
    context.bezierCurveTo(x - 3, y - 8, x - 8, y - 10, x - 8, y - 16);
    context.arc(x, y - 16, 8, Math.PI, 0);
    context.bezierCurveTo(x + 8, y - 10, x + 3, y - 8, x, y);
    context.fill();
    context.stroke();
    context.fillStyle = ground;
    context.font = "700 10px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(name, x, y - 15.5);
  }

  // ------------------------------------------------------------------------------------------------ pointers

  #listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.pointers.delete(event.pointerId));
    canvas.addEventListener("pointercancel", (event) => this.pointers.delete(event.pointerId));
    canvas.addEventListener("pointerleave", () => !this.pointers.size && this.on.leave());
    canvas.addEventListener("wheel", (event) => {
      // A page that is only scrolled past must not zoom: the plane has to have been touched.
      if (!event.ctrlKey && document.activeElement !== canvas && canvas.getRootNode().activeElement !== canvas) return;
      event.preventDefault();
      this.zoom(Math.exp(Math.min(60, Math.max(-60, event.deltaY)) * 0.004), this.#at(event));
    }, { passive: false });
  }

  #at(event) {
    const { left, top } = this.canvas.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }

  #down(event) {
    if (event.button > 1) return;
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    const at = this.#at(event), index = this.dotAt(at, event.pointerType === "touch" ? NEAR_TOUCH : NEAR);
    this.pointers.set(event.pointerId, { at, start: at, dragged: false, pan: event.shiftKey || event.button === 1 });
    if (this.pointers.size > 1 || event.shiftKey || event.button === 1) return;
    if (index >= 0) this.on.pick(index);
    else this.on.move(...this.pointAt(at));
  }

  #move(event) {
    const at = this.#at(event), pointer = this.pointers.get(event.pointerId);
    if (!pointer) {
      const index = this.dotAt(at, NEAR);
      return this.on.preview(...(index >= 0 ? this.codePoint(index) : this.pointAt(at)), index, at, event);
    }
    if (this.pointers.size === 2) return this.#pinch(pointer, at);
    pointer.dragged ||= Math.hypot(at[0] - pointer.start[0], at[1] - pointer.start[1]) > CLICK;
    if (pointer.pan) this.#pan(pointer.at, at);
    else if (pointer.dragged) this.on.move(...this.pointAt(at), event);
    pointer.at = at;
  }

  #pan(from, to) {
    const [a, b] = [this.pointAt(from), this.pointAt(to)];
    this.#turnTo({ ...this.view, x: this.view.x + a[0] - b[0], y: this.view.y + a[1] - b[1] });
  }

  #pinch(pointer, at) {
    const [other] = [...this.pointers.values()].filter((each) => each !== pointer);
    const apart = (point) => Math.hypot(point[0] - other.at[0], point[1] - other.at[1]);
    this.zoom(apart(pointer.at) / Math.max(1, apart(at)), [(at[0] + other.at[0]) / 2, (at[1] + other.at[1]) / 2]);
    pointer.at = at;
  }

  /** The dot under a pixel, or -1. */
  dotAt([x, y], within) {
    if (!this.layers.has("codes")) return -1;
    let best = -1, least = within ** 2;
    for (let n = 0; n < this.latent.count; n++) {
      if (this.only !== null && this.latent.digits[n] !== this.only) continue;
      const [px, py] = this.pixelOf(...this.codePoint(n)), distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance < least) [best, least] = [n, distance];
    }
    return best;
  }
}
