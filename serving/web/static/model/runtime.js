// LiteRT.js: loads the variant of its WebAssembly that this browser runs best, and frees what it allocates.

import { download, ROOT } from "./download.js";

const TOLERANCE = 0.01; // mean difference of WebGPU from WebAssembly, as a share of the largest value

/**
 * Loads the runtime from a folder of this site.
 *
 * Threads need a page that is cross-origin isolated, and relaxed SIMD; without them the unthreaded variant is taken.
 * wantsGpu: models run by WebGPU where it works.
 */
export async function loadRuntime(folder, wantsGpu, progress) {
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
  const runtime = new Runtime(lite, threaded ? navigator.hardwareConcurrency : 1);
  if (wantsGpu && !(await navigator.gpu?.requestAdapter())) runtime.whyNoGpu = "this browser has no WebGPU";
  runtime.usesGpu = wantsGpu && !runtime.whyNoGpu;
  return runtime;
}

class Runtime {
  constructor(lite, threads) {
    this.lite = lite;
    this.threads = threads;
    this.whyNoGpu = null;
  }

  /** Compiles a TFLite file for WebAssembly, and for WebGPU if that is used. */
  async compile(content) {
    const model = { cpu: await this.lite.loadAndCompile(content, { accelerator: "wasm" }), gpu: null };
    if (!this.usesGpu) return model;
    try {
      const gpu = await this.lite.loadAndCompile(content, { accelerator: "webgpu", gpuOptions: { precision: "fp32" } });
      if (!gpu.isFullyAccelerated) throw new Error("it lacks operations of the model");
      return { ...model, gpu, isChecked: false };
    } catch (error) {
      this.#giveGpuUp(error.message);
      return model;
    }
  }

  /**
   * Runs a model on {data, shape} by the names of its inputs, or on one of them; returns typed arrays.
   *
   * WebGPU must give what WebAssembly gives: its first results are compared. If they differ, or it fails, it is given up.
   */
  async run(model, inputs) {
    if (!model.gpu || !this.usesGpu) return this.#run(model.cpu, inputs);
    try {
      const found = await this.#run(model.gpu, inputs);
      if (!model.isChecked) {
        const expected = await this.#run(model.cpu, inputs);
        if (!found.every((values, index) => isNear(values, expected[index]))) throw new Error("it gives other values");
        model.isChecked = true;
      }
      return found;
    } catch (error) {
      this.#giveGpuUp(error.message);
      return this.#run(model.cpu, inputs);
    }
  }

  #giveGpuUp(reason) {
    this.usesGpu = false;
    this.whyNoGpu = reason;
  }

  /** Tensors live in WebAssembly's or the graphics processor's memory, which no garbage collector frees. */
  async #run(compiled, inputs) {
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
      const read = [];
      for (const tensor of outputs) {
        const near = tensor.accelerator === "wasm" ? tensor : await tensor.copyTo("wasm");
        if (near !== tensor) tensors.push(near);
        read.push(near.toTypedArray().slice());
      }
      return read;
    } finally {
      tensors.forEach((tensor) => tensor.deleted || tensor.delete());
    }
  }
}

function isNear(values, expected) {
  let [sum, largest] = [0, 0];
  for (let at = 0; at < expected.length; at++) {
    sum += Math.abs(values[at] - expected[at]);
    largest = Math.max(largest, Math.abs(expected[at]));
  }
  return sum / expected.length <= TOLERANCE * largest; // NaN is not
}
