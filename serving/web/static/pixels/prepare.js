// From a decoded image to what the classifier takes, step by step as serving/client/preparation.py and
// trainer/images/ops.py do it. `preprocessing` is the one that is pushed with the model.

import { passThroughJpeg } from "./jpeg.js";
import { thumbnail } from "./pillow_resize.js";
import { resizeToSquare } from "./tf_resize.js";

const REDUCING_GAP = 3;
const LOSSLESS = ["png", "bmp", "gif"];

/** Returns [size, size, 3] uint8 RGB as a Uint8Array. */
export function prepare(image, preprocessing) {
  return resizeToSquare(store(image, preprocessing), preprocessing.size, preprocessing.resize);
}

/** Returns the image as ingest would have stored it for the training. */
function store(image, { store_size: size, jpeg_quality: quality }) {
  const small = size === null ? image : thumbnail(image, size, REDUCING_GAP);
  const isStoredAsItIs = small === image && (image.isPlain || LOSSLESS.includes(image.format));
  return isStoredAsItIs ? small : passThroughJpeg(small, quality);
}
