// Runs ONNX models in ONNX Runtime Web: its WebAssembly provider, one thread.
// arguments: the folder with node_modules.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { serve, since } from "./lines.mjs";

const packages = createRequire(`${process.argv[2]}/package.json`);
const ort = packages("onnxruntime-web");
ort.env.wasm.numThreads = 1;
ort.env.wasm.proxy = false;
ort.env.logLevel = "error";

const ARRAYS = {
  float32: Float32Array,
  int32: Int32Array,
  int64: BigInt64Array,
  int8: Int8Array,
  uint8: Uint8Array,
};
const models = new Map();

function tensor({ dtype, shape, file }) {
  const bytes = readFileSync(file);
  const data = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  return new ort.Tensor(dtype, new ARRAYS[dtype](data), shape);
}

async function run(model) {
  const outputs = await model.session.run(model.feeds, ["y"]);
  return outputs.y;
}

await serve(async (request) => {
  const model = models.get(request.key);
  switch (request.do) {
    case "load": {
      const session = await ort.InferenceSession.create(readFileSync(request.model), {
        executionProviders: ["wasm"],
        graphOptimizationLevel: "disabled",
        logSeverityLevel: 3,
      });
      const feeds = {};
      for (const [name, value] of Object.entries(request.feeds)) feeds[name] = tensor(value);
      models.set(request.key, { session, feeds });
      return null;
    }
    case "run": {
      const start = process.hrtime.bigint();
      for (let i = 0; i < request.n; i++) await run(model);
      return since(start);
    }
    case "result": {
      const { data, dims } = await run(model);
      writeFileSync(request.file, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      return dims;
    }
    case "forget":
      for (const { session } of models.values()) await session.release();
      models.clear();
      return null;
    default:
      throw new Error(`unknown request ${request.do}`);
  }
});
