// What runs in the worker of worker.mjs.
import { loadModel } from "./ops_wasm32.mjs";

let model;

const ANSWERS = {
  load: async (port, source, options) => {
    const onProgress = (progress) => port.postMessage({ progress });
    model = await loadModel(source, { ...options, onProgress });
    const { inputs, outputs, sizes } = model;
    return { inputs, outputs, sizes };
  },
  run: (port, inputs) => model.run(inputs),
};

async function answer(port, { id, what, words }) {
  try {
    const value = await ANSWERS[what](port, ...words);
    const moved = what === "run" ? Object.values(value).map(({ data }) => data.buffer) : [];
    port.postMessage({ id, value }, moved);
  } catch (error) {
    const { code, message: text } = error;
    port.postMessage({ id, error: { code: error.name === "OpsError" ? code : undefined, text } });
  }
}

// At once where that is possible: messages that come before are lost.
if (globalThis.self?.postMessage)
  self.addEventListener("message", ({ data }) => answer(self, data));
else {
  const threads = "node:worker_threads"; // a name that bundlers do not follow
  import(/* @vite-ignore */ /* webpackIgnore: true */ threads).then(({ parentPort }) =>
    parentPort.on("message", (message) => answer(parentPort, message)),
  );
}
