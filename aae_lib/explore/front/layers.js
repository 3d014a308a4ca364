// What lies on the plane, each painted by one function (context, plane): see `Plane` for what a plane is.

import { rgb } from "./dom.js";

const FAR_CELLS = 72; // along a side, at which the distance to the nearest code is taken
const LABEL = 9; // half of the height of a label, and of the width of a short one, in pixels
const APART = 0.9; // labels stand on the plane if classes lie this far apart, in units of their own spread

/** The farther from all codes, the darker, from the nearest tenth of what is seen to the farthest point. */
export function paintFar(context, plane) {
  const { latent, size, colors } = plane, n = FAR_CELLS, [r, g, b] = rgb(colors.far);
  if (!latent.count) return;
  const canvas = new OffscreenCanvas(n, n), local = canvas.getContext("2d"), picture = local.createImageData(n, n);
  const distances = Array.from({ length: n * n }, (_, i) => {
    const [u, v] = plane.pointAt([((i % n) + 0.5) * (size / n), (Math.floor(i / n) + 0.5) * (size / n)]);
    return latent.nearest(u, v, plane.off).distance;
  });
  const sorted = Float32Array.from(distances).sort();
  const near = sorted[Math.floor(sorted.length / 10)], far = sorted.at(-1);
  distances.forEach((distance, i) => {
    const share = Math.max(0, (distance - near) / (far - near));
    picture.data.set([r, g, b, 230 * Math.sqrt(share)], 4 * i);
  });
  local.putImageData(picture, 0, 0);
  context.save();
  if (latent.sphere) context.clip(plane.disk());
  context.imageSmoothingEnabled = true;
  context.drawImage(canvas, 0, 0, size, size);
  context.restore();
}

/** D(z): one color where codes are taken for samples of the prior, the other where they are not. */
export function paintJudge(context, plane) {
  const { latent, colors } = plane;
  if (!latent.judge) return;
  const { half, values } = latent.judge, n = Math.sqrt(values.length);
  const canvas = new OffscreenCanvas(n, n), local = canvas.getContext("2d"), picture = local.createImageData(n, n);
  const [real, fake] = [rgb(colors.real), rgb(colors.fake)];
  values.forEach((value, i) => {
    const share = value / 127.5 - 1, row = n - 1 - Math.floor(i / n);
    picture.data.set([...(share > 0 ? real : fake), 200 * Math.abs(share)], 4 * (row * n + (i % n)));
  });
  local.putImageData(picture, 0, 0);
  const [left, top] = plane.pixelOf(-half, half), [right, bottom] = plane.pixelOf(half, -half);
  context.imageSmoothingEnabled = true;
  context.drawImage(canvas, left, top, right - left, bottom - top);
}

/** Images decoded on a lattice; see `Plane.fillTiles`. */
export function paintTiles(context, plane) {
  context.imageSmoothingEnabled = true;
  context.globalAlpha = 0.92;
  for (const { picture, left, top, side } of plane.tiles) context.drawImage(picture, left, top, side, side);
  context.globalAlpha = 1;
}

/** Lines through the origin with a few numbers. */
export function paintScale(context, plane) {
  const { view, size, colors } = plane, step = niceStep((2 * view.half) / 5);
  context.strokeStyle = colors.line;
  context.fillStyle = colors.muted;
  context.font = "10px system-ui, sans-serif";
  context.lineWidth = 1;
  const [x0, y0] = plane.pixelOf(0, 0).map((value) => Math.round(value) + 0.5);
  context.beginPath();
  context.moveTo(x0, 0);
  context.lineTo(x0, size);
  context.moveTo(0, y0);
  context.lineTo(size, y0);
  context.stroke();
  context.textAlign = "center";
  context.textBaseline = "bottom";
  for (const value of ticks(view.x, view.half, step)) context.fillText(value, plane.pixelOf(value, 0)[0], size - 4);
  context.textAlign = "left";
  context.textBaseline = "middle";
  for (const value of ticks(view.y, view.half, step)) context.fillText(value, 5, plane.pixelOf(0, value)[1]);
}

function niceStep(length) {
  const unit = 10 ** Math.floor(Math.log10(length));
  return unit * [1, 2, 5, 10].find((factor) => factor * unit >= length);
}

function ticks(center, half, step) {
  const list = [];
  for (let k = Math.ceil((center - 0.86 * half) / step); k * step <= center + 0.86 * half; k++) {
    list.push(Number((k * step).toPrecision(6)));
  }
  return list;
}

/** The prior's contours, or samples of it where it has none, and the walk through it. */
export function paintPrior(context, plane) {
  const { latent, colors } = plane;
  if (!latent.contours.length && latent.samples.length) {
    context.fillStyle = colors.muted;
    context.globalAlpha = 0.35;
    for (let n = 0; n < latent.samples.length; n += latent.dimensions) {
      const [x, y] = plane.pixelOf(latent.samples[n], latent.samples[n + 1]);
      context.fillRect(x - 0.8, y - 0.8, 1.6, 1.6);
    }
    context.globalAlpha = 1;
  }
  context.strokeStyle = colors.muted;
  latent.contours.forEach((lines, level) => {
    context.lineWidth = 0.8 + 0.25 * level;
    context.stroke(plane.outline(lines));
  });
  if (!latent.sphere) return;
  context.lineWidth = 1;
  context.stroke(plane.disk());
}

/** The codes, colored by class. */
export function paintCodes(context, plane) {
  const { latent, colors, only } = plane;
  const radius = Math.min(5, 2.1 * plane.magnification ** 0.35);
  const shown = (label) => only === null || only === label;
  for (const label of new Set(latent.digits)) {
    context.fillStyle = colors.classOf(label);
    context.globalAlpha = shown(label) ? 0.82 : 0.06;
    context.beginPath();
    for (let n = 0; n < latent.count; n++) {
      if (latent.digits[n] !== label) continue;
      const [x, y] = plane.pixelOf(...plane.codePoint(n));
      context.moveTo(x + radius, y);
      context.arc(x, y, radius, 0, 2 * Math.PI);
    }
    context.fill();
  }
  context.globalAlpha = 1;
}

/** The heads of clusters: crosses, with their numbers where these are no classes. */
export function paintHeads(context, plane) {
  const { heads, dimensions, clusters } = plane.latent;
  if (!heads) return;
  context.font = "600 10px system-ui, sans-serif";
  context.textAlign = "left";
  context.textBaseline = "bottom";
  for (let k = 0; k * dimensions < heads.length; k++) {
    const [x, y] = plane.pixelOf(heads[k * dimensions], heads[k * dimensions + 1]);
    for (const [width, color] of [[4, plane.colors.ground], [1.6, plane.colors.ink]]) {
      [context.lineWidth, context.strokeStyle] = [width, color];
      context.beginPath();
      context.moveTo(x - 6, y);
      context.lineTo(x + 6, y);
      context.moveTo(x, y - 6);
      context.lineTo(x, y + 6);
      context.stroke();
    }
    if (!clusters) continue;
    [context.lineWidth, context.strokeStyle, context.fillStyle] = [3, plane.colors.ground, plane.colors.ink];
    context.strokeText(k, x + 4, y - 3);
    context.fillText(k, x + 4, y - 3);
  }
}

/** The classes' names, each at the middle of its codes, moved where they would lie on each other. */
export function paintLabels(context, plane) {
  const { colors, size } = plane;
  context.font = "600 13px system-ui, sans-serif";
  const labels = plane.middles.map(({ label, u, v }) => {
    const home = plane.pixelOf(u, v), name = plane.latent.className(label);
    return { label, name, home, at: home, half: Math.max(LABEL, context.measureText(name).width / 2 + 5) };
  });
  const visible = labels.filter(({ home }) => home.every((value) => value > -LABEL && value < size + LABEL));
  pushApart(visible, size);
  plane.placed = visible;
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (const { label, name, home, at, half } of visible) {
    if (plane.only !== null && plane.only !== label) continue;
    if (Math.hypot(at[0] - home[0], at[1] - home[1]) > LABEL) {
      context.strokeStyle = colors.classOf(label);
      context.lineWidth = 1;
      context.beginPath();
      context.moveTo(...home);
      context.lineTo(...at);
      context.stroke();
    }
    context.fillStyle = colors.ground;
    context.strokeStyle = colors.classOf(label);
    context.lineWidth = 1.5;
    context.beginPath();
    context.roundRect(at[0] - half, at[1] - LABEL, 2 * half, 2 * LABEL, LABEL);
    context.fill();
    context.stroke();
    context.fillStyle = colors.ink;
    context.fillText(name, at[0], at[1] + 1);
  }
}

/** Move labels, {at, half: of the width}, until none lies on another, and all lie inside. */
export function pushApart(labels, size) {
  for (let round = 0; round < 200; round++) {
    let moved = false;
    labels.forEach((one, i) => labels.slice(i + 1).forEach((other, j) => {
      const unit = [(one.half + other.half + 1) / 2, LABEL + 0.5]; // in which the distance of labels that touch is 2
      let [dx, dy] = unit.map((half, axis) => (other.at[axis] - one.at[axis]) / half), length = Math.hypot(dx, dy);
      if (length >= 2) return;
      if (length < 1e-6) [dx, dy, length] = [Math.cos(i + 2 * j), Math.sin(i + 2 * j), 1];
      const step = [dx, dy].map((part, axis) => ((2 - length) / 2 + 0.01) * (part / length) * unit[axis]);
      one.at = one.at.map((value, axis) => value - step[axis]);
      other.at = other.at.map((value, axis) => value + step[axis]);
      moved = true;
    }));
    for (const label of labels) {
      label.at = label.at.map((value, axis) => {
        const edge = (axis ? LABEL : label.half) + 2;
        return Math.min(size - edge, Math.max(edge, value));
      });
    }
    if (!moved) return;
  }
}

/** Where each class's codes have their middle, [{label, u, v}]; none if the classes lie on each other. */
export function middlesOf(latent) {
  const groups = new Map();
  for (let n = 0; n < latent.count; n++) {
    const label = latent.digits[n], start = n * latent.dimensions;
    if (label >= 0) groups.set(label, [...(groups.get(label) ?? []), latent.codes.subarray(start, start + 2)]);
  }
  const middles = [...groups].map(([label, points]) => {
    const sample = points.slice(0, 200);
    const distances = sample.map((p) => sample.reduce((sum, q) => sum + Math.hypot(p[0] - q[0], p[1] - q[1]), 0));
    const best = distances.indexOf(Math.min(...distances));
    return { label, u: sample[best][0], v: sample[best][1], spread: distances[best] / sample.length };
  });
  const mean = (name) => middles.reduce((sum, middle) => sum + middle[name], 0) / (middles.length || 1);
  const apart = Math.hypot(...["u", "v"].map((axis) => Math.sqrt(
    middles.reduce((sum, middle) => sum + (middle[axis] - mean(axis)) ** 2, 0) / (middles.length || 1),
  )));
  return apart > APART * mean("spread") ? middles : [];
}

