// Turns images upright by their EXIF orientation (CIPA DC-008, section 4.6.4, tag 274).

const TRANSPOSED = 5; // this orientation and those above swap rows and columns
const REVERSES_COLUMNS = [2, 3, 6, 7];
const REVERSES_ROWS = [3, 4, 7, 8];

/** Returns the image {data, width, height} upright: transposed first, then reversed. */
export function turn(image, orientation) {
  if (orientation === 1) return image;
  const isTransposed = orientation >= TRANSPOSED;
  const [width, height] = isTransposed ? [image.height, image.width] : [image.width, image.height];
  const data = new Uint8Array(image.data.length);
  for (let y = 0, to = 0; y < height; y++) {
    const row = REVERSES_ROWS.includes(orientation) ? height - 1 - y : y;
    for (let x = 0; x < width; x++, to += 3) {
      const column = REVERSES_COLUMNS.includes(orientation) ? width - 1 - x : x;
      const from = 3 * (isTransposed ? column * image.width + row : row * image.width + column);
      data[to] = image.data[from];
      data[to + 1] = image.data[from + 1];
      data[to + 2] = image.data[from + 2];
    }
  }
  return { data, width, height };
}

/** Returns the same for a canvas: the six numbers of `setTransform` by which a square of `side` is drawn upright. */
export function placeUpright(orientation, side) {
  const x = REVERSES_COLUMNS.includes(orientation) ? -1 : 1;
  const y = REVERSES_ROWS.includes(orientation) ? -1 : 1;
  const [left, top] = [x < 0 ? side : 0, y < 0 ? side : 0];
  return orientation >= TRANSPOSED ? [0, y, x, 0, left, top] : [x, 0, 0, y, left, top];
}
