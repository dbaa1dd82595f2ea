// Reads what the first bytes of an image file say: its format and size. Nothing is decoded.

export const FORMATS = "JPEG, PNG, WebP, GIF and BMP";

/** Returns {format, width, height, depth, isCmyk}; null if it is none of FORMATS, or is cut short in its header. */
export function readHeader(view) {
  try {
    if (view.getUint16(0) === 0xffd8) return readJpeg(view);
    if (text(view, 1, 3) === "PNG") return size("png", view.getUint32(16), view.getUint32(20), view.getUint8(24));
    if (text(view, 0, 4) === "GIF8") return size("gif", view.getUint16(6, true), view.getUint16(8, true));
    if (text(view, 0, 2) === "BM") return readBmp(view);
    if (text(view, 0, 4) === "RIFF" && text(view, 8, 4) === "WEBP") return readWebp(view);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return null;
}

/** Whether the file is of the family of HEIC and AVIF: ISO base media (ISO/IEC 14496-12, section 4.3), as MP4 is. */
export function isIsoMedia(view) {
  return view.byteLength >= 8 && text(view, 4, 4) === "ftyp";
}

function size(format, width, height, depth = 8, isCmyk = false) {
  return width > 0 && height > 0 ? { format, width, height, depth, isCmyk } : null;
}

function text(view, offset, length) {
  return Array.from({ length }, (_, index) => String.fromCharCode(view.getUint8(offset + index))).join("");
}

function readBmp(view) {
  if (view.getUint32(14, true) === 12) return size("bmp", view.getUint16(18, true), view.getUint16(20, true));
  return size("bmp", Math.abs(view.getInt32(18, true)), Math.abs(view.getInt32(22, true)));
}

function readWebp(view) {
  const kind = text(view, 12, 4);
  const uint24 = (offset) => view.getUint16(offset, true) + (view.getUint8(offset + 2) << 16);
  if (kind === "VP8X") return size("webp", uint24(24) + 1, uint24(27) + 1);
  if (kind === "VP8 ") return size("webp", view.getUint16(26, true) & 0x3fff, view.getUint16(28, true) & 0x3fff);
  if (kind !== "VP8L") return null;
  const bits = view.getUint32(21, true);
  return size("webp", (bits & 0x3fff) + 1, ((bits >>> 14) & 0x3fff) + 1);
}

/** Walks through the segments of a JPEG up to its frame header. */
function readJpeg(view) {
  for (let offset = 2; view.getUint8(offset) === 0xff; ) {
    const marker = view.getUint8(offset + 1);
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) {
      const isCmyk = view.getUint8(offset + 9) === 4;
      return size("jpeg", view.getUint16(offset + 7), view.getUint16(offset + 5), 8, isCmyk);
    }
    offset += marker === 0xff ? 1 : 2 + view.getUint16(offset + 2); // the first is a fill byte
  }
  return null;
}
