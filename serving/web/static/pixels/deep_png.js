// Decodes a PNG of 16 bits a channel as atelier/decoding/sample_depth.py does. Browsers keep the high bytes, which leaves
// the images of scanners and microscopes, which use 10, 12 or 14 of the bits, nearly black.

import { listPngChunks } from "./metadata.js";

const CHANNELS = { 0: 1, 2: 3, 4: 2, 6: 4 }; // by color type
const DEPTHS = [8, 10, 12, 14, 16]; // bits that devices write
const [HIGH, DECLARED_ALPHA] = [16, [2, 4]];

/**
 * Returns {rgba, width, height}, over white; null if the image is interlaced.
 *
 * It throws where the file is damaged or not complete.
 */
export async function decodeDeepPng(view) {
  const [width, height] = [view.getUint32(16), view.getUint32(20)];
  if (view.getUint8(28) !== 0) return null;
  const channels = CHANNELS[view.getUint8(25)];
  const { pixels, key, declared } = readChunks(view);
  const bytes = new Uint8Array(await new Response(inflate(pixels)).arrayBuffer());
  const samples = readSamples(bytes, width, height, channels);
  return { rgba: toRgba(samples, channels, key, declared), width, height };
}

/** Returns the compressed parts, the samples of the color that is transparent, and how many bits the file declares. */
function readChunks(view) {
  const found = { pixels: [], key: null, declared: 0, isWhole: false };
  for (const [name, start, end] of listPngChunks(view)) {
    const content = () => new Uint8Array(view.buffer, start, end - start);
    if (name === "IDAT") found.pixels.push(content());
    if (name === "tRNS") found.key = Array.from({ length: (end - start) / 2 }, (_, at) => view.getUint16(start + 2 * at));
    if (name === "sBIT") {
      const bits = Array.from(content());
      found.declared = Math.max(...bits.slice(0, bits.length - DECLARED_ALPHA.includes(bits.length)));
    }
    if (name === "IEND") found.isWhole = true;
  }
  if (!found.isWhole) throw new RangeError("the end is missing");
  return found;
}

function inflate(parts) {
  return new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
}

/** Undoes the filters of the rows (section 9) and returns the samples as Uint16Array. */
function readSamples(bytes, width, height, channels) {
  const step = 2 * channels;
  const length = step * width;
  if (bytes.length < (length + 1) * height) throw new RangeError("rows are missing");
  const samples = new Uint16Array(width * height * channels);
  let above = new Uint8Array(length);
  for (let y = 0, to = 0; y < height; y++) {
    const start = y * (length + 1) + 1;
    const row = bytes.subarray(start, start + length);
    unfilter(bytes[start - 1], row, above, step);
    for (let at = 0; at < length; at += 2) samples[to++] = (row[at] << 8) | row[at + 1];
    above = row;
  }
  return samples;
}

function unfilter(filter, row, above, step) {
  for (let at = 0; at < row.length; at++) {
    const left = at < step ? 0 : row[at - step];
    if (filter === 1) row[at] += left;
    else if (filter === 2) row[at] += above[at];
    else if (filter === 3) row[at] += (left + above[at]) >> 1;
    else if (filter === 4) row[at] += predict(left, above[at], at < step ? 0 : above[at - step]);
    else if (filter !== 0) throw new RangeError("an unknown filter");
  }
}

/** Paeth's predictor. */
function predict(left, up, corner) {
  const [byLeft, byUp, byCorner] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
  if (byLeft <= byUp && byLeft <= byCorner) return left;
  return byUp <= byCorner ? up : corner;
}

function toRgba(samples, channels, key, declared) {
  const colors = channels < 3 ? 1 : 3;
  const hasAlpha = channels > colors;
  const count = samples.length / channels;
  const [largest, largestAlpha] = findLargest(samples, channels, colors);
  const used = Math.max(32 - Math.clz32(largest), Math.min(declared, HIGH));
  const bits = DEPTHS.find((depth) => depth >= used);
  const alphaBits = largestAlpha >> bits === 0 ? bits : HIGH;
  const rgba = new Uint8ClampedArray(4 * count);
  for (let pixel = 0; pixel < count; pixel++) {
    const from = pixel * channels;
    let alpha = hasAlpha ? samples[from + colors] >> (alphaBits - 8) : 255;
    if (key && key.every((value, channel) => samples[from + channel] === value)) alpha = 0;
    for (let channel = 0; channel < 3; channel++) {
      const color = samples[from + (colors === 1 ? 0 : channel)] >> (bits - 8);
      rgba[4 * pixel + channel] = layOverWhite(color, alpha);
    }
    rgba[4 * pixel + 3] = 255;
  }
  return rgba;
}

function findLargest(samples, channels, colors) {
  const largest = [0, 0];
  for (let at = 0; at < samples.length; at++) {
    const kind = at % channels < colors ? 0 : 1;
    if (samples[at] > largest[kind]) largest[kind] = samples[at];
  }
  return largest;
}

/** In the integers of Pillow's `alpha_composite`. */
function layOverWhite(color, alpha) {
  const sum = color * (alpha << 7) + 255 * ((255 - alpha) << 7) + (0x80 << 7);
  return ((sum >> 8) + sum) >> 8 >> 7;
}
