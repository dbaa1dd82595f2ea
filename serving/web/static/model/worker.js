// The worker in which images are decoded and models run, so that the page never freezes.
// It is a classic worker, not a module: LiteRT.js loads its WebAssembly by importScripts.

const engine = import("./engine.js");

self.onmessage = async ({ data: { id, call, argument } }) => {
  try {
    const { calls } = await engine;
    const progress = (loaded, total) => self.postMessage({ id, progress: { loaded, total } });
    const result = await calls[call](argument, progress);
    self.postMessage({ id, result }, Object.values(result).filter((value) => value instanceof ImageBitmap));
  } catch (error) {
    self.postMessage({ id, error: { name: error.name, message: error.message, kind: error.constructor.name } });
  }
};
