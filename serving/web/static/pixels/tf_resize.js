// Makes an image square as the model's training did: `resize` of trainer/images/ops.py, which is
// `tf.image.resize(..., antialias=True)`. TensorFlow computes in 32-bit floats, in this order of rows and columns.

const float = Math.fround;

/** Returns [size, size, 3] as a Uint8Array. `mode` is crop, pad or stretch. */
export function resizeToSquare(image, size, mode) {
  if (mode === "crop") return resize(cropToSquare(image), size, size).data;
  if (mode === "stretch") return resize(image, size, size).data;
  if (mode !== "pad") throw new Error(`resize mode ${mode}: expected crop, pad or stretch`);
  const longer = Math.max(image.width, image.height);
  const scale = (side) => Math.max(1, Math.floor((2 * side * size + longer) / (2 * longer)));
  return padToSquare(resize(image, scale(image.width), scale(image.height)), size);
}

function cropToSquare({ data, width, height }) {
  const side = Math.min(width, height);
  const left = Math.floor((width - side) / 2);
  const top = Math.floor((height - side) / 2);
  const square = new Uint8Array(side * side * 3);
  for (let y = 0; y < side; y++) {
    const from = ((top + y) * width + left) * 3;
    square.set(data.subarray(from, from + side * 3), y * side * 3);
  }
  return { data: square, width: side, height: side };
}

function padToSquare({ data, width, height }, size) {
  const left = Math.floor((size - width) / 2);
  const top = Math.floor((size - height) / 2);
  const square = new Uint8Array(size * size * 3);
  for (let y = 0; y < height; y++) {
    square.set(data.subarray(y * width * 3, (y + 1) * width * 3), ((top + y) * size + left) * 3);
  }
  return square;
}

/** Resizes bilinearly, antialiased when shrinking, rounded half to even. */
function resize({ data, width, height }, toWidth, toHeight) {
  const rows = weigh(height, toHeight);
  const columns = weigh(width, toWidth);
  const step = width * 3;
  const tall = new Float32Array(toHeight * step);
  for (let y = 0; y < toHeight; y++) {
    const { start, weights } = rows[y];
    const into = tall.subarray(y * step, (y + 1) * step);
    weights.forEach((weight, row) => {
      const from = (start + row) * step;
      for (let at = 0; at < step; at++) into[at] = float(into[at] + float(weight * data[from + at]));
    });
  }
  const output = new Uint8Array(toWidth * toHeight * 3);
  for (let y = 0; y < toHeight; y++) {
    for (let x = 0; x < toWidth; x++) {
      const { start, weights } = columns[x];
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        let from = y * step + start * 3 + channel;
        for (let index = 0; index < weights.length; index++, from += 3) {
          sum = float(sum + float(weights[index] * tall[from]));
        }
        output[(y * toWidth + x) * 3 + channel] = roundHalfToEven(sum);
      }
    }
  }
  return { data: output, width: toWidth, height: toHeight };
}

function weigh(inputSize, outputSize) {
  const scale = float(outputSize / inputSize);
  const inverse = float(1 / scale);
  const stretch = Math.max(inverse, 1);
  const perStretch = float(1 / stretch);
  const clamp = (index) => Math.min(Math.max(index, 0), inputSize - 1);
  return Array.from({ length: outputSize }, (_, index) => {
    const sample = float((index + 0.5) * inverse);
    const start = clamp(Math.ceil(float(float(sample - stretch) - 0.5)));
    const end = clamp(Math.floor(float(float(sample + stretch) - 0.5))) + 1;
    const triangle = new Float32Array(end - start);
    let sum = 0;
    for (let at = start; at < end; at++) {
      const distance = Math.abs(float(float(float(at + 0.5) - sample) * perStretch));
      triangle[at - start] = distance < 1 ? float(1 - distance) : 0;
      sum = float(sum + triangle[at - start]);
    }
    const perSum = float(1 / sum);
    return { start, weights: triangle.map((weight) => float(weight * perSum)) };
  });
}

function roundHalfToEven(value) {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest === 0.5) return below + (below & 1);
  return rest > 0.5 ? below + 1 : below;
}
