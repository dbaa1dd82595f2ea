// What the worker can do. Each call takes one argument and a function that is told the progress in bytes.

import { decode, readPixels } from "../pixels/decode.js";
import { prepare } from "../pixels/prepare.js";
import { Restyler } from "./restyle.js";
import { loadRuntime } from "./runtime.js";
import { download } from "./download.js";

let runtime;
let classifier;
let restyler;

export const calls = {
  start,
  classify,
  openForRestyling: (file) => restyler.open(file),
  restyle: (settings, progress) => restyler.restyle(settings, progress),
};

/** Loads LiteRT and the classifier, which is null where none was pushed; returns how the models run. */
async function start(site, progress) {
  const parts = new Map();
  const report = (part) => (loaded, total) => {
    parts.set(part, [loaded, total]);
    const sum = (index) => [...parts.values()].reduce((before, each) => before + each[index], 0);
    progress(sum(0), sum(1));
  };
  const model = site.classifier;
  [runtime, classifier] = await Promise.all([
    loadRuntime(site.runtime, site.wantsGpu, report("runtime")),
    model && download(model.file, model.bytes, report("classifier")),
  ]);
  if (model) classifier = { ...model, compiled: await runtime.compile(classifier) };
  if (site.stylizer) restyler = new Restyler(runtime, site.stylizer);
  if (model && site.wantsGpu) await tryGpu(model.preprocessing.size);
  const { threads, usesGpu, whyNoGpu } = runtime;
  return { threads, usesGpu, whyNoGpu };
}

/** Runs the classifier once, so that it is known whether WebGPU works. */
async function tryGpu(size) {
  const pixels = Uint8Array.from({ length: size * size * 3 }, (_, at) => (at * 37) % 256);
  await runtime.run(classifier.compiled, { data: pixels, shape: [1, size, size, 3] });
}

/** Returns the probability of each class. The image is a file, or a frame of the camera. */
async function classify(image) {
  const started = performance.now();
  const { preprocessing, output, compiled } = classifier;
  const decoded =
    image instanceof ImageBitmap
      ? { ...readFrame(image), isPlain: true }
      : await decode(image, preprocessing.max_pixels);
  const pixels = prepare(decoded, preprocessing);
  const shape = [1, preprocessing.size, preprocessing.size, 3];
  const [values] = await runtime.run(compiled, { data: pixels, shape });
  const probabilities = Array.from(values, (value) => dequantize(value, output));
  if (!probabilities.every(Number.isFinite)) throw new Error("The model gives NaN or infinity for this image.");
  return { probabilities, milliseconds: performance.now() - started, thumbnail: decoded.thumbnail };
}

function readFrame(bitmap) {
  try {
    return readPixels(bitmap);
  } finally {
    bitmap.close();
  }
}

function dequantize(value, { scale, zero_point: zeroPoint }) {
  return scale ? Math.fround(Math.fround(value - zeroPoint) * Math.fround(scale)) : value;
}
