// LiteRT.js: loads the variant of its WebAssembly that this browser runs best, and frees what it allocates.

import { download, ROOT } from "./download.js";

/**
 * Loads the runtime from a folder of this site.
 *
 * Threads need a page that is cross-origin isolated, and relaxed SIMD; without them the unthreaded variant is taken.
 */
export async function loadRuntime(folder, progress) {
  const base = new URL(folder.path, ROOT);
  const lite = await import(new URL("core.js", base));
  const relaxed = await lite.supportsFeature("relaxedSimd");
  const threaded = self.crossOriginIsolated && relaxed && (await lite.supportsFeature("threads"));
  const variant = threaded ? "litert_wasm_threaded_internal" : relaxed ? "litert_wasm_internal" : "litert_wasm_compat_internal";
  const script = new URL(`wasm/${variant}.js`, base).href;
  const wasmBinary = await download(`${folder.path}wasm/${variant}.wasm`, folder.bytes[`${variant}.wasm`], progress);
  // LiteRT.js passes this on to its WebAssembly module. In a worker the module does not know its own address, which its
  // threads load.
  self.Module = { wasmBinary: wasmBinary.buffer, mainScriptUrlOrBlob: script };
  await lite.loadLiteRt(script);
  return new Runtime(lite, threaded ? navigator.hardwareConcurrency : 1);
}

class Runtime {
  constructor(lite, threads) {
    this.lite = lite;
    this.threads = threads;
  }

  /** Compiles a TFLite file for WebAssembly. */
  compile(content) {
    return this.lite.loadAndCompile(content, { accelerator: "wasm" });
  }

  /**
   * Runs a model on {data, shape} by the names of its inputs, or on one of them; returns typed arrays.
   *
   * Tensors live in WebAssembly's memory, which no garbage collector frees: all are deleted.
   */
  async run(compiled, inputs) {
    const tensors = [];
    const make = ({ data, shape }) => {
      tensors.push(new this.lite.Tensor(data, shape));
      return tensors.at(-1);
    };
    try {
      const given = inputs.shape
        ? make(inputs)
        : Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, make(input)]));
      const outputs = Object.values(await compiled.run(given));
      tensors.push(...outputs);
      return outputs.map((tensor) => tensor.toTypedArray().slice());
    } finally {
      tensors.forEach((tensor) => tensor.delete());
    }
  }
}
