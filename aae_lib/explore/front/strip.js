// Strips of images: all labels in one style, and the way from pin A to pin B.

import { h, pictureOf } from "./dom.js";

export class Strip {
  /**
   * A row of images that can be clicked.
   * @param choose(index) what a click does
   * @param key(index) the key that does the same
   */
  constructor(choose, key) {
    Object.assign(this, { choose, key });
    this.title = h("h3", {});
    this.row = h("div", { class: "aae-tiles", role: "group" });
    this.element = h("div", {}, this.title, this.row);
    this.round = {};
  }

  name(title) {
    this.title.textContent = title;
    this.title.hidden = !title;
  }

  /** Show as many images as there are captions; `image(index)` makes each, and may take its time. */
  async show(captions, image, latent, colors, chosen) {
    const round = (this.round = {});
    if (this.row.childElementCount !== captions.length) {
      this.row.replaceChildren(...captions.map((_, i) => (
        h("button", { type: "button", "aria-keyshortcuts": this.key(i), onclick: () => this.choose(i) },
          h("canvas"), h("span"))
      )));
    }
    this.mark(chosen);
    for (const [i, caption] of captions.entries()) {
      const tile = this.row.children[i], values = await image(i);
      if (this.round !== round) return;
      pictureOf(values, latent, colors, tile.firstChild);
      tile.lastChild.textContent = tile.title = caption;
      tile.setAttribute("aria-label", caption || `image ${i + 1} of ${captions.length}`);
    }
  }

  mark(chosen) {
    [...this.row.children].forEach((tile, i) => tile.setAttribute("aria-pressed", i === chosen));
  }
}
