// Small helpers: elements, pictures of numbers, and the colors of the theme.

/** An element. Attributes that begin with "on" are listeners, properties such as `value` are set, null is left out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** A button with its key, which is shown, and told to screen readers. */
export function button(label, key, onclick, attributes = {}) {
  const hint = key ? h("kbd", { "aria-hidden": "true" }, key) : null;
  return h("button", { type: "button", "aria-keyshortcuts": key || null, onclick, ...attributes }, label, hint);
}

/** The colors of an element's theme, for canvases: what its style sheet says, and the classes' colors. */
export function colorsOf(element) {
  const style = getComputedStyle(element);
  const named = (name) => style.getPropertyValue(`--aae-${name}`).trim();
  const dark = element.dataset.theme === "dark";
  return {
    ground: named("ground"), ink: named("ink"), muted: named("muted"), line: named("line"), accent: named("accent"),
    real: named("real"), fake: named("fake"), far: named("far"), classes: COLORS[dark ? "dark" : "light"], dark,
    classOf(label) {
      return label < 0 ? this.muted : this.classes[label % this.classes.length];
    },
  };
}

/** A color "#rrggbb" as numbers. */
export function rgb(color) {
  return [1, 3, 5].map((start) => parseInt(color.slice(start, start + 2), 16));
}

/**
 * A canvas of an image's own pixels. Images of ink are the theme's ink on nothing; others are gray or in color.
 * @param values Float32Array, channel by channel
 */
export function pictureOf(values, { shape, ink }, colors, canvas = document.createElement("canvas")) {
  const [channels, height, width] = shape, [r, g, b] = rgb(colors.ink);
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d"), picture = context.createImageData(width, height);
  const size = width * height, { data } = picture;
  for (let i = 0, at = 0; i < size; i++, at += 4) {
    const second = channels === 1 ? i : size + i, third = channels === 1 ? i : 2 * size + i;
    data[at] = ink ? r : 255 * values[i];
    data[at + 1] = ink ? g : 255 * values[second];
    data[at + 2] = ink ? b : 255 * values[third];
    data[at + 3] = ink ? 255 * values[i] : 255;
  }
  context.putImageData(picture, 0, 0);
  return canvas;
}

/** Fit a canvas to its size on the page, at the screen's resolution, and clear it; its context draws in page pixels. */
export function fitted(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1, size = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/** Whether an element stands in a dark page, and word when that changes: JupyterLab, VS Code, else the system. */
export function followTheme(onchange) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => {
    const { jpThemeLight, vscodeThemeKind } = document.body.dataset;
    if (jpThemeLight) return jpThemeLight === "false";
    if (vscodeThemeKind) return vscodeThemeKind.includes("dark");
    return system.matches;
  };
  const tell = () => onchange(dark());
  system.addEventListener("change", tell);
  const observer = new MutationObserver(tell);
  observer.observe(document.body, { attributeFilter: ["data-jp-theme-light", "data-vscode-theme-kind"] });
  tell();
  return () => {
    system.removeEventListener("change", tell);
    observer.disconnect();
  };
}

/** A number as text of constant length: true minus signs, two decimals. */
export function text(value, decimals = 2) {
  return (Math.abs(value) < 0.5 * 10 ** -decimals ? 0 : value).toFixed(decimals).replace("-", "\u2212");
}
