// One model in the explorer: its plane, the image that the chosen code decodes to, and what is known of the code.

import { fitted, h, pictureOf, text } from "./dom.js";
import { Plane } from "./plane.js";

export class Panel {
  /** @param on as for Plane, each with this panel as the first argument */
  constructor(on, name) {
    const bound = {};
    for (const [event, act] of Object.entries(on)) bound[event] = (...values) => act(this, ...values);
    this.plane = new Plane(bound, `${name}: the plane of codes`);
    this.heading = h("h3", {});
    this.canvas = h("canvas", { role: "img", class: "aae-canvas", "aria-label": "The image that the code decodes to" });
    this.caption = h("h3", {});
    this.status = h("p", { class: "aae-status" });
    this.tip = h("div", { class: "aae-tip", hidden: true }, h("canvas"), h("span"));
    this.plane.element.append(this.tip);
    this.code = h("div", { class: "aae-column aae-code" }, this.heading, this.plane.element, this.status);
    this.out = h("div", { class: "aae-column aae-out" }, this.caption, h("div", { class: "aae-square" }, this.canvas));
    this.shown = { image: null, preview: false };
  }

  show(latent, colors, decode, home) {
    this.latent = latent;
    this.place = latent.start;
    this.plane.show(latent, colors, decode, home);
    this.plane.mark({ place: this.place });
    this.colors = colors;
  }

  recolor(colors) {
    this.colors = colors;
    this.plane.recolor(colors);
    this.paint();
  }

  resize() {
    this.plane.resize(this.plane.element.clientWidth);
    this.paint();
  }

  /** Show a decoded image; a preview is of the point under the pointer, not of the chosen code. */
  showImage(image, preview, caption) {
    this.shown = { image, preview };
    this.caption.textContent = caption;
    this.out.classList.toggle("aae-preview", preview);
    this.paint();
  }

  paint() {
    const { image } = this.shown, size = this.canvas.clientWidth;
    if (!image || !size) return;
    const context = fitted(this.canvas, size, size);
    context.imageSmoothingEnabled = false;
    context.drawImage(pictureOf(image, this.latent, this.colors), 0, 0, size, size);
  }

  /** Say what is known of a place. */
  tell(place) {
    this.status.replaceChildren(...this.describe(place).map((part) => h("span", {}, part)));
  }

  /** What is known of a place, in a few short parts. */
  describe(place) {
    const { latent, plane } = this, [u, v] = place;
    const parts = [`z = (${text(u)}, ${text(v)})`];
    if (plane.outside(u, v)) return [`${parts[0]}, outside of the sphere`];
    const mass = plane.massAt(u, v), judged = latent.judged(u, v), near = latent.nearest(u, v, plane.off);
    if (mass !== null) parts.push(mass < 1 ? `inner ${Math.round(100 * mass)} % of the prior` : "beyond the prior");
    if (judged !== null) parts.push(`D(z) ${text(judged)}`);
    if (near) {
      const digit = latent.digits[near.index];
      parts.push(`next code ${text(near.distance)} off${digit < 0 ? "" : `, ${latent.oneOf(digit)}`}`);
    }
    return parts;
  }

  /** The image behind the dot under the pointer, beside it; index -1: none. */
  showTip(index, [x, y] = [0, 0]) {
    this.tip.hidden = index < 0;
    if (index < 0 || this.tipped === index) return;
    this.tipped = index;
    const { latent, plane } = this, digit = latent.digits[index], [canvas, words] = this.tip.children;
    pictureOf(latent.image(index), latent, this.colors, canvas);
    words.textContent = digit < 0 ? `image ${index}` : `${latent.oneOf(digit)}, image ${index}`;
    const right = x > plane.size / 2, low = y > plane.size / 2;
    Object.assign(this.tip.style, {
      left: right ? "auto" : `${x + 14}px`, right: right ? `${plane.size - x + 14}px` : "auto",
      top: low ? "auto" : `${y + 14}px`, bottom: low ? `${plane.size - y + 14}px` : "auto",
    });
  }
}
