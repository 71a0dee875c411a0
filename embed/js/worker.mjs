// A model in a worker of its own: calls do not hold up the page, and dispose() ends them.
//
//   const model = await loadModel("net.wasm");            // as in ops_wasm32.mjs
//   const { probabilities } = await model.run({ image });
import { OpsError } from "./ops_wasm32.mjs";

/** Load a model in a new worker. source: a URL, a path in Node, bytes, or a
 *  WebAssembly.Module. options: as of loadModel in ops_wasm32.mjs.
 *
 *  Errors: OpsError, those of the worker too; the signal's reason. */
export async function loadModel(source, { signal, onProgress, ...options } = {}) {
  signal?.throwIfAborted();
  const worker = new Remote(await started(), onProgress);
  const abort = () => worker.end(signal.reason);
  signal?.addEventListener("abort", abort);
  try {
    const weights = options.weights && absolute(options.weights);
    const told = { ...options, weights };
    return new WorkerModel(worker, await worker.ask("load", [absolute(source), told]));
  } catch (error) {
    worker.end(error);
    throw error;
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

async function started() {
  if (globalThis.Worker)
    return new Worker(new URL("./worker_thread.mjs", import.meta.url), { type: "module" });
  const threads = "node:worker_threads"; // a name that bundlers do not follow
  const node = await import(/* @vite-ignore */ /* webpackIgnore: true */ threads);
  const options = { execArgv: [] }; // --input-type, say, is for the program alone
  return new node.Worker(new URL("./worker_thread.mjs", import.meta.url), options);
}

/** A place as the worker finds it too, which lies elsewhere than the page. */
function absolute(source) {
  if (source instanceof URL) return String(source);
  const base = globalThis.document?.baseURI ?? globalThis.location?.href;
  return typeof source === "string" && base ? String(new URL(source, base)) : source;
}

/** Questions to a worker, and its answers. */
class Remote {
  #worker;
  #onProgress;
  #waiting = new Map();
  #last = 0;

  constructor(worker, onProgress) {
    this.#worker = worker;
    this.#onProgress = onProgress;
    const failed = (error) =>
      this.end(new OpsError("engine", `the worker failed: ${error.message ?? "no script"}`));
    if (worker.on) worker.on("message", (m) => this.#hear(m)).on("error", failed).unref();
    else {
      worker.addEventListener("message", ({ data }) => this.#hear(data));
      worker.addEventListener("error", failed);
    }
  }

  /** What the worker answers. moved: buffers that it gets without copying. */
  ask(what, words, moved = []) {
    return new Promise((resolve, reject) => {
      if (!this.#worker)
        throw new OpsError("argument", "the model was disposed; load it again");
      const id = ++this.#last;
      try {
        this.#worker.postMessage({ id, what, words }, moved);
      } catch (error) {
        throw new OpsError("argument", `the worker cannot be given this: ${error.message}`);
      }
      this.#worker.ref?.(); // Node waits for answers, not for idle workers
      this.#waiting.set(id, { resolve, reject });
    });
  }

  /** End the worker; what it was asked fails. */
  end(error) {
    this.#worker?.terminate();
    this.#worker = null;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }

  #hear({ id, progress, value, error }) {
    if (progress) return this.#onProgress?.(progress);
    const { resolve, reject } = this.#waiting.get(id) ?? {};
    this.#waiting.delete(id);
    if (!this.#waiting.size) this.#worker?.unref?.();
    if (error) reject?.(error.code ? new OpsError(error.code, error.text) : new Error(error.text));
    else resolve?.(value);
  }
}

/** A model in a worker. */
class WorkerModel {
  #worker;

  constructor(worker, { inputs, outputs, sizes }) {
    this.#worker = worker;
    Object.assign(this, { inputs, outputs, sizes });
  }

  /** Outputs by name, { data, shape, dtype } each. moved: buffers of inputs that the
   *  worker gets, and the caller loses, in place of a copy. */
  run(inputs = {}, moved = []) {
    return this.#worker.ask("run", [inputs], moved);
  }

  /** End the worker, and with it a call that does not end. */
  dispose() {
    this.#worker.end(new OpsError("argument", "the model was disposed"));
  }

  [Symbol.dispose ?? Symbol.for("Symbol.dispose")]() {
    this.dispose();
  }
}
