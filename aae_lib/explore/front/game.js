// The adversarial game in a plane: a growing list of frames that is played, slowed down and looked at again. In a
// notebook the kernel trains and sends the frames; a recording has all of them.

import { PLAYERS, paintArena, paintCircle, paintCurve } from "./arena.js";
import { Switches } from "./controls.js";
import { button, colorsOf, followTheme, h } from "./dom.js";

const SLOW = 500; // milliseconds for each update in slow motion
const FAST = 45; // between two frames else
const GAME_KEYS = [
  ["K", "play, pause"], ["S", "one step: every update once"], ["1 2 3", "one update alone"],
  ["J L", "a frame back, forward"],
  ["W", "slow motion"], ["R", "from the start"], ["M", "the map of D"], ["A", "arrows: the generator's gradient"],
  ["E", "the next slider: arrow keys change it"], ["D", "draw the real distribution"],
  ["N", "the next game"], ["T", "light or dark"], ["?", "these keys"],
];

/** The numbers of a frame, from the integers that stand for them. */
export function framed(said, integers, { arrows, codes, labels }) {
  const count = 2 * labels.length;
  let at = 0;
  const take = (length) => integers.subarray(at, (at += length));
  const [fakes, pushes, both] = [count, 2 * arrows, codes ? 2 * count : 0].map(take);
  return { ...said, fakes, pushes, codes: both, map: integers.subarray(at) };
}

export class Game {
  /**
   * @param element that the game fills
   * @param games [{title, about, description, real, frames}], of which a kernel's has the frames that it kept
   * @param host null for recordings; else {advance(count, updates) -> frame, reset(), target(name), draw(strokes),
   *     rate(name, value), targets}, of which `reset`, `target` and `draw` give a promise of a game
   */
  constructor(element, games, host = null) {
    Object.assign(this, { root: element, games, host, at: 0, slow: false, strokes: [] });
    this.layers = new Set(["map", "arrows"]);
    element.classList.add("aae", "aae-game");
    element.dataset.lmSuppressShortcuts = "true";
    this.#parts();
    this.keys = host ? element : document;
    this.keys.addEventListener("keydown", (event) => this.#key(event));
    this.show(games[0]);
    this.stopFollowing = followTheme((dark) => this.#theme(dark));
    this.observer = new ResizeObserver(() => this.paint());
    this.observer.observe(element);
  }

  get frame() {
    return this.game.frames[this.at];
  }

  // ------------------------------------------------------------------------------------------------ elements

  #parts() {
    const { host } = this;
    this.title = h("h2", {});
    this.about = h("p", {});
    this.canvas = h("canvas", { class: "aae-canvas", tabIndex: 0, role: "img", "aria-label": "Real and fake points" });
    const words = "Draw where real points shall be, with one stroke or several";
    this.hint = h("p", { class: "aae-hint aae-draw", hidden: true }, words);
    this.status = h("p", { class: "aae-status" });
    this.choice = new Switches(host ? "Real distributions" : "Recorded games", (name) => this.choose(name));
    const names = host ? host.targets : this.games.map(({ title }, i) => [i, title]);
    const keyed = names.map((entry, i) => {
      const [name, label] = Array.isArray(entry) ? entry : [entry, entry];
      return [name, label, i ? null : "N", { "aria-keyshortcuts": "N" }];
    });
    if (host?.targets.length) keyed.push(["drawn", "draw it", "D", { title: "Draw the real distribution" }]);
    this.choice.build(keyed);
    this.choice.element.hidden = keyed.length < 2;
    this.layerSwitches = new Switches("Layers of the plane", (name) => this.toggle(name));
    this.playButton = button("Play", "K", () => this.play(), { class: "aae-play" });
    this.slowButton = button("Slow motion", "W", () => this.setSlow(!this.slow));
    const buttons = [
      this.playButton, button("Step", "S", () => this.step()), this.slowButton,
      button("Reset", "R", () => this.reset()),
    ];
    this.single = h("div", { class: "aae-buttons" });
    this.scrubber = h("input", {
      type: "range", min: 0, value: 0, step: 1, "aria-label": "Frame", "aria-keyshortcuts": "J L",
      oninput: () => this.go(Number(this.scrubber.value)),
    });
    this.sliders = h("div", { class: "aae-sliders" });
    this.charts = h("div", { class: "aae-charts" });
    this.legend = h("p", { class: "aae-legend" });
    this.circle = h("canvas", { role: "img", "aria-label": "Codes of both crowds, each on a circle" });
    this.live = h("p", { class: "aae-live", "aria-live": "polite" });
    const used = GAME_KEYS.filter(([key]) => (host ? key !== "T" : !["1 2 3", "D"].includes(key)));
    this.help = h("dialog", { class: "aae-help", "aria-label": "Keys" }, h("h3", {}, "Keys"),
      h("dl", {}, ...used.flatMap(([key, words]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, words)])));
    this.help.addEventListener("click", () => this.help.close());
    this.root.replaceChildren(
      h("header", {}, h("div", {}, this.title, this.about), h("div", { class: "aae-corner" },
        host ? null : button("Light or dark", "T", () => this.#theme(this.root.dataset.theme !== "dark")),
        button("Keys", "?", () => this.help.showModal()))),
      h("div", { class: "aae-arena" },
        h("div", { class: "aae-column" }, h("div", { class: "aae-plane" }, this.canvas, this.hint), this.status,
          h("div", { class: "aae-under" }, this.layerSwitches.element, this.choice.element)),
        h("div", { class: "aae-column aae-side" }, h("div", { class: "aae-buttons" }, ...buttons), this.single,
          h("label", { class: "aae-scrub" }, this.scrubber), this.legend, this.circle, this.charts, this.sliders)),
      this.live, this.help,
    );
    this.#listen();
  }

  /** Show a game: a recording from its first frame, a kernel's as it is now. */
  show(game) {
    this.pause();
    const { description } = game, { host } = this, at = host ? game.frames.length - 1 : 0;
    Object.assign(this, { game, at, before: null, shift: 1, pace: this.pace ?? (description.of_codes ? 10 : 2) });
    this.title.textContent = game.title;
    this.about.textContent = game.about;
    this.hasMap = game.frames[0].map.length > 0;
    this.layerSwitches.build([...(this.hasMap ? [["map", "map of D", "M"]] : []), ["arrows", "gradient", "A"]]);
    this.circle.hidden = !description.codes;
    this.single.hidden = !host;
    this.single.replaceChildren(...description.updates.map((name, i) => (
      button(`${PLAYERS[name]} only`, String(i + 1), () => this.step([name]))
    )));
    const crowds = description.of_codes ? ["prior: real", "codes: fake, by label"] : ["real", "fake"];
    this.legend.replaceChildren(...crowds.map((words, i) => (
      h("span", { class: description.of_codes ? ["", "aae-many-dots"][i] : ["aae-real-dot", "aae-fake-dot"][i] }, words)
    )));
    this.#sliders();
    const known = description.updates.filter((name) => name !== "reconstruction");
    const curves = [[known, "losses of the game"], [["distance"], "distance of the two crowds"]];
    const reconstructs = known.length < description.updates.length;
    if (reconstructs) curves.splice(1, 0, [["reconstruction"], "loss of the reconstruction"]);
    this.curves = curves.map(([names, title]) => {
      const canvas = h("canvas", { role: "img", "aria-label": title });
      return { names, canvas, value: h("output", {}), title, equilibrium: names === known && this.hasMap };
    });
    this.charts.replaceChildren(...this.curves.map(({ title, canvas, value }) => (
      h("div", {}, h("h3", {}, title, value), canvas)
    )));
    this.#refresh();
  }

  #sliders() {
    const { description } = this.game, { host } = this, rows = [];
    const row = (words, input, value) => rows.push(h("label", {}, h("span", {}, ...words), input, value));
    this.rates = new Map();
    if (host) {
      for (const [name, rate] of Object.entries(description.rates)) {
        const value = h("output", {}), start = Math.log10(Math.max(rate, 1e-6));
        const input = h("input", {
          type: "range", min: start - 2, max: start + 2, step: 0.05, value: start,
          "aria-label": `Learning rate: ${PLAYERS[name]}`,
          "aria-keyshortcuts": "E",
          oninput: () => host.rate(name, 10 ** Number(input.value)),
        });
        this.rates.set(name, { input, value });
        row([`rate: ${PLAYERS[name]}`], input, value);
      }
    }
    this.showRates(description.rates);
    const value = h("output", {}, `${this.pace} ${host ? "steps" : "frames"}`);
    const input = h("input", {
      type: "range", min: 1, max: 20, step: 1, value: this.pace, "aria-label": "Speed", "aria-keyshortcuts": "E",
      oninput: () => {
        this.pace = Number(input.value);
        value.textContent = `${this.pace} ${host ? "steps" : "frames"}`;
      },
    });
    row(["speed", h("kbd", { "aria-hidden": "true" }, "E")], input, value);
    this.sliders.replaceChildren(...rows);
  }

  showRates(rates) {
    for (const [name, { input, value }] of this.rates) {
      input.value = Math.log10(Math.max(rates[name], 1e-6));
      value.textContent = String(Number(rates[name].toPrecision(2)));
    }
  }

  #nextSlider() {
    const inputs = [...this.sliders.querySelectorAll("input")];
    inputs[(inputs.indexOf(this.root.getRootNode().activeElement) + 1) % inputs.length].focus();
  }

  // ------------------------------------------------------------------------------------------------ gestures

  play() {
    if (this.playing) return this.pause();
    if (!this.host && this.at === this.game.frames.length - 1) this.at = 0;
    const round = (this.playing = {});
    this.playButton.firstChild.textContent = "Pause";
    this.#go(round).catch((error) => this.#fail(error));
  }

  pause() {
    this.playing = null;
    if (this.playButton) this.playButton.firstChild.textContent = "Play";
  }

  async #go(round) {
    const { updates } = this.game.description;
    for (let turn = 0; this.playing === round; turn++) {
      const started = performance.now();
      const last = this.game.frames.length - 1;
      if (this.at < last) this.#to(Math.min(last, this.at + (this.slow ? 1 : this.pace)));
      else if (!this.host) return this.pause();
      else if (this.slow) await this.#advance(1, [updates[turn % updates.length]]);
      else await this.#advance(this.pace);
      const wait = (this.slow ? SLOW : FAST) - (performance.now() - started);
      await new Promise((resolve) => setTimeout(resolve, Math.max(wait, 4)));
    }
  }

  async #advance(count, updates = []) {
    const game = this.game, frame = await this.host.advance(count, updates);
    if (this.game !== game) return;
    this.append({ ...frame, moved: updates });
  }

  append(frame) {
    this.game.frames.push(frame);
    this.#to(this.game.frames.length - 1);
  }

  /** One step, of these updates or of all. */
  step(updates = []) {
    this.pause();
    if (this.at < this.game.frames.length - 1 && !updates.length) return this.#to(this.at + 1);
    if (this.host) return this.#advance(1, updates).catch((error) => this.#fail(error));
  }

  /** To a frame that has been seen, or is recorded. */
  go(number) {
    this.pause();
    this.#to(Math.min(this.game.frames.length - 1, Math.max(0, number)));
  }

  #to(number) {
    this.before = Math.abs(number - this.at) <= 4 ? this.frame : null;
    this.at = number;
    this.#refresh();
  }

  setSlow(slow) {
    this.slow = slow;
    this.#refresh();
  }

  async reset() {
    this.pause();
    if (this.host) this.show(await this.host.reset());
    else this.go(0);
  }

  async choose(name) {
    this.pause();
    this.drawing = name === "drawn";
    this.canvas.parentElement.classList.toggle("aae-drawing", this.drawing);
    this.hint.hidden = !this.drawing;
    this.strokes = [];
    if (!this.host) this.show(this.games[this.chosen = name]);
    else if (!this.drawing) this.show(await this.host.target(name));
    this.chosen = name;
    this.#refresh();
  }

  toggle(name) {
    if (!this.layers.delete(name)) this.layers.add(name);
    this.#refresh();
  }

  #fail(error) {
    this.pause();
    this.status.textContent = this.live.textContent = error.message;
  }

  /** Strokes on the plane become the real distribution. */
  #listen() {
    const at = ({ clientX, clientY }) => {
      const { left, top, width } = this.canvas.getBoundingClientRect();
      return [2 * (clientX - left) / width - 1, 1 - 2 * (clientY - top) / width];
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      if (!this.drawing) return;
      event.preventDefault();
      this.canvas.setPointerCapture(event.pointerId);
      this.hint.hidden = true;
      this.stroke = [at(event)];
      this.strokes.push(this.stroke);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!this.stroke) return;
      this.stroke.push(at(event));
      this.paint();
    });
    const end = async () => {
      if (!this.stroke) return;
      this.stroke = null;
      const { strokes } = this, { view: [x, y, half], of_codes: ofCodes } = this.game.description;
      // The square that is drawn in: codes lie in [-2, 2]^2. The plane shows more, and a hand slips over its border.
      const unit = (at) => Math.min(1, Math.max(0, ofCodes ? 0.5 + at / 4 : at));
      const place = ([u, v]) => [unit(x + half * u), unit(y + half * v)];
      this.show(await this.host.draw(strokes.map((points) => points.map(place))));
      Object.assign(this, { strokes, drawing: true, chosen: "drawn" });
      this.#refresh();
    };
    for (const name of ["pointerup", "pointercancel"]) {
      this.canvas.addEventListener(name, () => end().catch((error) => this.#fail(error)));
    }
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { key, target } = event, { updates } = this.game.description;
    event.stopPropagation();
    const names = [...this.choice.buttons.keys()].filter((name) => name !== "drawn");
    const next = names[(names.indexOf(this.chosen ?? names[0]) + 1) % names.length];
    const alone = this.host && updates[Number(key) - 1];
    const act = {
      k: () => this.play(), " ": target.tagName === "BUTTON" ? null : () => this.play(), s: () => this.step(),
      j: () => this.go(this.at - 1), l: () => this.go(this.at + 1), w: () => this.setSlow(!this.slow),
      r: () => this.reset(), e: () => this.#nextSlider(),
      m: () => this.toggle("map"), a: () => this.toggle("arrows"), "?": () => this.help.showModal(),
      d: this.host?.targets.length ? () => this.choose("drawn") : null,
      n: names.length > 1 ? () => this.choose(next) : null,
      t: this.host ? null : () => this.#theme(this.root.dataset.theme !== "dark"),
    }[key.toLowerCase()] ?? (alone ? () => this.step([alone]) : null);
    if (!act) return;
    event.preventDefault();
    act();
  }

  // ------------------------------------------------------------------------------------------------ painting

  #refresh() {
    const { game, frame } = this, last = game.frames.length - 1, names = [...this.choice.buttons.keys()];
    this.scrubber.max = Math.max(1, last);
    this.scrubber.value = this.at;
    this.scrubber.disabled = !last;
    this.scrubber.setAttribute("aria-valuetext", `step ${frame.step}`);
    this.layerSwitches.show((name) => this.layers.has(name));
    const first = this.host && game.description.of_codes ? "drawn" : names[0];
    this.choice.show((name) => name === (this.chosen ?? first));
    this.slowButton.setAttribute("aria-pressed", this.slow);
    const moved = frame.moved?.length ? `the ${PLAYERS[frame.moved[0]]} has moved` : null;
    this.status.replaceChildren(...[`step ${frame.step}`, moved].filter(Boolean).map((words) => h("span", {}, words)));
    for (const [i, name] of game.description.updates.entries()) {
      this.single.children[i]?.classList.toggle("aae-moved", Boolean(frame.moved?.includes(name)));
    }
    if (this.slow || !this.before) this.#glide();
    else this.paint();
  }

  /** Let the points glide to where they are now. */
  #glide() {
    const started = performance.now(), length = this.before ? 0.7 * SLOW : 0, frame = this.frame;
    const advance = (now) => {
      if (this.frame !== frame) return;
      this.shift = length ? Math.min(1, Math.max(0, now - started) / length) : 1;
      this.paint();
      if (this.shift < 1) requestAnimationFrame(advance);
    };
    requestAnimationFrame(advance);
  }

  #theme(dark) {
    this.root.dataset.theme = dark ? "dark" : "light";
    this.colors = colorsOf(this.root);
    this.paint();
  }

  paint() {
    if (!this.colors || !this.canvas.clientWidth) return;
    paintArena(this);
    if (!this.circle.hidden) paintCircle(this);
    for (const curve of this.curves) paintCurve(this, curve);
  }

  close() {
    this.pause();
    this.stopFollowing();
    this.observer.disconnect();
  }
}
