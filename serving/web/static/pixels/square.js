// An image in the upper left corner of a square, and what the stylizer made of it.

const STRIDE = 4; // sides of the image that the network takes are multiples of it

/**
 * Returns {square, sides}: [size, size, 3] with the image in the corner, and its height and width there.
 *
 * Sides that are no multiples of STRIDE grow by the image's mirror image, as `stylizer.pad` has it.
 */
export function placeInCorner({ data, width, height }, size) {
  const [high, wide] = [height, width].map((side) => STRIDE * Math.ceil(side / STRIDE));
  const square = new Uint8Array(size * size * 3);
  for (let y = 0; y < high; y++) {
    const row = mirror(y, height) * width;
    for (let x = 0, to = y * size * 3; x < wide; x++, to += 3) {
      const from = (row + mirror(x, width)) * 3;
      square[to] = data[from];
      square[to + 1] = data[from + 1];
      square[to + 2] = data[from + 2];
    }
  }
  return { square, sides: [high, wide] };
}

/** The index that stands at `index` where 0 .. length - 1 goes to and fro, its ends repeated. */
function mirror(index, length) {
  const place = index % (2 * length);
  return place < length ? place : 2 * length - 1 - place;
}

/** Returns the corner of a square of floats as Uint8ClampedArray, rounded half to even. */
export function takeCorner(square, size, width, height) {
  const corner = new Uint8ClampedArray(width * height * 3);
  for (let y = 0; y < height; y++) {
    corner.set(square.subarray(y * size * 3, (y * size + width) * 3), y * width * 3);
  }
  return corner;
}

/** Gives the stylized image the colors of the original: only its luma (BT.601) stays. Changes `stylized`. */
export function keepColors(stylized, original) {
  for (let at = 0; at < stylized.length; at += 3) {
    const change = luma(stylized, at) - luma(original, at);
    for (let channel = 0; channel < 3; channel++) stylized[at + channel] = original[at + channel] + change;
  }
}

function luma(data, at) {
  return 0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2];
}
