// A curve on which the models lie, such as match against reconstruction. The point of the shown model stands out.

import { text } from "./dom.js";

const [WIDTH, HEIGHT, LEFT, EDGE] = [200, 170, 52, 34]; // as wide as the column, so that words are not shrunk

export class Curve {
  /**
   * @param curve {names: of both axes, points: [[x, y], ...], one for each model}
   * @param titles of the models
   * @param choose called with the number of a point that is clicked
   */
  constructor({ names, points }, titles, choose) {
    const places = points.map((_, n) => [0, 1].map((axis) => this.#place(points, n, axis)));
    const marks = [[0, LEFT, HEIGHT - EDGE + 16], [1, LEFT - 6, HEIGHT - EDGE]].flatMap(([axis, x, y]) => {
      const values = points.map((point) => point[axis]), ends = [Math.min(...values), Math.max(...values)];
      return ends.map((value, end) => svg("text", {
        x: axis ? x : [LEFT + 2, WIDTH][end], y: axis ? [HEIGHT - EDGE - 8, 14][end] : y,
        "text-anchor": axis || end ? "end" : "start",
      }, text(value)));
    });
    this.points = places.map(([cx, cy], n) => {
      const point = svg("circle", { cx, cy, r: 5 }, svg("title", {}, titles[n]));
      point.addEventListener("click", () => choose(n));
      return point;
    });
    this.element = svg("svg", {
      class: "aae-curve", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, role: "img",
      "aria-label": `${names[1]} against ${names[0]} of each model`,
    },
    svg("path", { d: `M${LEFT} 4V${HEIGHT - EDGE}H${WIDTH}` }), svg("polyline", { points: places.join(" ") }), ...marks,
    svg("text", { x: (LEFT + WIDTH) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, names[0]),
    svg("text", { transform: `translate(12 ${(HEIGHT - EDGE) / 2}) rotate(-90)`, "text-anchor": "middle" }, names[1]),
    ...this.points);
  }

  /** Where a point lies: the smallest values at the left and at the bottom. */
  #place(points, n, axis) {
    const values = points.map((point) => point[axis]), low = Math.min(...values);
    const share = (values[n] - low) / (Math.max(...values) - low || 1);
    return axis ? HEIGHT - EDGE - 12 - share * (HEIGHT - EDGE - 22) : LEFT + 10 + share * (WIDTH - LEFT - 20);
  }

  show(number) {
    this.points.forEach((point, n) => point.classList.toggle("aae-chosen", n === number));
  }
}

function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
