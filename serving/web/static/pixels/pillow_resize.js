// Scales an image down as `Image.thumbnail(..., LANCZOS, reducing_gap=...)` of Pillow does it: the same integers.
//
// An image is {data, width, height}; data holds RGB as a Uint8Array, row by row.

const PRECISION = 22; // bits of a weight behind the point
const SUPPORT = 3; // of the Lanczos window, in pixels of the result

/** Returns the image with a longer side of at most `size` pixels; the image itself if it is small enough. */
export function thumbnail(image, size, reducingGap) {
  const { width, height } = image;
  if (width <= size && height <= size) return image;
  const [toWidth, toHeight] = thumbnailSize(width, height, size);
  const byX = Math.trunc(width / toWidth / reducingGap) || 1;
  const byY = Math.trunc(height / toHeight / reducingGap) || 1;
  const reduced = byX > 1 || byY > 1 ? reduce(image, byX, byY) : image;
  return lanczos(reduced, width / byX, height / byY, toWidth, toHeight);
}

/** Returns the width and height that keep the aspect best within a square of `size`. */
export function thumbnailSize(width, height, size) {
  const aspect = width / height;
  const nearest = (number, error) => {
    const [below, above] = [Math.floor(number), Math.ceil(number)];
    return Math.max(error(above) < error(below) ? above : below, 1);
  };
  if (aspect <= 1) return [nearest(size * aspect, (n) => Math.abs(aspect - n / size)), size];
  return [size, nearest(size / aspect, (n) => (n === 0 ? 0 : Math.abs(aspect - size / n)))];
}

/** Averages blocks of byX x byY pixels; those at the right and lower border may be smaller. */
export function reduce(image, byX, byY) {
  const width = Math.ceil(image.width / byX);
  const height = Math.ceil(image.height / byY);
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    const rows = Math.min(byY, image.height - y * byY);
    for (let x = 0; x < width; x++) {
      const columns = Math.min(byX, image.width - x * byX);
      averageBlock(image, x * byX, y * byY, columns, rows, data, (y * width + x) * 3);
    }
  }
  return { data, width, height };
}

function averageBlock({ data, width }, left, top, columns, rows, target, to) {
  const count = columns * rows;
  const factor = Math.floor(2 ** 24 / count);
  let [red, green, blue] = [count >> 1, count >> 1, count >> 1];
  for (let row = 0; row < rows; row++) {
    let from = ((top + row) * width + left) * 3;
    for (let column = 0; column < columns; column++, from += 3) {
      red += data[from];
      green += data[from + 1];
      blue += data[from + 2];
    }
  }
  target[to] = (red * factor) / 2 ** 24;
  target[to + 1] = (green * factor) / 2 ** 24;
  target[to + 2] = (blue * factor) / 2 ** 24;
}

/** Resizes the upper left boxWidth x boxHeight pixels, which may be fractions; first along rows, then along columns. */
function lanczos(image, boxWidth, boxHeight, width, height) {
  const across = weigh(image.width, boxWidth, width);
  const down = weigh(image.height, boxHeight, height);
  return resizeColumns(resizeRows(image, across, width), down, height);
}

/** Returns for each pixel of the result the first pixel that counts, and the weights from there on. */
function weigh(inputSize, box, outputSize) {
  const scale = box / outputSize;
  const stretch = Math.max(scale, 1);
  const support = SUPPORT * stretch;
  return Array.from({ length: outputSize }, (_, index) => {
    const center = (index + 0.5) * scale;
    const start = Math.max(Math.trunc(center - support + 0.5), 0);
    const end = Math.min(Math.trunc(center + support + 0.5), inputSize);
    const weights = [];
    for (let at = start; at < end; at++) weights.push(lanczosWindow((at - center + 0.5) * (1 / stretch)));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return { start, weights: Int32Array.from(weights, (weight) => toFixed(weight / sum)) };
  });
}

function toFixed(weight) {
  return Math.trunc(weight * 2 ** PRECISION + (weight < 0 ? -0.5 : 0.5));
}

function lanczosWindow(x) {
  return x >= -SUPPORT && x < SUPPORT ? sinc(x) * sinc(x / SUPPORT) : 0;
}

function sinc(x) {
  if (x === 0) return 1;
  return Math.sin(x * Math.PI) / (x * Math.PI);
}

function resizeRows({ data, width, height }, spans, outputWidth) {
  const output = new Uint8ClampedArray(outputWidth * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < outputWidth; x++) {
      sumWeighted(data, (y * width + spans[x].start) * 3, 3, spans[x].weights, output, (y * outputWidth + x) * 3);
    }
  }
  return { data: output, width: outputWidth, height };
}

function resizeColumns({ data, width }, spans, outputHeight) {
  const output = new Uint8ClampedArray(width * outputHeight * 3);
  const step = width * 3;
  for (let y = 0; y < outputHeight; y++) {
    for (let x = 0; x < width; x++) {
      sumWeighted(data, spans[y].start * step + x * 3, step, spans[y].weights, output, y * step + x * 3);
    }
  }
  return { data: new Uint8Array(output.buffer), width, height: outputHeight };
}

function sumWeighted(data, from, step, weights, output, to) {
  let [red, green, blue] = [2 ** (PRECISION - 1), 2 ** (PRECISION - 1), 2 ** (PRECISION - 1)];
  for (let index = 0; index < weights.length; index++, from += step) {
    const weight = weights[index];
    red += data[from] * weight;
    green += data[from + 1] * weight;
    blue += data[from + 2] * weight;
  }
  output[to] = red >> PRECISION;
  output[to + 1] = green >> PRECISION;
  output[to + 2] = blue >> PRECISION;
}
