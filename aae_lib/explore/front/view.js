// What the explorer looks like: x, the image that goes in; z, the plane of codes; and the image that comes out.

import { Bars, LAYER_SWITCHES, Sliders, Switches } from "./controls.js";
import { Curve } from "./curve.js";
import { button, colorsOf, followTheme, h } from "./dom.js";
import { Pad } from "./pad.js";
import { Panel } from "./panel.js";
import { WAYS } from "./paths.js";
import { Strip } from "./strip.js";

const KEYS = [
  ["\u2190 \u2192 \u2191 \u2193", "move the code (with Shift, farther)"], ["+ \u2212 F", "zoom in, out, show all"],
  ["Shift + drag", "move the plane"], ["C P G D H", "layers: codes, prior, images, D(z), distance"],
  ["E", "encode an image of the set"], ["O X", "open a picture, clear the drawing"],
  ["R", "a sample of the prior"], ["S", "more directions"],
  ["0 \u2013 9", "the label (with Shift, one class of the codes)"], [", .", "the label before, the next one"],
  ["N", "the next class of the codes alone"], ["A B", "set a pin where the code is"],
  ["W", "the next kind of way"], ["J K L", "back, play, forward on the way"], ["[ ]", "the model before, the next one"],
  ["T", "light or dark"], ["?", "these keys"],
];

export class View {
  constructor(element, explorer) {
    this.explorer = explorer;
    this.root = element;
    element.classList.add("aae");
    element.dataset.lmSuppressShortcuts = "true"; // JupyterLab's own keys rest while the focus is in here
    const names = explorer.beside ? ["first model", "second model"] : ["model"];
    this.panels = names.map((name) => new Panel({
      preview: (panel, u, v, index, at) => {
        explorer.preview(u, v, index);
        panel.showTip(index, at);
      },
      leave: () => explorer.endPreview(),
      move: (_, u, v) => explorer.move({ 0: u, 1: v }),
      pick: (_, index) => explorer.pick(index),
      look: (panel, view) => this.panels.forEach((each) => each !== panel && each.plane.look(view)),
    }, name));
    const say = (message) => this.say(message);
    this.pad = new Pad({ image: (image) => explorer.encode(image).catch(({ message }) => say(message)), fail: say });
    this.#parts();
    this.#layout(element);
    this.keys = explorer.page ? document : element;
    this.keys.addEventListener("keydown", (event) => this.#key(event));
    this.stopFollowing = followTheme((dark) => this.#theme(dark));
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(element);
  }

  #parts() {
    const { explorer } = this;
    this.title = h("h2", {});
    this.about = h("p", {});
    this.sliders = new Sliders((index, value) => explorer.move({ [index]: value }));
    this.layers = new Switches("Layers of the plane", (name) => this.toggleLayer(name));
    this.legend = new Switches("Classes of the codes", (label) => this.only(label));
    this.bars = new Bars();
    this.source = h("h3", {});
    const digitKey = (label) => (label < 10 ? label : ", .");
    this.labels = this.panels.map(() => new Strip((label) => explorer.setLabel(label), digitKey));
    this.ways = this.panels.map(() => new Strip((index) => explorer.go(explorer.shares[index]), () => "J L"));
    this.wayHint = h("p", { class: "aae-hint" }, "Set pin A, move the code, set pin B: the way appears here.");
    this.live = h("p", { class: "aae-live", "aria-live": "polite" });
    this.share = h("input", {
      type: "range", min: 0, max: 1, step: 0.01, "aria-label": "Share of the way", "aria-keyshortcuts": "J L",
      oninput: () => explorer.go(Number(this.share.value)),
    });
    this.playButton = button("Play", "K", () => explorer.play());
    this.kinds = new Switches("Kind of way", (way) => explorer.set({ way }));
    const used = KEYS.filter(([key]) => (key === "T" ? explorer.page : key !== "[ ]" || explorer.models.length > 1));
    const keys = used.flatMap(([key, words]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, words)]);
    this.help = h("dialog", { class: "aae-help", "aria-label": "Keys" }, h("h3", {}, "Keys"), h("dl", {}, ...keys));
    this.help.addEventListener("click", () => this.help.close());
  }

  #layout(element) {
    const { explorer } = this, [first, second] = this.panels;
    this.list = h("input", {
      type: "range", min: 0, max: Math.max(1, explorer.models.length - 1), step: 1, "aria-label": "Model",
      "aria-keyshortcuts": "[ ]", oninput: () => explorer.choose(Number(this.list.value)),
    });
    this.listRow = h("label", { class: "aae-list", hidden: explorer.beside || explorer.models.length < 2 },
      h("span", {}, "Model", h("kbd", {}, "[ ]")), this.list);
    const titles = explorer.models.map(({ title }) => title), choose = (number) => explorer.choose(number);
    this.curve = explorer.beside || !explorer.curve ? null : new Curve(explorer.curve, titles, choose);
    this.encodeButtons = h("div", { class: "aae-buttons" },
      button("Image", "E", () => explorer.anyDigit(), { title: "Encode an image of the set" }),
      button("Open", "O", () => this.pad.open(), { title: "Encode a picture" }),
      button("Clear", "X", () => explorer.clear()));
    this.sampleButton = button("Sample the prior", "R", () => explorer.random());
    this.input = h("div", { class: "aae-column aae-x" }, this.source, this.pad.element,
      h("div", { class: "aae-tools" }, this.bars.element, this.encodeButtons));
    const buttons = h("div", { class: "aae-buttons" }, this.sampleButton);
    const tools = h("div", { class: "aae-tools" }, this.sliders.element, buttons, this.curve?.element ?? null);
    const under = h("div", { class: "aae-under" }, this.layers.element, this.legend.element);
    (second ? this.input : first.out).append(tools);
    const pins = ["A", "B"].map((name, i) => button(`Pin ${name}`, name, () => explorer.pin(i)));
    const way = h("section", { class: "aae-strip" }, h("h3", {}, "The way from A to B"),
      h("div", { class: "aae-way" }, ...pins, this.kinds.element, this.playButton, this.share),
      this.wayHint, ...this.ways.map(({ element }) => element));
    const pair = ({ code, out }) => [h("div", { class: "aae-pair" }, code, out)];
    const columns = this.panels.flatMap(second ? pair : ({ code, out }) => [code, out]);
    element.replaceChildren(
      h("header", {}, h("div", {}, this.title, this.about), this.listRow,
        h("div", { class: "aae-corner" },
          explorer.page ? button("Light or dark", "T", () => this.#theme(this.root.dataset.theme !== "dark")) : null,
          button("Keys", "?", () => this.help.showModal()))),
      h("div", { class: `aae-main ${second ? "aae-two" : "aae-one"}` }, this.input, ...columns, under),
      h("section", { class: "aae-strip" }, ...this.labels.map(({ element }) => element)), way, this.live, this.help,
    );
  }

  // ------------------------------------------------------------------------------------------------ showing

  /** Fit everything to the model that is shown. */
  build() {
    const { explorer } = this, { latent } = explorer, { beside, models, model } = explorer;
    this.panels.forEach(({ heading, latent: each }, i) => {
      heading.textContent = beside ? models[i].title : headingOf(each);
    });
    this.title.textContent = beside ? models.map(({ title }) => title).join(" and ") : models[model].title;
    this.about.textContent = beside ? "Two models under one pointer" : latent.about;
    this.list.value = model;
    this.curve?.show(model);
    this.list.setAttribute("aria-valuetext", models[model].title);
    this.sliders.build(latent);
    const having = (has) => this.panels.some((panel) => has(panel.latent));
    const switches = LAYER_SWITCHES.filter(([, , , , has]) => having(has));
    this.layers.build(switches.map(([name, label, key, title]) => [name, label, key, { title }]));
    const classes = [...new Set(latent.digits)].filter((label) => label >= 0).sort((a, b) => a - b);
    this.legend.build((latent.count ? classes : []).map((label) => [label, latent.className(label), null, {
      class: "aae-class", title: "Show this class only", "aria-keyshortcuts": label < 10 ? `Shift+${label} N` : "N",
    }]));
    this.kinds.build(explorer.ways.map((way, i) => [way, WAYS[way], i ? null : "W", { "aria-keyshortcuts": "W" }]));
    this.input.hidden = !this.panels.some((panel) => panel.latent.canEncode);
    this.root.classList.toggle("aae-generator", this.input.hidden);
    this.sampleButton.hidden = !latent.samples.length;
    this.panels.forEach(({ latent: { classes, clusters, title } }, i) => {
      this.labels[i].element.hidden = !classes;
      const every = clusters ? "in every cluster" : "with every label";
      this.labels[i].name(`The same style ${every}${beside ? `: ${title}` : ""}`);
      this.ways[i].name(beside ? title : "");
    });
    this.pad.show(latent, this.colors);
    this.#recolor();
    this.resize();
  }

  resize() {
    if (!this.explorer.latent) return;
    for (const panel of this.panels) panel.resize();
    this.pad.resize(this.pad.element.clientWidth);
  }

  /** Show what has changed of what is chosen. */
  refresh(changes) {
    const { explorer } = this, { state, latent } = explorer;
    this.sliders.show(this.panels[0].place);
    if ("picture" in changes && changes.picture !== this.pad.drawn) this.pad.set(state.picture);
    if ("probabilities" in changes) this.bars.show(state.probabilities, latent, this.colors);
    if ("label" in changes) for (const { plane } of this.panels) plane.touchTiles();
    this.pad.element.classList.toggle("aae-past", Boolean(state.picture) && !state.isCode);
    this.source.textContent = this.#sourceText();
    this.share.value = state.share;
    this.kinds.show((way) => way === state.way);
    this.layers.show((name) => this.panels[0].plane.layers.has(name));
    this.panels.forEach((panel, i) => {
      const path = explorer.path(i), pins = state.pins.map((pin, k) => pin && { name: "AB"[k], point: pin[i] });
      panel.plane.mark({ place: panel.place, hover: null, pins, path: path && this.#line(path) });
    });
    if (["pins", "way", "label"].some((name) => name in changes) || !this.wayShown) this.#showWay();
    this.#showLabels();
    this.live.textContent = this.panels[0].describe(this.panels[0].place).join(", ");
  }

  #line(path) {
    return Array.from({ length: 101 }, (_, i) => path(i / 100).slice(0, 2));
  }

  #sourceText() {
    const { digit, picture } = this.explorer.state, { latent } = this.explorer, label = latent.digits[digit];
    if (!picture) return "x: an image";
    if (digit < 0) return "x: your image";
    return label < 0 ? `x: image ${digit}` : `x: ${latent.oneOf(label)}, image ${digit}`;
  }

  #showLabels() {
    const { state } = this.explorer;
    this.panels.forEach(({ latent, place }, i) => {
      const captions = Array.from({ length: latent.classes }, (_, label) => latent.nameOf(label));
      this.labels[i].show(captions, (label) => latent.decode(place, label), latent, this.colors, state.label);
    });
  }

  #showWay() {
    const { explorer } = this, { state } = explorer, ready = Boolean(explorer.path(0));
    this.wayShown = true;
    this.wayHint.hidden = ready;
    this.playButton.disabled = this.share.disabled = !ready;
    const shares = ready ? explorer.shares : [], ends = state.way === "walk" ? ["start", "end"] : ["A", "B"];
    const captions = shares.map((share) => ({ 0: ends[0], 1: ends[1] })[share] ?? "");
    this.panels.forEach(({ latent }, i) => {
      const path = explorer.path(i), decode = (tile) => latent.decode(path(shares[tile]), state.label);
      this.ways[i].element.hidden = !path;
      if (path) this.ways[i].show(captions, decode, latent, this.colors, -1);
    });
  }

  showDecoded(panel) {
    const { isCode, digit, label } = this.explorer.state, { classes, labels } = panel.latent;
    const isOther = classes && digit >= 0 && labels[digit] !== label; // the style of the image, another label
    panel.showTip(-1);
    panel.plane.mark({ hover: null });
    panel.showImage(panel.image, false, `x\u0302: ${isCode && !isOther ? "its reconstruction" : "decoded from z"}`);
    panel.tell(panel.place);
  }

  showPreview(panel, place, image) {
    panel.plane.mark({ hover: place.slice(0, 2) });
    panel.showImage(image, true, "x\u0302: under the pointer");
    panel.tell(place);
  }

  showPlaying(playing) {
    this.playButton.firstChild.textContent = playing ? "Stop" : "Play";
  }

  say(message) {
    this.live.textContent = message;
    this.source.textContent = message;
  }

  toggleLayer(name) {
    const { layers } = this.panels[0].plane;
    this.explorer.set({ layers: layers.has(name) ? [...layers].filter((each) => each !== name) : [...layers, name] });
  }

  /** Show the codes of one class only, or of all again. */
  only(label) {
    for (const { plane } of this.panels) {
      plane.only = plane.only === label ? null : label;
      plane.touchTiles();
    }
    this.legend.show((each) => each === this.panels[0].plane.only);
  }

  #nextOnly() {
    const classes = [...this.legend.buttons.keys()], { only } = this.panels[0].plane;
    const next = classes[classes.indexOf(only) + 1] ?? only;
    if (next !== null) this.only(next);
  }

  #theme(dark) {
    this.root.dataset.theme = dark ? "dark" : "light";
    if (this.explorer.latent) this.#recolor();
    else this.colors = colorsOf(this.root);
  }

  #recolor() {
    this.colors = colorsOf(this.root);
    for (const panel of this.panels) panel.recolor(this.colors);
    this.pad.recolor(this.colors);
    for (const [label, each] of this.legend.buttons) each.style.setProperty("--class", this.colors.classOf(label));
    const { state, latent } = this.explorer;
    if (state.probabilities) this.bars.show(state.probabilities, latent, this.colors);
    if (this.wayShown) {
      this.#showWay();
      this.#showLabels();
    }
  }

  // ------------------------------------------------------------------------------------------------ keys

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = this.#actionOf(event);
    event.stopPropagation();
    if (!act) return;
    event.preventDefault();
    act();
  }

  #actionOf({ key, code, target, shiftKey }) {
    const { explorer } = this, { latent, state } = explorer, plane = this.panels[0].plane;
    const arrow = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowUp: [1, 1], ArrowDown: [1, -1] }[key];
    if (arrow) return target.tagName === "INPUT" ? null : () => explorer.step(arrow[0], arrow[1] * (shiftKey ? 5 : 1));
    const number = /^Digit(\d)$/.exec(code)?.[1];
    if (number && shiftKey) return () => this.legend.buttons.has(Number(number)) && this.only(Number(number));
    if (number) return () => explorer.setLabel(Number(number));
    const layer = LAYER_SWITCHES.find(([, , letter, , has]) => letter === key.toUpperCase() && has(latent));
    if (layer) return () => this.toggleLayer(layer[0]);
    const zoom = (factor) => () => plane.zoom(factor);
    const choose = (number) => () => number >= 0 && number < explorer.models.length && this.#chooseKey(number);
    return {
      "+": zoom(1 / 1.4), "=": zoom(1 / 1.4), "-": zoom(1.4),
      f: () => plane.fit(),
      a: () => explorer.pin(0), b: () => explorer.pin(1), w: () => explorer.nextWay(), k: () => explorer.play(),
      j: () => explorer.go(Math.max(0, state.share - 0.1)), l: () => explorer.go(Math.min(1, state.share + 0.1)),
      e: () => latent.canEncode && explorer.anyDigit(), o: () => latent.canEncode && this.pad.open(),
      x: () => explorer.clear(), r: () => latent.samples.length && explorer.random(),
      ",": () => state.label && explorer.setLabel(state.label - 1), ".": () => explorer.setLabel(state.label + 1),
      n: () => this.#nextOnly(), s: () => this.sliders.open(),
      "[": choose(explorer.model - 1), "]": choose(explorer.model + 1),
      t: explorer.page ? () => this.#theme(this.root.dataset.theme !== "dark") : null, "?": () => this.help.showModal(),
    }[key.toLowerCase()];
  }

  #chooseKey(number) {
    if (!this.explorer.beside) this.explorer.choose(number);
  }

  close() {
    this.explorer.stop();
    this.stopFollowing();
    this.observer.disconnect();
  }
}

function headingOf({ classes, dimensions, sphere }) {
  const what = classes ? "z: the style" : "z: the code";
  return dimensions === 2 ? what : `${what}, 2 of ${dimensions} directions${sphere ? " on the sphere" : ""}`;
}
