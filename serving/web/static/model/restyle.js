// Restyles an image by the pushed stylizer: TFLite files of fixed sizes, squares with the image in a corner.

import { decode } from "../pixels/decode.js";
import { thumbnail } from "../pixels/pillow_resize.js";
import { keepColors, placeInCorner, takeCorner } from "../pixels/square.js";
import { download } from "./download.js";

const REDUCING_GAP = 2; // of Pillow's `thumbnail`, as `atelier stylize` calls it

/** The stylizer of a site, and the image that is restyled. */
export class Restyler {
  constructor(runtime, stylizer) {
    this.runtime = runtime;
    this.stylizer = stylizer;
    this.compiled = new Map();
    this.scaled = new Map();
  }

  /** Decodes the image that is restyled from now on. */
  async open(file) {
    this.image = await decode(file, this.stylizer.max_pixels);
    this.image.thumbnail.close();
    this.scaled.clear();
    return { width: this.image.width, height: this.image.height };
  }

  /**
   * Returns the stylized image and the original at the same size, as {before, after, usesGpu}, the first two ImageBitmap.
   *
   * size: the longer side, one of the stylizer's. weights: one for each style; their sum is 1. strength: 0 to 1.
   */
  async restyle({ size, weights, strength, keepsColors }, progress) {
    const compiled = await this.#compile(size, progress);
    const { small, square, sides } = this.#scale(size);
    const [stylized] = await this.runtime.run(compiled, {
      image: { data: square, shape: [1, size, size, 3] },
      sides: { data: Float32Array.from(sides), shape: [2] },
      style: { data: Float32Array.from(weights), shape: [1, weights.length] },
      strength: { data: Float32Array.of(strength), shape: [1] },
    });
    const after = takeCorner(stylized, size, small.width, small.height);
    if (keepsColors) keepColors(after, small.data);
    const [original, made] = [await toBitmap(small), await toBitmap({ ...small, data: after })];
    return { before: original, after: made, usesGpu: this.runtime.usesGpu };
  }

  async #compile(size, progress) {
    if (!this.compiled.has(size)) {
      const { file, bytes } = this.stylizer.files.find((each) => each.size === size);
      this.compiled.set(size, this.runtime.compile(await download(file, bytes, progress)));
    }
    return this.compiled.get(size);
  }

  #scale(size) {
    if (!this.scaled.has(size)) {
      const small = thumbnail(this.image, size, REDUCING_GAP);
      this.scaled.set(size, { small, ...placeInCorner(small, size) });
    }
    return this.scaled.get(size);
  }
}

function toBitmap({ data, width, height }) {
  const rgba = new ImageData(width, height);
  for (let from = 0, to = 0; from < data.length; from += 3, to += 4) {
    rgba.data[to] = data[from];
    rgba.data[to + 1] = data[from + 1];
    rgba.data[to + 2] = data[from + 2];
    rgba.data[to + 3] = 255;
  }
  return createImageBitmap(rgba);
}
