// Runs ONNX models in ONNX Runtime Web: its WebAssembly provider, one thread.
// arguments: the folder with node_modules.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { array, bytes } from "./arrays.mjs";
import { serve, since } from "./lines.mjs";

const packages = createRequire(`${process.argv[2]}/package.json`);
const ort = packages("onnxruntime-web");
ort.env.wasm.numThreads = 1;
ort.env.wasm.proxy = false;
ort.env.logLevel = "error";

const models = new Map();

await serve(async (request) => {
  const model = models.get(request.key);
  switch (request.do) {
    case "load": { // seconds that it takes, without reading the file
      const data = readFileSync(request.model);
      const start = process.hrtime.bigint();
      const session = await ort.InferenceSession.create(data, {
        executionProviders: ["wasm"],
        graphOptimizationLevel: request.optimized ? "all" : "disabled",
        logSeverityLevel: 3,
      });
      const seconds = since(start);
      const feeds = {};
      for (const [name, value] of Object.entries(request.feeds ?? {}))
        feeds[name] = new ort.Tensor(value.dtype, array(value), value.shape);
      models.set(request.key, { session, feeds });
      return seconds;
    }
    case "run": {
      const start = process.hrtime.bigint();
      for (let i = 0; i < request.n; i++) await model.session.run(model.feeds);
      return since(start);
    }
    case "results": {
      const outputs = await model.session.run(model.feeds);
      return model.session.outputNames.map((name, i) => {
        const { data, dims, type } = outputs[name];
        const file = `${request.folder}/out${i}.bin`;
        writeFileSync(file, bytes(data));
        return { dtype: type, shape: dims, file };
      });
    }
    case "forget":
      // Releasing one traps at times, after many; its memory is lost then.
      for (const { session } of models.values()) await session.release().catch(() => {});
      models.clear();
      return null;
    default:
      throw new Error(`unknown request ${request.do}`);
  }
});
