// Decodes an image file to RGB with the browser's decoder: upright, in sRGB, transparent parts over white.

import { FORMATS, readHeader } from "./header.js";

const THUMBNAIL = 72; // pixels: sharp at 36 on a dense screen

/** An image that this page cannot use. The message tells why and is meant for the user. */
export class UnusableImageError extends Error {}

/**
 * Returns {data, width, height, format, isPlain, thumbnail}.
 *
 * Pixels of an opaque sRGB image equal those of Python's decoder. With transparency or a color profile they differ by
 * 2 levels of 255 at most, with 16 bits a channel by 1.
 */
export async function decode(blob, maxPixels) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  if (bytes.length === 0) throw new UnusableImageError("The file is empty.");
  const header = readHeader(bytes);
  if (!header) throw new UnusableImageError(`This is not an image that the page can read (${FORMATS}).`);
  if (header.width * header.height > maxPixels) {
    const size = `${header.width} × ${header.height}`;
    throw new UnusableImageError(`The image has ${size} pixels; the model takes at most ${maxPixels}.`);
  }
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, { imageOrientation: "from-image" });
  } catch {
    throw new UnusableImageError("The image is damaged or not complete.");
  }
  try {
    const thumbnail = makeThumbnail(bitmap);
    return { ...readPixels(bitmap), format: header.format, isPlain: header.isPlain, thumbnail };
  } finally {
    bitmap.close();
  }
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
function makeThumbnail(bitmap) {
  const side = Math.min(bitmap.width, bitmap.height);
  const canvas = new OffscreenCanvas(THUMBNAIL, THUMBNAIL);
  const context = canvas.getContext("2d", { alpha: false });
  context.fillStyle = "white";
  context.fillRect(0, 0, THUMBNAIL, THUMBNAIL);
  context.imageSmoothingQuality = "medium";
  const [left, top] = [(bitmap.width - side) / 2, (bitmap.height - side) / 2];
  context.drawImage(bitmap, left, top, side, side, 0, 0, THUMBNAIL, THUMBNAIL);
  return canvas.transferToImageBitmap();
}
