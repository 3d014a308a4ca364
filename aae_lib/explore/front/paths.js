// Ways from one place to another: functions from a share in [0, 1] to a place.

export const WAYS = { line: "straight line", circle: "great circle", walk: "the prior's walk" };

const mix = (a, b, share) => a + (b - a) * share;

export function line(start, end) {
  return (share) => start.map((value, i) => mix(value, end[i], share));
}

/** Along the great circle, the shorter way, while the length goes from that of the start to that of the end. */
export function circle(start, end) {
  const lengths = [Math.hypot(...start), Math.hypot(...end)];
  const cosine = start.reduce((sum, value, i) => sum + value * end[i], 0) / (lengths[0] * lengths[1]);
  const angle = Math.acos(Math.min(1, Math.max(-1, cosine)));
  if (!(Math.sin(angle) > 1e-6)) return line(start, end);
  return (share) => {
    const [a, b] = [1 - share, share].map((part) => Math.sin(part * angle) / Math.sin(angle));
    const length = mix(...lengths, share);
    return start.map((value, i) => length * ((a * value) / lengths[0] + (b * end[i]) / lengths[1]));
  };
}

/** Along the points of a walk, from the one nearest to the start to the one nearest to the end; null: its own ends. */
export function along(points, dimensions, start, end) {
  const last = points.length / dimensions - 1;
  const from = start ? nearestPoint(points, dimensions, start) : 0;
  const to = end ? nearestPoint(points, dimensions, end) : last;
  return (share) => {
    const position = mix(from, to, share), k = Math.min(Math.floor(position), last - 1), part = position - k;
    return Array.from({ length: dimensions }, (_, i) => (
      mix(points[k * dimensions + i], points[(k + 1) * dimensions + i], part)
    ));
  };
}

function nearestPoint(points, dimensions, place) {
  let best = 0, least = Infinity;
  for (let k = 0; k * dimensions < points.length; k++) {
    let distance = 0;
    for (let i = 0; i < dimensions; i++) distance += (points[k * dimensions + i] - place[i]) ** 2;
    if (distance < least) [best, least] = [k, distance];
  }
  return best;
}
