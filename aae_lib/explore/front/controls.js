// Sliders, switches and bars.

import { button, h, text } from "./dom.js";
import { largest } from "./latent.js";

const SLIDERS = 20; // directions that have one
const ROWS = 5; // labels with names of which the probability is shown

/** The layers of the plane: name, label, key, what it shows, and whether a model has it. */
export const LAYER_SWITCHES = [
  ["codes", "codes", "C", "The codes of images, colored by class", (latent) => latent.count > 0],
  ["prior", "prior", "P", "Where the prior is: around 50, 90 and 99 % of it", (latent) => latent.samples.length > 0],
  ["tiles", "images", "G", "What the plane decodes to", () => true],
  ["judge", "D(z)", "D", "What the discriminator takes for the prior (blue) or for a code (orange)",
    (latent) => latent.judge !== null],
  ["far", "distance", "H", "The darker, the farther from all codes", (latent) => latent.count > 0],
];

/** Sliders of the coordinates, those outside of the plane in a block that opens. */
export class Sliders {
  /** @param move(index, value) */
  constructor(move) {
    this.move = move;
    this.first = h("div", { class: "aae-sliders" });
    this.others = h("div", { class: "aae-sliders" });
    this.summary = h("summary", { "aria-keyshortcuts": "S" });
    this.details = h("details", {}, this.summary, this.others);
    this.element = h("div", {}, this.first, this.details);
  }

  build(latent) {
    this.inputs = latent.reach.slice(0, SLIDERS).map(([limit, step], i) => this.#slider(i, limit, step));
    const rows = this.inputs.map(({ row }) => row), more = rows.length - 2;
    this.first.replaceChildren(...rows.slice(0, 2));
    this.others.replaceChildren(...rows.slice(2));
    this.details.hidden = !more;
    this.summary.replaceChildren(`${more} more direction${more > 1 ? "s" : ""}`, h("kbd", {}, "S"));
  }

  #slider(i, limit, step) {
    const name = `z${subscript(i + 1)}`, key = ["\u2190 \u2192", "\u2191 \u2193"][i] ?? null;
    const value = h("output", {});
    const input = h("input", {
      type: "range", min: -limit, max: limit, step: "any", "aria-label": name,
      "aria-keyshortcuts": ["ArrowLeft ArrowRight", "ArrowUp ArrowDown"][i] ?? "S",
      oninput: () => this.move(i, Number(input.value)),
    });
    input.addEventListener("keydown", (event) => { // "any" has no steps of its own
      const direction = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      if (!direction) return;
      event.preventDefault();
      event.stopPropagation();
      const value = Number(input.value) + direction * step * (event.shiftKey ? 5 : 1);
      this.move(i, Math.min(limit, Math.max(-limit, value)));
    });
    const words = h("span", {}, name, key && h("kbd", { "aria-hidden": "true" }, key));
    return { row: h("label", {}, words, input, value), input, value };
  }

  show(place) {
    this.inputs.forEach(({ input, value }, i) => {
      input.value = place[i];
      value.textContent = text(place[i]);
    });
  }

  open() {
    if (this.details.hidden) return;
    this.details.open = true;
    this.inputs[2].input.focus();
  }
}

function subscript(number) {
  return [...String(number)].map((digit) => String.fromCharCode(0x2080 + Number(digit))).join("");
}

/** A row of switches: [name, label, key]; `toggle(name)` is what a press does. */
export class Switches {
  constructor(title, toggle) {
    this.toggle = toggle;
    this.element = h("div", { class: "aae-switches", role: "group", "aria-label": title });
  }

  build(switches) {
    this.buttons = new Map(switches.map(([name, label, key, attributes]) => (
      [name, button(label, key, () => this.toggle(name), attributes)]
    )));
    this.element.replaceChildren(...this.buttons.values());
  }

  /** @param pressed(name) whether it is on */
  show(pressed) {
    for (const [name, each] of this.buttons) each.setAttribute("aria-pressed", pressed(name));
  }
}

/** The probabilities of the labels, as bars, and what they say in words. */
export class Bars {
  constructor() {
    this.words = h("p", {});
    this.bars = h("div", { class: "aae-bars", "aria-hidden": "true" });
    this.element = h("div", { hidden: true }, this.words, this.bars);
  }

  show(probabilities, latent, colors) {
    this.element.hidden = !probabilities;
    if (!probabilities) return;
    const best = largest(probabilities), name = latent.nameOf(best);
    const certainty = Math.round(100 * probabilities[best]), named = latent.names.length > 0 && !latent.clusters;
    const labels = Array.from(probabilities.keys());
    if (named) labels.sort((a, b) => probabilities[b] - probabilities[a]).splice(ROWS);
    this.words.textContent = `${latent.clusters ? "in cluster" : "read as"} ${name} (${certainty} %)`;
    this.bars.classList.toggle("aae-many", labels.length > 12);
    this.bars.classList.toggle("aae-rows", named);
    this.bars.replaceChildren(...labels.map((label) => {
      const share = 100 * probabilities[label], bar = h("i", { title: `${latent.nameOf(label)}: ${text(share, 1)} %` });
      bar.style[named ? "width" : "height"] = `${Math.max(2, share)}%`;
      bar.style.background = colors.classOf(latent.classOf(label));
      const caption = named ? latent.className(label) : String(label);
      return h("span", { class: label === best ? "aae-best" : "" }, h("b", {}, bar), h("em", {}, caption));
    }));
  }
}
