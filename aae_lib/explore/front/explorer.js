// The explorer: one model, or two under one pointer, and what is chosen. `view.js` is what it looks like.
//
// What is chosen is a place in each model's space of codes, a label, two pins and the way between them. Every gesture
// ends in `set`, which shows the change and tells the host (a notebook's kernel, or nobody).

import { WAYS, along, circle, line } from "./paths.js";
import { View } from "./view.js";

const STEPS = 9; // of the way from A to B
const WALK_SECONDS = 6;

export class Explorer {
  /**
   * @param element that the explorer fills
   * @param models [{title, load()}], of which `load` gives a promise of a Latent; two are shown side by side
   * @param options {tell(changes): the host, page: whether it is a page, curve: on which the models lie}
   */
  constructor(element, models, { tell = () => {}, page = false, curve = null } = {}) {
    Object.assign(this, { models, beside: models.length === 2, tell, page, curve });
    this.state = { label: 0, digit: -1, picture: null, isCode: false, way: "line", share: 0, pins: [null, null] };
    this.model = 0; // the number of the one that is shown
    this.view = new View(element, this);
    this.panels = this.view.panels;
    this.ready = this.choose(0, false);
  }

  get latent() {
    return this.panels?.[0].latent;
  }

  /** Show the model of this number; of two side by side both are shown, and it is always 0. */
  async choose(number, told = true) {
    this.model = number;
    const round = (this.round = {});
    const latents = await Promise.all(this.panels.map((_, i) => this.models[number + i].load()));
    if (this.round !== round) return;
    const home = union(latents.map(({ view }) => view));
    const before = this.panels[0].latent, places = this.panels.map(({ place }) => place);
    this.panels.forEach((panel, i) => {
      const decode = (place) => panel.latent.decode(place, this.state.label);
      panel.show(latents[i], this.view.colors, decode, home);
    });
    this.state.label = Math.min(this.state.label, Math.max(0, this.latent.classes - 1));
    if (!this.ways.includes(this.state.way)) this.state.way = this.ways[0];
    this.state.pins = [null, null];
    this.view.build();
    if (before && this.state.isCode) await this.#again();
    else if (before?.dimensions === this.latent.dimensions) this.set({ places });
    else this.set({ places: this.panels.map(({ place }) => place) }, told);
  }

  /** Encode the same image with another model. */
  #again() {
    const { digit, picture } = this.state;
    if (!this.latent.canEncode) return this.set({ isCode: false, places: this.panels.map(({ place }) => place) });
    return digit >= 0 ? this.pick(digit) : this.encode(picture);
  }

  // ------------------------------------------------------------------------------------------------ gestures

  /** Move along coordinates, {index: value}, in each model that has them. */
  move(values) {
    const known = (panel) => Object.fromEntries(Object.entries(values).filter(([i]) => i < panel.latent.dimensions));
    this.set({ places: this.panels.map((panel) => panel.latent.changed(panel.place, known(panel))), isCode: false });
  }

  step(index, direction) {
    const step = this.latent.reach[index][1] * direction;
    this.move({ [index]: this.panels[0].place[index] + step });
  }

  /** To the code of an image of the set, by its number. */
  pick(index) {
    const source = this.panels.map(({ latent }) => latent).find(({ count }) => index < count);
    if (!source) return;
    const picture = source.image(index), read = source.encoderNetwork ? source.encode(picture) : {};
    const places = this.panels.map(({ latent, place }) => (index < latent.count ? latent.code(index) : place));
    const label = source.classes ? { label: source.labels[index] } : {};
    this.set({ places, digit: index, picture, isCode: true, probabilities: read.probabilities ?? null, ...label });
  }

  /** To the code of an image that is drawn or dropped. */
  async encode(image) {
    const round = (this.encoding = {});
    const codes = await Promise.all(this.panels.map(({ latent }) => latent.canEncode && latent.encode(image)));
    if (this.encoding !== round) return;
    const places = this.panels.map((panel, i) => codes[i]?.place ?? panel.place), first = codes.find(Boolean);
    const label = this.latent.classes && first.label !== null ? { label: first.label } : {};
    this.set({ places, digit: -1, picture: image, isCode: true, probabilities: first.probabilities, ...label });
  }

  anyDigit() {
    this.pick(Math.floor(Math.random() * Math.max(...this.panels.map(({ latent }) => latent.count))));
  }

  random() {
    const sample = this.latent.sample();
    const fits = (panel) => panel.latent.dimensions === sample.length && panel.latent.sphere === this.latent.sphere;
    this.set({ places: this.panels.map((panel) => (fits(panel) ? sample : panel.latent.sample())), isCode: false });
  }

  setLabel(label) {
    if (label < this.latent.classes) this.set({ label });
  }

  clear() {
    this.set({ picture: null, digit: -1, isCode: false, probabilities: null });
  }

  // ------------------------------------------------------------------------------------------------ the way

  /** Set pin A (0) or B (1) where the code is now. */
  pin(which) {
    const pins = this.state.pins.slice();
    pins[which] = this.panels.map(({ place }) => place);
    this.set({ pins, share: which });
  }

  get ways() {
    const { sphere, walkPoints } = this.latent; // no straight line stays on a sphere
    return Object.keys(WAYS).filter((way) => (way === "walk" ? walkPoints : way === "circle" || !sphere));
  }

  nextWay() {
    this.set({ way: this.ways[(this.ways.indexOf(this.state.way) + 1) % this.ways.length] });
  }

  /** The way in a panel's space: a share -> a place; null if a pin is missing. */
  path(number) {
    const { way, pins } = this.state, { latent } = this.panels[number], [start, end] = pins.map((pin) => pin?.[number]);
    if (way === "walk") return latent.walkPoints && along(latent.walkPoints, latent.dimensions, start, end);
    if (!start || !end) return null;
    return (way === "circle" ? circle : line)(start, end);
  }

  go(share) {
    const places = this.panels.map(({ place }, i) => this.path(i)?.(share) ?? place);
    if (this.path(0)) this.set({ places, share, isCode: false });
  }

  get shares() {
    return Array.from({ length: STEPS }, (_, i) => i / (STEPS - 1));
  }

  play() {
    if (this.playing) return this.stop();
    if (!this.path(0)) return;
    let last = performance.now(), share = this.state.share >= 1 ? 0 : this.state.share;
    const advance = (now) => {
      share = Math.min(1, share + Math.max(0, now - last) / (1000 * WALK_SECONDS));
      last = now;
      this.go(share);
      if (share < 1 && this.playing) this.playing = requestAnimationFrame(advance);
      else this.stop();
    };
    this.playing = requestAnimationFrame(advance);
    this.view.showPlaying(true);
  }

  stop() {
    cancelAnimationFrame(this.playing);
    this.playing = null;
    this.view.showPlaying(false);
  }

  // ------------------------------------------------------------------------------------------------ the state

  /** Change what is chosen; `places` has one place for each panel. The host is told, unless the change is its own. */
  set({ label = this.state.label, ...changes }, told = true) {
    if (label !== this.state.label) changes.label = label;
    const { places, ...rest } = changes;
    Object.assign(this.state, rest);
    if (places) this.panels.forEach((panel, i) => { panel.place = places[i]; });
    if (changes.layers) for (const { plane } of this.panels) plane.setLayers(changes.layers);
    this.view.refresh(changes);
    if (told) this.tell(changes);
    return this.decoded().catch((error) => this.view.say(error.message));
  }

  /** Decode the chosen codes; the last call wins. */
  async decoded() {
    const round = (this.decoding = {});
    for (const panel of this.panels) {
      const image = await panel.latent.decode(panel.place, this.state.label);
      if (this.decoding !== round) return;
      panel.image = image;
      this.view.showDecoded(panel);
    }
  }

  /** Show what a point of the plane would decode to, in each panel; `index`: of the dot there, or -1. */
  async preview(u, v, index) {
    const round = (this.previewing = {});
    for (const panel of this.panels) {
      const dot = index >= 0 && index < panel.latent.count;
      const place = dot ? panel.latent.code(index) : panel.latent.changed(panel.place, { 0: u, 1: v });
      const label = dot && panel.latent.classes ? panel.latent.labels[index] : this.state.label;
      const image = await panel.latent.decode(place, label);
      if (this.previewing !== round) return;
      this.view.showPreview(panel, place, image);
    }
  }

  endPreview() {
    this.previewing = null;
    for (const panel of this.panels) this.view.showDecoded(panel);
  }
}

/** The smallest square around squares [x, y, half]: under one pointer all planes show the same part. */
function union(squares) {
  const [low, high] = [-1, 1].map((side) => [0, 1].map((axis) => {
    const edges = squares.map((square) => square[axis] + side * square[2]);
    return side < 0 ? Math.min(...edges) : Math.max(...edges);
  }));
  const half = Math.max(high[0] - low[0], high[1] - low[1]) / 2;
  return { x: (low[0] + high[0]) / 2, y: (low[1] + high[1]) / 2, half };
}
