// What an image becomes when it is stored as a JPEG and read again, without writing one: ingest and the Python client
// store scaled images so, and the model has seen what that leaves.
//
// The integers are those of libjpeg's accurate transforms (Loeffler, Ligtenberg and Moschytz 1989; 13 bits behind the
// point) with its example quantization tables (ITU-T T.81, annex K) and without chroma subsampling.

const SIDE = 8;
const BITS = 13;
const PASS_BITS = 2; // more precision between the two passes
const LUMINANCE = [
  16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
  87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
  72, 92, 95, 98, 112, 100, 103, 99,
];
const CHROMINANCE = [
  17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99,
  99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
  99, 99, 99, 99, 99, 99,
];

/** Returns the image as a JPEG of this quality (1 to 100) shows it. */
export function passThroughJpeg(image, quality) {
  const planes = toLumaAndChroma(image);
  planes.forEach((plane, index) => passPlane(plane, scaleTable(index ? CHROMINANCE : LUMINANCE, quality)));
  return toRgb(planes, image.width, image.height);
}

function scaleTable(table, quality) {
  const percent = quality < 50 ? Math.floor(5000 / quality) : 200 - 2 * quality;
  return table.map((step) => Math.min(Math.max(Math.floor((step * percent + 50) / 100), 1), 255));
}

/** Returns Y, Cb and Cr, whose sides are filled up to whole blocks by repeating the last column and row. */
function toLumaAndChroma({ data, width, height }) {
  const across = Math.ceil(width / SIDE) * SIDE;
  const down = Math.ceil(height / SIDE) * SIDE;
  const planes = [0, 1, 2].map(() => ({ data: new Uint8Array(across * down), width: across, height: down }));
  for (let y = 0, at = 0; y < down; y++) {
    for (let x = 0; x < across; x++, at++) {
      const from = (Math.min(y, height - 1) * width + Math.min(x, width - 1)) * 3;
      const [red, green, blue] = [data[from], data[from + 1], data[from + 2]];
      planes[0].data[at] = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16;
      planes[1].data[at] = (-11059 * red - 21709 * green + 32768 * blue + 8421375) >> 16;
      planes[2].data[at] = (32768 * red - 27439 * green - 5329 * blue + 8421375) >> 16;
    }
  }
  return planes;
}

function toRgb(planes, width, height) {
  const data = new Uint8ClampedArray(width * height * 3);
  const across = planes[0].width;
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++, to += 3) {
      const at = y * across + x;
      const luma = planes[0].data[at];
      const blue = planes[1].data[at] - 128;
      const red = planes[2].data[at] - 128;
      data[to] = luma + ((91881 * red + 32768) >> 16);
      data[to + 1] = luma + ((-22554 * blue - 46802 * red + 32768) >> 16);
      data[to + 2] = luma + ((116130 * blue + 32768) >> 16);
    }
  }
  return { data: new Uint8Array(data.buffer), width, height };
}

function passPlane({ data, width, height }, table) {
  const block = new Int32Array(SIDE * SIDE);
  for (let top = 0; top < height; top += SIDE) {
    for (let left = 0; left < width; left += SIDE) {
      for (let at = 0; at < 64; at++) block[at] = data[(top + (at >> 3)) * width + left + (at & 7)] - 128;
      for (let row = 0; row < SIDE; row++) transform(block, row * SIDE, 1, BITS - PASS_BITS, 1 << PASS_BITS, 0);
      for (let column = 0; column < SIDE; column++) transform(block, column, SIDE, BITS + PASS_BITS, 1, PASS_BITS);
      for (let at = 0; at < 64; at++) block[at] = quantize(block[at], table[at]);
      for (let column = 0; column < SIDE; column++) transformBack(block, column, SIDE, BITS - PASS_BITS);
      for (let row = 0; row < SIDE; row++) transformBack(block, row * SIDE, 1, BITS + PASS_BITS + 3);
      for (let at = 0; at < 64; at++) {
        data[(top + (at >> 3)) * width + left + (at & 7)] = Math.min(Math.max(block[at] + 128, 0), 255);
      }
    }
  }
}

/** Rounds a coefficient, which the transform has multiplied by 8, to a multiple of `step`. */
function quantize(value, step) {
  const divisor = step * 8;
  const steps = Math.floor((Math.abs(value) + (divisor >> 1)) / divisor);
  return value < 0 ? -steps * step : steps * step;
}

function descale(value, bits) {
  return bits ? (value + (1 << (bits - 1))) >> bits : value;
}

/** Transforms 8 values in place. The two that need no multiplication are scaled by `factor` or 2^-evenBits. */
function transform(v, at, step, bits, factor, evenBits) {
  const read = (index) => v[at + index * step];
  const write = (index, value) => (v[at + index * step] = value);
  const [s0, s1, s2, s3] = [read(0) + read(7), read(1) + read(6), read(2) + read(5), read(3) + read(4)];
  let [d0, d1, d2, d3] = [read(3) - read(4), read(2) - read(5), read(1) - read(6), read(0) - read(7)];
  const [e0, e1, e2, e3] = [s0 + s3, s1 + s2, s1 - s2, s0 - s3];
  write(0, descale((e0 + e1) * factor, evenBits));
  write(4, descale((e0 - e1) * factor, evenBits));
  const even = (e2 + e3) * 4433;
  write(2, descale(even + e3 * 6270, bits));
  write(6, descale(even - e2 * 15137, bits));
  [d0, d1, d2, d3] = rotate(d0, d1, d2, d3);
  write(7, descale(d0, bits));
  write(5, descale(d1, bits));
  write(3, descale(d2, bits));
  write(1, descale(d3, bits));
}

/** Transforms 8 coefficients back in place. */
function transformBack(v, at, step, bits) {
  const read = (index) => v[at + index * step];
  const even = (read(2) + read(6)) * 4433;
  const [e2, e3] = [even - read(6) * 15137, even + read(2) * 6270];
  const [e0, e1] = [(read(0) + read(4)) * 2 ** BITS, (read(0) - read(4)) * 2 ** BITS];
  const sums = [e0 + e3, e1 + e2, e1 - e2, e0 - e3];
  const odd = rotate(read(7), read(5), read(3), read(1)).reverse();
  for (let index = 0; index < 4; index++) {
    v[at + index * step] = descale(sums[index] + odd[index], bits);
    v[at + (7 - index) * step] = descale(sums[index] - odd[index], bits);
  }
}

/** The rotations of the odd half, which both directions share. */
function rotate(a, b, c, d) {
  const both = (a + c + b + d) * 9633;
  const z1 = (a + d) * -7373;
  const z2 = (b + c) * -20995;
  const z3 = (a + c) * -16069 + both;
  const z4 = (b + d) * -3196 + both;
  return [a * 2446 + z1 + z3, b * 16819 + z2 + z4, c * 25172 + z2 + z3, d * 12299 + z1 + z4];
}
