// What is painted of the game: the plane, the circle of codes, and the curves of losses.

import { fitted, h, rgb, text } from "./dom.js";

const UNIT = 2048; // the integer that means half of the plane's side
const REACH = 0.1; // of an arrow, for a gradient of the plane's half
export const PLAYERS = {
  reconstruction: "autoencoder", discriminator: "discriminator", generator: "generator", encoder: "encoder",
};

/** Both crowds, D, and where the generator pushes its points. */
export function paintArena(view) {
  const { colors, canvas, frame, game } = view, size = canvas.clientWidth, context = fitted(canvas, size, size);
  context.fillStyle = colors.ground;
  context.fillRect(0, 0, size, size);
  if (view.layers.has("map") && view.hasMap) paintMap(context, frame.map, colors, size);
  const shift = view.slow ? view.shift : 1, before = shift < 1 ? view.before?.fakes : null;
  const place = (values, i, scale) => [(1 + values[i] / scale) * size / 2, (1 - values[i + 1] / scale) * size / 2];
  const dots = (values, scale, radius, colorOf) => {
    for (let i = 0; i < values.length; i += 2) {
      context.fillStyle = colorOf(i / 2);
      context.beginPath();
      context.arc(...place(values, i, scale), radius, 0, 2 * Math.PI);
      context.fill();
    }
  };
  const { labels, of_codes: ofCodes } = game.description, dot = Math.max(2.1, size / 210);
  context.globalAlpha = 0.55;
  dots(game.real, 1, dot, () => (ofCodes ? colors.muted : colors.real));
  const fakes = before ? frame.fakes.map((value, i) => before[i] + shift * (value - before[i])) : frame.fakes;
  context.globalAlpha = 0.75;
  if (view.layers.has("arrows")) paintArrows(context, fakes, frame.pushes, size, place, colors);
  context.globalAlpha = 0.85;
  dots(fakes, UNIT, ofCodes ? dot * 1.15 : dot, (n) => (ofCodes ? colors.classOf(labels[n]) : colors.fake));
  context.globalAlpha = 1;
  context.strokeStyle = colors.real;
  context.lineWidth = 4;
  context.lineCap = context.lineJoin = "round";
  if (view.stroke) for (const stroke of view.strokes) {
    context.beginPath();
    for (const [x, y] of stroke) context.lineTo((1 + x) * size / 2, (1 - y) * size / 2);
    context.stroke();
  }
}

/** The codes of both crowds, each on a circle of its own. */
export function paintCircle({ circle, colors, frame }) {
  const size = circle.clientWidth, context = fitted(circle, size, size);
  const half = frame.codes.length / 2;
  for (const [start, radius, color] of [[0, 0.46, colors.real], [half, 0.36, colors.fake]]) {
    context.fillStyle = color;
    context.globalAlpha = 0.35;
    for (let i = start; i < start + half; i += 2) {
      const spread = radius + 0.035 * Math.sin(12.9898 * i); // so that codes beside each other are seen
      const [x, y] = [frame.codes[i], frame.codes[i + 1]].map((value) => value / UNIT * spread * size);
      context.beginPath();
      context.arc(size / 2 + x, size / 2 - y, 1.8, 0, 2 * Math.PI);
      context.fill();
    }
  }
  context.globalAlpha = 1;
}

/** Losses, or the distance, up to this frame; the dotted lines are where neither player has an advantage. */
export function paintCurve({ colors, game, at }, { names, canvas, value, equilibrium }) {
  const width = canvas.clientWidth, height = canvas.clientHeight;
  const context = fitted(canvas, width, height), last = game.frames[game.frames.length - 1].step || 1;
  const read = (frame, name) => (name === "distance" ? frame.distance : frame.losses[name]);
  const seen = game.frames.filter((frame) => read(frame, names[0]) !== undefined);
  const known = names.flatMap((name) => seen.map((frame) => read(frame, name))).filter(Number.isFinite);
  known.sort((a, b) => a - b);
  const most = 1.15 * (known[Math.floor(0.985 * known.length)] ?? 1); // but for the wildest swings
  const low = Math.min(0, known[0] ?? 0), high = Math.max(equilibrium ? 2.2 : 0, most) || 1;
  const spot = (step, y) => [2 + step / last * (width - 6), height - 3 - (y - low) / (high - low) * (height - 8)];
  const shades = { discriminator: colors.accent, generator: colors.fake, encoder: colors.accent };
  context.strokeStyle = colors.line;
  context.beginPath();
  context.moveTo(0, spot(0, 0)[1]);
  context.lineTo(width, spot(0, 0)[1]);
  context.stroke();
  context.save();
  context.beginPath();
  context.rect(0, 0, width, height);
  context.clip();
  for (const name of names) {
    const color = shades[name] ?? colors.ink;
    context.strokeStyle = color;
    if (equilibrium) {
      context.globalAlpha = 0.55;
      context.setLineDash([1, 4]);
      const level = spot(0, name === "discriminator" ? Math.log(4) : Math.log(2))[1];
      context.stroke(new Path2D(`M0 ${level}H${width}`));
      context.setLineDash([]);
    }
    context.lineWidth = 1.5;
    for (const [alpha, frames] of [[0.25, seen], [1, seen.filter((frame) => game.frames.indexOf(frame) <= at)]]) {
      context.globalAlpha = alpha;
      context.beginPath();
      for (const frame of frames) context.lineTo(...spot(frame.step, read(frame, name)));
      context.stroke();
    }
  }
  context.restore();
  const words = names.flatMap((name) => {
    const number = read(game.frames[at], name);
    const shown = number === undefined ? "\u2013" : text(number);
    const mark = h("span", {}, names.length > 1 ? `${PLAYERS[name]} ${shown}` : shown);
    mark.style.color = shades[name] ?? colors.ink;
    return [mark];
  });
  value.replaceChildren(...words);
}

/** D as a heat map: the color of real points where it says "real", that of fakes where "fake", nothing at one half. */
function paintMap(context, map, colors, size) {
  const n = Math.sqrt(map.length), canvas = new OffscreenCanvas(n, n), local = canvas.getContext("2d");
  const picture = local.createImageData(n, n), [real, fake] = [rgb(colors.real), rgb(colors.fake)];
  map.forEach((value, i) => {
    const share = value / 127.5 - 1, row = n - 1 - Math.floor(i / n);
    picture.data.set([...(share > 0 ? real : fake), 125 * Math.abs(share)], 4 * (row * n + (i % n)));
  });
  local.putImageData(picture, 0, 0);
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  const edge = size / (n - 1) / 2; // the grid's outer points lie on the plane's edge
  context.drawImage(canvas, -edge, -edge, size + 2 * edge, size + 2 * edge);
}

function paintArrows(context, fakes, pushes, size, place, colors) {
  context.strokeStyle = colors.ink;
  context.lineWidth = 1.1;
  context.beginPath();
  for (let i = 0; i < pushes.length; i += 2) {
    const length = Math.hypot(pushes[i], pushes[i + 1]) / UNIT;
    if (!length) continue;
    const scale = REACH * Math.tanh(length / 4) / length; // the longest stay short
    const [x, y] = place(fakes, i, UNIT);
    const [dx, dy] = [scale * pushes[i], -scale * pushes[i + 1]].map((value) => value / UNIT * size);
    const [ux, uy] = [dx, dy].map((value) => value * Math.min(0.35, 5 / Math.hypot(dx, dy)));
    context.moveTo(x, y);
    context.lineTo(x + dx, y + dy);
    context.moveTo(x + dx - ux - 0.6 * uy, y + dy - uy + 0.6 * ux);
    context.lineTo(x + dx, y + dy);
    context.lineTo(x + dx - ux + 0.6 * uy, y + dy - uy - 0.6 * ux);
  }
  context.stroke();
}
