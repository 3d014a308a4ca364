// A model in the browser: its codes, from an image to a code, and from a code to an image.
//
// A place in the space of codes is an array of coordinates: first the two of the plane (see space.py).

import { network, normalized, sigmoid, softmax, unpack } from "./network.js";

/** The bytes that Python compressed with gzip. */
export async function unzip(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

export class Latent {
  /**
   * @param description of the model, as description.py makes it
   * @param bytes its arrays
   * @param pictures the images behind its codes, and their labels
   * @param ask what runs the networks that only the kernel can run: (what, numbers, label) => promise
   */
  constructor(description, bytes, pictures, ask) {
    Object.assign(this, description);
    this.ask = ask;
    const array = (place) => unpack(bytes, place);
    this.pixels = this.shape[0] * this.shape[1] * this.shape[2];
    this.directions = array(this.directions);
    this.codes = array(this.codes);
    this.count = this.codes.length / this.dimensions;
    this.labels = array(this.labels);
    this.digits = unpack(pictures, this.digits);
    this.images = unpack(pictures, this.images);
    this.samples = array(this.samples);
    this.walkPoints = array(this.walk);
    this.heads = array(this.heads);
    this.contours = this.contours.map(array);
    this.reach = this.#reach();
    if (this.judge) this.judge.values = array(this.judge.values);
    this.decoderNetwork = this.decoder === "kernel" ? null : network(this.decoder, bytes);
    if (!this.encoder || this.encoder === "kernel") return;
    this.encoderNetwork = later(() => network(this.encoder.network, bytes)); // the first picture does not wait for it
    this.classifierNetwork = later(() => network(this.encoder.classifier, bytes));
    this.encoderHeads = array(this.encoder.heads);
  }

  /** The image at a place, with a label where the decoder takes one: Float32Array in [0, 1], or a promise of it. */
  decode(place, label = 0) {
    if (!this.decoderNetwork) return this.ask("decode", place, label);
    const input = new Float32Array(this.classes + this.dimensions);
    if (this.classes) input[label] = 1;
    input.set(this.codeAt(place), this.classes);
    return this.decoderNetwork(input).map(sigmoid);
  }

  /** What the encoder makes of an image: {place, label, probabilities}, or a promise of it; label null: unknown. */
  encode(image) {
    if (!this.encoderNetwork) return this.ask("encode", image);
    const { form, labels = 0 } = this.encoder;
    let output, probabilities = null;
    if (form === "label, then style") {
      probabilities = softmax(this.classifierNetwork(image));
      const input = new Float32Array(image.length + labels);
      input.set(image);
      input[image.length + largest(probabilities)] = 1;
      output = this.encoderNetwork(input).subarray(0, this.dimensions);
    } else {
      output = this.encoderNetwork(image);
      if (labels) probabilities = softmax(output.subarray(0, labels));
      output = output.subarray(labels, labels + this.dimensions);
    }
    if (form === "label and offset") output = output.map((value, axis) => value + this.#headAt(probabilities, axis));
    return { place: this.placeOf(output), label: probabilities && largest(probabilities), probabilities };
  }

  /** Limit and step of each coordinate's slider, which reaches all codes, samples and the walk. */
  #reach() {
    const far = [0, 0], d = this.dimensions;
    for (const points of [this.codes, this.samples, this.walkPoints ?? []]) {
      points.forEach((value, n) => { far[Number(n % d > 1)] = Math.max(far[Number(n % d > 1)], Math.abs(value)); });
    }
    const ranges = far.map((value) => {
      const step = 10 ** Math.floor(Math.log10(Math.max(value, 1e-3))) / 20; // 0.05 for codes of the order of 1
      return this.sphere ? [1, 0.01] : [10 * step * Math.ceil((1.02 * value) / (10 * step)), step];
    });
    return Array.from({ length: d }, (_, i) => ranges[Number(i > 1)]);
  }

  #headAt(probabilities, axis) {
    return probabilities.reduce((sum, share, k) => sum + share * this.encoderHeads[k * this.dimensions + axis], 0);
  }

  get canEncode() {
    return this.encoder !== null;
  }

  /** Where one begins: in the middle of a plane. Of longer codes the middle is nothing usual; so at a first sample. */
  get start() {
    const points = this.samples.length ? this.samples : this.codes;
    return this.dimensions === 2 ? [0, 0] : Array.from(points.subarray(0, this.dimensions));
  }

  codeAt(place) {
    const d = this.dimensions, code = new Float32Array(d);
    for (let axis = 0; axis < d; axis++) {
      let value = 0;
      for (let i = 0; i < d; i++) value += place[i] * this.directions[i * d + axis];
      code[axis] = value;
    }
    return code;
  }

  placeOf(code) {
    const d = this.dimensions;
    const place = Array.from({ length: d }, (_, i) => {
      let value = 0;
      for (let axis = 0; axis < d; axis++) value += code[axis] * this.directions[i * d + axis];
      return value;
    });
    return this.sphere ? normalized(place) : place;
  }

  /** The place of the code of an image, by its number. */
  code(index) {
    return Array.from(this.codes.subarray(index * this.dimensions, (index + 1) * this.dimensions));
  }

  image(index) {
    const bytes = this.images.subarray(index * this.pixels, (index + 1) * this.pixels);
    return Float32Array.from(bytes, (value) => value / 255);
  }

  /** The class that a label stands for: itself, or that of most images in the cluster. */
  classOf(label) {
    if (!this.clusters) return label;
    const counts = new Map();
    for (let n = 0; n < this.count; n++) {
      if (this.labels[n] === label) counts.set(this.digits[n], (counts.get(this.digits[n]) ?? 0) + 1);
    }
    return [...counts].reduce((best, each) => (each[1] > best[1] ? each : best), [-1, 0])[0];
  }

  /** The name of a class, by default its number. */
  className(label) {
    return this.names[label] ?? String(label);
  }

  /** What an image of a class is. */
  oneOf(label) {
    return this.names.length ? this.className(label) : `a ${label}`;
  }

  /** The name of a label, which stands for a class or a cluster. */
  nameOf(label) {
    if (!this.clusters) return this.className(label);
    const digit = this.classOf(label), most = this.names.length ? this.className(digit) : `${digit}s`;
    return `${label}: ${digit < 0 ? "empty" : most}`;
  }

  /** A sample of the prior. */
  sample() {
    const index = Math.floor((Math.random() * this.samples.length) / this.dimensions);
    return Array.from(this.samples.subarray(index * this.dimensions, (index + 1) * this.dimensions));
  }

  /** The place with some coordinates changed, {index: value}; on the sphere the others grow or shrink together. */
  changed(place, values) {
    const result = place.slice(), given = Object.keys(values).map(Number);
    for (const i of given) result[i] = values[i];
    if (!this.sphere) return result;
    const length = Math.hypot(...given.map((i) => result[i]));
    if (length > 1) for (const i of given) result[i] /= length * (1 + 1e-9);
    const rest = result.map((_, i) => i).filter((i) => !given.includes(i));
    if (rest.every((i) => result[i] === 0)) result[rest[0]] = 1;
    // Not quite 0 where it should be: the rest must not forget where it came from, for the way back.
    const factor = Math.sqrt(Math.max(1 - length ** 2, 1e-12)) / Math.hypot(...rest.map((i) => result[i]));
    for (const i of rest) result[i] *= factor;
    return result;
  }

  /** For each code, how far it is off the plane through `place`, squared. */
  offPlane(place) {
    const d = this.dimensions, off = new Float32Array(this.count);
    for (let n = 0; n < this.count; n++) {
      for (let i = 2; i < d; i++) off[n] += (this.codes[n * d + i] - place[i]) ** 2;
    }
    return off;
  }

  /** The code nearest to the point (u, v) of a plane: {index, distance}; null if there are no codes. */
  nearest(u, v, off) {
    const d = this.dimensions;
    let index = -1, least = Infinity;
    for (let n = 0; n < this.count; n++) {
      const distance = (this.codes[n * d] - u) ** 2 + (this.codes[n * d + 1] - v) ** 2 + off[n];
      if (distance < least) [index, least] = [n, distance];
    }
    return index < 0 ? null : { index, distance: Math.sqrt(least) };
  }

  /** D(z), from 0 to 1, at a point of the plane; null where it is not known. */
  judged(u, v) {
    if (!this.judge) return null;
    const { half, values } = this.judge, side = Math.sqrt(values.length);
    const [x, y] = [u, v].map((value) => ((value + half) / (2 * half)) * (side - 1));
    if (!(x >= 0 && y >= 0 && x < side - 1 && y < side - 1)) return null;
    const left = Math.floor(x), low = Math.floor(y), a = x - left, b = y - low;
    const at = (dx, dy) => values[(low + dy) * side + left + dx];
    return ((1 - b) * ((1 - a) * at(0, 0) + a * at(1, 0)) + b * ((1 - a) * at(0, 1) + a * at(1, 1))) / 255;
  }
}

/** A function that is made when it is first called. */
function later(make) {
  let made = null;
  return (input) => (made ??= make())(input);
}

export function largest(values) {
  return values.reduce((best, value, i) => (value > values[best] ? i : best), 0);
}
