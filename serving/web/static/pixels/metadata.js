// What an image file says beside its pixels and decides how they are shown: orientation and color profile.
//
// Browsers read less of it than Python does, and not all the same, hence it is read here. A damaged block says nothing.

const UPRIGHT = 1;

/**
 * Returns {orientation, profile, exif, isAdobe}: 1 to 8 as in EXIF; "none", "sRGB" or "other"; the first and last offset
 * of an EXIF block that turns the image, or null; and whether a JPEG has Adobe's block. `format` is readHeader's.
 */
export function readMetadata(view, format) {
  const blocks = { jpeg: listJpegBlocks, png: listPngBlocks, webp: listWebpBlocks }[format];
  const found = { orientation: UPRIGHT, profile: "none", exif: null, isAdobe: false };
  let byXmp = UPRIGHT;
  for (const [kind, start, end] of blocks?.(view) ?? []) {
    if (kind === "exif" && !found.exif) {
      found.orientation = allow(ignoreDamage(() => readExif(view, start), UPRIGHT));
      if (found.orientation !== UPRIGHT) found.exif = [start, end];
    }
    if (kind === "xmp") byXmp = allow(readXmp(text(view, start, end)));
    if (kind === "adobe") found.isAdobe = true;
    if (kind === "profile") found.profile = text(view, start, end).includes("sRGB") ? "sRGB" : "other";
  }
  if (!found.exif) found.orientation = byXmp;
  return found;
}

/** Returns the file without the EXIF block that turns the image: not all browsers can be told to leave that alone. */
export function dropExif(view, format, [start, end]) {
  if (format === "png") return new Blob([view.buffer.slice(0, start - 8), view.buffer.slice(end + 4)]);
  const bytes = new Uint8Array(view.buffer.slice(0));
  bytes.fill(0, start, end);
  return new Blob([bytes]);
}

function allow(orientation) {
  return orientation >= 1 && orientation <= 8 ? orientation : UPRIGHT;
}

function ignoreDamage(read, otherwise) {
  try {
    return read();
  } catch (error) {
    if (error instanceof RangeError) return otherwise;
    throw error;
  }
}

function text(view, start, end) {
  const bytes = new Uint8Array(view.buffer, view.byteOffset + start, Math.max(0, Math.min(end, view.byteLength) - start));
  return new TextDecoder("latin1").decode(bytes).replaceAll("\0", "");
}

/** Returns the tag Orientation (274) of the first directory of an EXIF block, which is a TIFF file. */
function readExif(view, start) {
  const little = view.getUint16(start) === 0x4949;
  const directory = start + view.getUint32(start + 4, little);
  const entries = view.getUint16(directory, little);
  for (let index = 0; index < entries; index++) {
    const entry = directory + 2 + 12 * index;
    if (view.getUint16(entry, little) === 274) return view.getUint16(entry + 8, little);
  }
  return UPRIGHT;
}

function readXmp(packet) {
  return Number(/tiff:Orientation(?:="|>)([0-9])/.exec(packet)?.[1] ?? UPRIGHT);
}

/** The segments of a JPEG up to its pixels (ITU-T T.81, annex B). */
function* listJpegBlocks(view) {
  for (let offset = 2; offset + 4 <= view.byteLength; ) {
    const marker = view.getUint8(offset + 1);
    if (view.getUint8(offset) !== 0xff || marker === 0xda) return;
    if (marker === 0xff) {
      offset += 1; // a fill byte
      continue;
    }
    const [start, end] = [offset + 4, offset + 2 + view.getUint16(offset + 2)];
    const head = text(view, start, Math.min(end, start + 32));
    if (marker === 0xe1 && head.startsWith("Exif")) yield ["exif", start + 6, end];
    if (marker === 0xe1 && head.startsWith("http://ns.adobe.com/xap/1.0/")) yield ["xmp", start, end];
    if (marker === 0xee && head.startsWith("Adobe")) yield ["adobe", start, end];
    if (marker === 0xe2 && head.startsWith("ICC_PROFILE")) yield ["profile", start, end];
    offset = end;
  }
}

/** Yields the chunks of a PNG (third edition, section 5): name, first and last offset of the content. */
export function* listPngChunks(view) {
  for (let offset = 8; offset + 12 <= view.byteLength; ) {
    const [start, end] = [offset + 8, offset + 8 + view.getUint32(offset)];
    yield [text(view, offset + 4, offset + 8), start, end];
    offset = end + 4;
  }
}

function* listPngBlocks(view) {
  for (const [kind, start, end] of listPngChunks(view)) {
    if (kind === "eXIf") yield ["exif", start, end];
    if (kind === "iTXt" && text(view, start, start + 17) === "XML:com.adobe.xmp") yield ["xmp", start, end];
    if (kind === "iCCP" || kind === "cICP") yield ["profile", start, end];
  }
}

/** The chunks of a WebP, a RIFF file: their sizes are even. */
function* listWebpBlocks(view) {
  for (let offset = 12; offset + 8 <= view.byteLength; ) {
    const kind = text(view, offset, offset + 4);
    const [start, end] = [offset + 8, offset + 8 + view.getUint32(offset + 4, true)];
    const skipped = text(view, start, start + 4) === "Exif" ? 6 : 0; // some programs write JPEG's own prefix, too
    if (kind === "EXIF") yield ["exif", start + skipped, end];
    if (kind === "XMP ") yield ["xmp", start, end];
    if (kind === "ICCP") yield ["profile", start, end];
    offset = end + (end & 1);
  }
}
