// Reads what the first bytes of an image file say: its format and size, and in a JPEG what decides how Python's client
// stores it. Nothing is decoded.

export const FORMATS = "JPEG, PNG, WebP, GIF and BMP";

/**
 * Returns {format, width, height, isPlain}; null if it is none of FORMATS or is cut short in its header.
 *
 * isPlain: the file holds an upright, still RGB or gray image without a color profile of its own.
 */
export function readHeader(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const starts = (...values) => values.every((value, index) => bytes[index] === value);
  try {
    if (starts(0xff, 0xd8)) return readJpeg(view);
    if (starts(0x89, 0x50, 0x4e, 0x47)) return size("png", view.getUint32(16), view.getUint32(20), true);
    if (starts(0x47, 0x49, 0x46, 0x38)) return size("gif", view.getUint16(6, true), view.getUint16(8, true), true);
    if (starts(0x42, 0x4d)) return readBmp(view);
    if (starts(0x52, 0x49, 0x46, 0x46) && text(view, 8, 4) === "WEBP") return readWebp(view);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return null;
}

function size(format, width, height, isPlain) {
  return width > 0 && height > 0 ? { format, width, height, isPlain } : null;
}

function text(view, offset, length) {
  return Array.from({ length }, (_, index) => String.fromCharCode(view.getUint8(offset + index))).join("");
}

function readBmp(view) {
  if (view.getUint32(14, true) === 12) return size("bmp", view.getUint16(18, true), view.getUint16(20, true), true);
  return size("bmp", Math.abs(view.getInt32(18, true)), Math.abs(view.getInt32(22, true)), true);
}

function readWebp(view) {
  const kind = text(view, 12, 4);
  const uint24 = (offset) => view.getUint16(offset, true) + (view.getUint8(offset + 2) << 16);
  if (kind === "VP8X") return size("webp", uint24(24) + 1, uint24(27) + 1, false);
  if (kind === "VP8 ") return size("webp", view.getUint16(26, true) & 0x3fff, view.getUint16(28, true) & 0x3fff, false);
  if (kind !== "VP8L") return null;
  const bits = view.getUint32(21, true);
  return size("webp", (bits & 0x3fff) + 1, ((bits >>> 14) & 0x3fff) + 1, false);
}

/** Walks through the segments of a JPEG up to its frame header. */
function readJpeg(view) {
  let isPlain = true;
  for (let offset = 2; ; ) {
    if (view.getUint8(offset) !== 0xff) return null;
    const marker = view.getUint8(offset + 1);
    if (marker === 0xff) {
      offset += 1; // a fill byte
      continue;
    }
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) {
      const components = view.getUint8(offset + 9);
      return size("jpeg", view.getUint16(offset + 7), view.getUint16(offset + 5), isPlain && components < 4);
    }
    const length = view.getUint16(offset + 2);
    if (marker === 0xe1 && text(view, offset + 4, 4) === "Exif") isPlain &&= readOrientation(view, offset + 10) < 2;
    if (marker === 0xe2 && text(view, offset + 4, 11) === "ICC_PROFILE") isPlain &&= isSrgb(view, offset, length);
    offset += 2 + length;
  }
}

/** Returns the tag Orientation (274) of the first directory of an Exif block, which is a TIFF file; 1 without it. */
function readOrientation(view, start) {
  const little = view.getUint16(start) === 0x4949;
  const directory = start + view.getUint32(start + 4, little);
  const entries = view.getUint16(directory, little);
  for (let index = 0; index < entries; index++) {
    const entry = directory + 2 + 12 * index;
    if (view.getUint16(entry, little) === 274) return view.getUint16(entry + 8, little);
  }
  return 1;
}

/** Whether a color profile calls itself sRGB, in 8-bit or 16-bit text. */
function isSrgb(view, offset, length) {
  const content = text(view, offset + 4, length - 2).replaceAll("\0", "");
  return content.includes("sRGB");
}
