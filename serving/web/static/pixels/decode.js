// Decodes an image file to RGB with the browser's decoder: upright, in sRGB, transparent parts over white.

import { decodeDeepPng } from "./deep_png.js";
import { FORMATS, isIsoMedia, readHeader } from "./header.js";
import { dropExif, readMetadata } from "./metadata.js";
import { placeUpright, turn } from "./turn.js";

const THUMBNAIL = 72; // pixels: sharp at 36 on a dense screen

/** An image that this page cannot use. The message tells why and is meant for the user. */
export class UnusableImageError extends Error {}

/**
 * Returns {data, width, height, format, isPlain, thumbnail}.
 *
 * isPlain: an upright JPEG without a color profile but sRGB. Pixels of an opaque sRGB image equal those of
 * Python's decoder; with transparency or another profile they differ by a few levels.
 */
export async function decode(blob, maxPixels) {
  const view = new DataView(await blob.arrayBuffer());
  if (view.byteLength === 0) throw new UnusableImageError("The file is empty.");
  const header = readHeader(view);
  if (!header && isIsoMedia(view)) {
    throw new UnusableImageError("This is HEIC, AVIF or a video. Save the image as JPEG, PNG or WebP.");
  }
  if (!header) throw new UnusableImageError(`This is not an image that the page can read (${FORMATS}).`);
  const metadata = readMetadata(view, header.format);
  check(header, metadata, maxPixels);
  const { orientation, profile, exif } = metadata;
  if (header.depth > 8) blob = await flatten(view);
  else if (exif) blob = dropExif(view, header.format, exif);
  if (header.format === "bmp") blob = fillUnsetAlpha(view, header);
  const bitmap = await createImageBitmap(blob, {
    // Neither sRGB nor what a PNG says by gAMA and cHRM changes the numbers in Python.
    colorSpaceConversion: profile === "other" ? "default" : "none",
  }).catch(() => null);
  if (!bitmap) throw new UnusableImageError("The image is damaged or not complete.");
  try {
    const upright = turn(readPixels(bitmap), orientation);
    const isPlain = header.format === "jpeg" && !header.isCmyk && orientation === 1 && profile !== "other";
    return { ...upright, format: header.format, isPlain, thumbnail: makeThumbnail(bitmap, orientation) };
  } finally {
    bitmap.close();
  }
}

/** Rejects what the model's training rejects, and what browsers read otherwise than Python. */
function check({ width, height, depth, isCmyk }, { profile, isAdobe }, maxPixels) {
  if (width * height > maxPixels) {
    throw new UnusableImageError(`The image has ${width} × ${height} pixels; the model takes at most ${maxPixels}.`);
  }
  if (isCmyk && (profile !== "none" || !isAdobe)) {
    throw new UnusableImageError("The image is CMYK, for print. Save it in RGB.");
  }
  if (depth > 8 && profile === "other") {
    throw new UnusableImageError(`The image has ${depth} bits a channel and a color profile. Save it with 8 bits.`);
  }
}

/** Returns a PNG of 16 bits a channel as what `createImageBitmap` takes. */
async function flatten(view) {
  const decoded = await decodeDeepPng(view).catch(() => {
    throw new UnusableImageError("The image is damaged or not complete.");
  });
  if (!decoded) throw new UnusableImageError("The image has 16 bits a channel and is interlaced. Save it with 8 bits.");
  return new ImageData(decoded.rgba, decoded.width, decoded.height);
}

/** A BMP of 32 bits whose alpha is 0 everywhere means an opaque image; browsers show nothing of it. */
function fillUnsetAlpha(view, { width, height }) {
  const bytes = new Uint8Array(view.buffer.slice(0));
  const start = view.getUint32(10, true) + 3;
  const end = Math.min(start + 4 * width * height, bytes.length);
  const is32Bit = view.getUint32(14, true) >= 40 && view.getUint16(28, true) === 32;
  let isUnset = is32Bit;
  for (let at = start; isUnset && at < end; at += 4) isUnset = bytes[at] === 0;
  if (isUnset) for (let at = start; at < end; at += 4) bytes[at] = 255;
  return new Blob([bytes]);
}

/** Returns {data, width, height} of what can be drawn on a canvas, over white. */
export function readPixels(source) {
  const { width, height } = source;
  const canvas = new OffscreenCanvas(width, height);
  // Without alpha, and read often: the canvas then keeps exact pixels in main memory.
  const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(source, 0, 0);
  const rgba = context.getImageData(0, 0, width, height).data;
  canvas.width = canvas.height = 0; // frees the pixels at once
  const data = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    data[to] = rgba[from];
    data[to + 1] = rgba[from + 1];
    data[to + 2] = rgba[from + 2];
  }
  return { data, width, height };
}

/** Returns a small square ImageBitmap for lists: the image's middle. */
function makeThumbnail(bitmap, orientation) {
  const side = Math.min(bitmap.width, bitmap.height);
  const canvas = new OffscreenCanvas(THUMBNAIL, THUMBNAIL);
  const context = canvas.getContext("2d", { alpha: false });
  context.fillStyle = "white";
  context.fillRect(0, 0, THUMBNAIL, THUMBNAIL);
  context.imageSmoothingQuality = "medium";
  context.setTransform(...placeUpright(orientation, THUMBNAIL));
  const [left, top] = [(bitmap.width - side) / 2, (bitmap.height - side) / 2];
  context.drawImage(bitmap, left, top, side, side, 0, 0, THUMBNAIL, THUMBNAIL);
  return canvas.transferToImageBitmap();
}
