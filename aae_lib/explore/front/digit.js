// Drawings and pictures as MNIST's digits are: the ink scaled into a box of 20 x 20 pixels, its aspect kept, and placed
// in 28 x 28 with its center of mass in the middle.

const BOX = 20 / 28; // of the image's side
const PEN = 0.115; // width of a stroke, of the box: MNIST's are two to three pixels wide
const MOST = 400; // pixels along a side of a picture that is read
const FINE = 200; // pixels along the box on which strokes are drawn

/**
 * Center ink in a square image.
 * @param ink {values, width, height}: 0 is paper, 1 is full
 * @param side of the image, in pixels
 * @returns Float32Array of side * side; null if there is no ink
 */
export function centered({ values, width, height }, side) {
  const [left, top, right, bottom] = bounds(values, width, height);
  if (right < left) return null;
  const across = right - left + 1, down = bottom - top + 1, scale = (BOX * side) / Math.max(across, down);
  const columns = Math.max(1, Math.round(across * scale)), rows = Math.max(1, Math.round(down * scale));
  const small = averaged(values, width, [left, top, across, down], columns, rows);
  let mass = 0, x = 0, y = 0;
  small.forEach((value, i) => {
    mass += value;
    x += value * (i % columns);
    y += value * Math.floor(i / columns);
  });
  // MNIST's centers of mass lie in pixel 14 of 0 to 27. Whole pixels, so that nothing blurs.
  const dx = Math.round(side / 2 - x / mass), dy = Math.round(side / 2 - y / mass);
  const image = new Float32Array(side * side);
  small.forEach((value, i) => {
    const column = (i % columns) + dx, row = Math.floor(i / columns) + dy;
    if (column >= 0 && column < side && row >= 0 && row < side) image[row * side + column] = value;
  });
  return image;
}

function bounds(values, width, height) {
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let i = 0; i < width * height; i++) {
    if (values[i] < 0.02) continue;
    const x = i % width, y = Math.floor(i / width);
    [left, right] = [Math.min(left, x), Math.max(right, x)];
    [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
  }
  return [left, top, right, bottom];
}

/** A part of a picture, [left, top, width, height], as `columns` x `rows` averages of what each pixel covers. */
export function averaged(values, rowLength, [left, top, width, height], columns, rows) {
  const shares = (length, parts) => Array.from({ length: parts }, (_, part) => {
    const [from, to] = [(part * length) / parts, ((part + 1) * length) / parts], list = [];
    for (let i = Math.floor(from); i < to; i++) list.push([i, (Math.min(i + 1, to) - Math.max(i, from)) / (to - from)]);
    return list;
  });
  const across = shares(width, columns), down = shares(height, rows), result = new Float32Array(columns * rows);
  down.forEach((lines, row) => across.forEach((pixels, column) => {
    let sum = 0;
    for (const [y, a] of lines) for (const [x, b] of pixels) sum += a * b * values[(top + y) * rowLength + left + x];
    result[row * columns + column] = sum;
  }));
  return result;
}

/** Strokes, lists of points [x, y], as ink: scaled to one size first, so that the pen has MNIST's width. */
export function inkOf(strokes) {
  const points = strokes.flat(), canvas = new OffscreenCanvas(FINE * 1.5, FINE * 1.5);
  const [xs, ys] = [0, 1].map((axis) => points.map((point) => point[axis]));
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  const extent = Math.max(Math.max(...xs) - left, Math.max(...ys) - top), pen = PEN * FINE;
  const scale = Math.min((FINE - pen) / (extent || 1), 4 * FINE); // a dot stays a dot
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.lineWidth = pen;
  context.lineCap = context.lineJoin = "round";
  for (const stroke of strokes) {
    context.beginPath();
    const place = ([x, y]) => [pen + (x - left) * scale, pen + (y - top) * scale];
    for (const point of stroke) context.lineTo(...place(point));
    if (stroke.length === 1) context.lineTo(place(stroke[0])[0] + 0.1, place(stroke[0])[1]);
    context.stroke();
  }
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
  const values = Float32Array.from({ length: canvas.width * canvas.height }, (_, i) => pixels[4 * i + 3] / 255);
  return { values, width: canvas.width, height: canvas.height };
}

/** The numbers of a picture file for a model of images of this shape. Dark ink on light paper is turned round. */
export async function imageOf(file, [channels, height, width]) {
  const picture = await createImageBitmap(file), shrink = Math.min(1, MOST / Math.max(picture.width, picture.height));
  const [across, down] = [picture.width, picture.height].map((length) => Math.max(1, Math.round(length * shrink)));
  const context = new OffscreenCanvas(across, down).getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, across, down);
  context.drawImage(picture, 0, 0, across, down);
  const pixels = context.getImageData(0, 0, across, down).data, all = [0, 0, across, down];
  const numbers = (change) => Float32Array.from({ length: across * down }, (_, i) => change(4 * i) / 255);
  if (channels > 1) {
    const parts = [0, 1, 2].map((c) => averaged(numbers((at) => pixels[at + c]), across, all, width, height));
    return Float32Array.from(parts.flatMap((part) => Array.from(part)));
  }
  let values = numbers((at) => 0.299 * pixels[at] + 0.587 * pixels[at + 1] + 0.114 * pixels[at + 2]);
  const border = () => values.filter((_, i) => i % across === 0 || i < across);
  if (mean(border()) > 0.5) values = values.map((value) => 1 - value);
  const paper = Math.min(0.5, Math.max(...border())), most = values.reduce((a, b) => Math.max(a, b), paper + 0.1);
  values = values.map((value) => Math.max(0, (value - paper) / (most - paper)));
  if (height !== width) return averaged(values, across, all, width, height);
  return centered({ values, width: across, height: down }, height);
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
