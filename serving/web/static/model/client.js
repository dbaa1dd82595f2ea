// The page's side of the worker: calls become promises.

/** An error that came out of the worker; `kind` is the name of its class there. */
export class EngineError extends Error {
  constructor({ message, kind }) {
    super(message);
    this.kind = kind;
  }
}

/** Calls functions of model/engine.js. */
export class Engine {
  constructor() {
    this.worker = new Worker("model/worker.js");
    this.pending = new Map();
    this.lastId = 0;
    this.worker.onmessage = ({ data }) => this.#receive(data);
    this.worker.onerror = (event) => {
      for (const { reject } of this.pending.values()) reject(new Error(event.message || "The worker cannot be loaded."));
      this.pending.clear();
    };
  }

  /** Returns a promise of the result. `transfer` lists objects that the worker takes over. */
  call(name, argument, { progress = () => {}, transfer = [] } = {}) {
    const id = ++this.lastId;
    return new Promise((resolve, reject) => {
      this.pending.set(id, { resolve, reject, progress });
      this.worker.postMessage({ id, call: name, argument }, transfer);
    });
  }

  #receive({ id, result, error, progress }) {
    const call = this.pending.get(id);
    if (!call) return;
    if (progress) return call.progress(progress.loaded, progress.total);
    this.pending.delete(id);
    if (error) call.reject(new EngineError(error));
    else call.resolve(result);
  }
}
