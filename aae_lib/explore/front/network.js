// Networks on plain arrays. A network is a list of layers, as networks.py describes them.
//
// Between layers a picture lies in memory pixel by pixel, with the channels of a pixel side by side. So all three
// kinds of products (linear, convolution, transposed convolution) are one inner loop over neighbors in memory. Inputs
// that are zero are skipped: that is most of a digit, and more than half of what a ReLU lets through.

const KINDS = { f4: Float32Array, i1: Int8Array, i2: Int16Array, u1: Uint8Array };

/** What lies at a place [kind, offset, ...shape] of a block of bytes, as a typed array; null for no place. */
export function unpack(bytes, place) {
  if (!place) return null;
  const [kind, offset, ...shape] = place;
  const length = shape.reduce((product, size) => product * size, 1);
  return new KINDS[kind](bytes.buffer, bytes.byteOffset + offset, length);
}

let active = new Int32Array(4096); // the inputs that are not zero

/**
 * Add to output[at ...] the rows of `weights` from `row` on, each times one of the `count` inputs from `from` on.
 * A row has `size` numbers, one for each output.
 */
function accumulate(output, at, size, weights, row, input, from, count) {
  if (active.length < count) active = new Int32Array(count);
  let kept = 0;
  for (let i = 0; i < count; i++) if (input[from + i] !== 0) active[kept++] = i;
  let k = 0;
  for (; k + 4 <= kept; k += 4) {
    const a = active[k], b = active[k + 1], c = active[k + 2], d = active[k + 3];
    const va = input[from + a], vb = input[from + b], vc = input[from + c], vd = input[from + d];
    const wa = (row + a) * size, wb = (row + b) * size, wc = (row + c) * size, wd = (row + d) * size;
    for (let o = 0; o < size; o++) {
      output[at + o] += weights[wa + o] * va + weights[wb + o] * vb + weights[wc + o] * vc + weights[wd + o] * vd;
    }
  }
  for (; k < kept; k++) {
    const value = input[from + active[k]], start = (row + active[k]) * size;
    for (let o = 0; o < size; o++) output[at + o] += weights[start + o] * value;
  }
}

/** 8-bit integers [...taps, inputs, outputs] times the scales of their rows, as float32; batch-norm is folded in. */
function weightsOf({ kind, weight, scale, bias, norm }, bytes) {
  const integers = unpack(bytes, weight), scales = unpack(bytes, scale), factors = unpack(bytes, norm?.factor);
  const [inputs, outputs] = weight.slice(-2), weights = new Float32Array(integers.length);
  for (let start = 0, input = 0; start < weights.length; start += outputs, input = (input + 1) % inputs) {
    for (let o = 0; o < outputs; o++) {
      const times = scales[kind === "transposed" ? input : o] * (factors ? factors[o] : 1);
      weights[start + o] = integers[start + o] * times;
    }
  }
  const plain = unpack(bytes, bias) ?? new Float32Array(outputs), shifts = unpack(bytes, norm?.bias);
  return { weights, outputs, inputs, bias: shifts ? shifts.map((shift, o) => shift + factors[o] * plain[o]) : plain };
}

/** Where, along one axis, the taps of a kernel find their inputs for each output: [output][...[tap, input]]. */
function reach(layer, inputs, kernel) {
  const { stride, padding } = layer, transposed = layer.kind === "transposed";
  const outputs = transposed ? (inputs - 1) * stride - 2 * padding + kernel
    : Math.floor((inputs + 2 * padding - kernel) / stride) + 1;
  return Array.from({ length: outputs }, (_, output) => {
    const pairs = [];
    for (let tap = 0; tap < kernel; tap++) {
      const input = transposed ? (output + padding - tap) / stride : output * stride + tap - padding;
      if (Number.isInteger(input) && input >= 0 && input < inputs) pairs.push([tap, input]);
    }
    return pairs;
  });
}

function convolution(layer, bytes, [height, width]) {
  const { weights, outputs, inputs, bias } = weightsOf(layer, bytes);
  const [kernelHeight, kernelWidth] = layer.weight.slice(2);
  const down = reach(layer, height, kernelHeight), across = reach(layer, width, kernelWidth);
  const run = (input) => {
    const output = new Float32Array(down.length * across.length * outputs);
    let at = 0;
    for (const rows of down) {
      for (const columns of across) {
        output.set(bias, at);
        for (const [tapDown, y] of rows) {
          for (const [tapAcross, x] of columns) {
            const row = (tapDown * kernelWidth + tapAcross) * inputs;
            accumulate(output, at, outputs, weights, row, input, (y * width + x) * inputs, inputs);
          }
        }
        at += outputs;
      }
    }
    return output;
  };
  return { run, shape: [down.length, across.length, outputs] };
}

function linear(layer, bytes) {
  const { weights, outputs, inputs, bias } = weightsOf(layer, bytes);
  const run = (input) => {
    const output = new Float32Array(bias);
    accumulate(output, 0, outputs, weights, 0, input, 0, Math.min(inputs, input.length)); // what is missing is noise
    return output;
  };
  return { run, shape: [1, 1, outputs] };
}

/** Averages of squares of size x size pixels. */
function pool({ size }, _, [height, width, channels]) {
  const shape = [Math.floor(height / size), Math.floor(width / size), channels];
  const run = (input) => {
    const output = new Float32Array(shape[0] * shape[1] * channels);
    for (let y = 0; y < shape[0] * size; y++) {
      for (let x = 0; x < shape[1] * size; x++) {
        const at = (Math.floor(y / size) * shape[1] + Math.floor(x / size)) * channels;
        for (let c = 0; c < channels; c++) output[at + c] += input[(y * width + x) * channels + c] / size ** 2;
      }
    }
    return output;
  };
  return { run, shape };
}

/** Where the numbers of a flat image, which lies channel by channel, are in a picture of `width` pixels a row. */
function places([channels, height, width], [top, left], rowLength) {
  return Int32Array.from({ length: channels * height * width }, (_, flat) => {
    const x = flat % width, y = Math.floor(flat / width) % height, channel = Math.floor(flat / (width * height));
    return ((y + top) * rowLength + x + left) * channels + channel;
  });
}

/** A flat image as a picture, in a frame of [left, right, top, bottom] pixels. */
function frame({ shape, frame: [left, right, top, bottom], change: [gain, offset] }) {
  const height = top + shape[1] + bottom, width = left + shape[2] + right;
  const pixels = places(shape, [top, left], width), length = height * width * shape[0];
  const run = (input) => {
    const output = new Float32Array(length).fill(offset);
    for (let i = 0; i < pixels.length; i++) output[pixels[i]] = gain * input[i] + offset;
    return output;
  };
  return { run, shape: [height, width, shape[0]] };
}

/** A picture as a flat image, without a frame of [left, right, top, bottom] pixels. */
function crop({ frame: [left, right, top, bottom] }, _, [height, width, channels]) {
  const pixels = places([channels, height - top - bottom, width - left - right], [top, left], width);
  const run = (input) => Float32Array.from(pixels, (pixel) => input[pixel]);
  return { run, shape: [1, 1, pixels.length] };
}

const each = (change) => (layer, bytes, shape) => ({ run: (input) => input.map(change(layer)), shape });

const LAYERS = {
  linear,
  convolution,
  transposed: convolution,
  pool,
  relu: each(({ slope }) => (value) => (value < 0 ? slope * value : value)),
  tanh: each(() => Math.tanh),
  sigmoid: each(() => sigmoid),
  affine(layer, bytes, shape) {
    const factor = unpack(bytes, layer.factor), bias = unpack(bytes, layer.bias), channels = factor.length;
    return { run: (input) => input.map((value, i) => value * factor[i % channels] + bias[i % channels]), shape };
  },
  frame,
  crop,
  normalize: (_, __, shape) => ({ run: normalized, shape }),
};

/** The layers, of which a product holds the batch-norm that follows it. */
function folded(layers) {
  const kept = [];
  for (const layer of layers) {
    const last = kept.at(-1);
    if (layer.kind === "affine" && last?.weight && !last.norm) kept.splice(-1, 1, { ...last, norm: layer });
    else kept.push(layer);
  }
  return kept;
}

/** The network as a function from Float32Array to Float32Array. */
export function network(layers, bytes) {
  let shape = [1, 1, 0];
  const steps = folded(layers).map((layer) => {
    const step = LAYERS[layer.kind](layer, bytes, shape);
    shape = step.shape;
    return step.run;
  });
  return (input) => steps.reduce((values, run) => run(values), input);
}

export function sigmoid(value) {
  return 1 / (1 + Math.exp(-value));
}

export function softmax(logits) {
  const largest = Math.max(...logits);
  const weights = Float32Array.from(logits, (value) => Math.exp(value - largest));
  const sum = weights.reduce((total, value) => total + value, 0);
  return weights.map((value) => value / sum);
}

/** The vector divided by its length. */
export function normalized(vector) {
  const length = Math.hypot(...vector) || 1;
  return vector.map((value) => value / length);
}
