// Runs operators of TensorFlow.js: its WebAssembly backend, SIMD, one thread.
// arguments: the folder with node_modules.
//
// The backend's own binding (its engine, tensors made and released) costs microseconds
// per operator. To time the kernels alone, the functions that the backend's module
// exports stand behind a counter: while `repeat` is n, each kernel that an operator
// calls is called n times with the same arguments, and the time is added up.
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { array, bytes } from "./arrays.mjs";
import { serve, since } from "./lines.mjs";

let repeat = 0;
let seconds = 0;
let between = null; // what a caller does between two calls of a kernel

// A loop over calls with a fixed number of arguments: a spread would cost more than
// small kernels do.
const loops = new Map();
function loop(arity) {
  if (!loops.has(arity)) {
    const names = Array.from({ length: arity }, (_, i) => `a${i}`).join(", ");
    const text = `return (f, n, between, [${names}]) => {
      for (let i = 0; i < n; i++) { f(${names}); if (between) between(); }
    }`;
    loops.set(arity, new Function(text)());
  }
  return loops.get(arity);
}

function counted(kernel) {
  return (...given) => {
    if (!repeat) return kernel(...given);
    const start = process.hrtime.bigint();
    loop(given.length)(kernel, repeat, between, given);
    seconds += since(start);
  };
}

const instantiate = WebAssembly.instantiate;
WebAssembly.instantiate = async (...given) => {
  const made = await instantiate(...given);
  const instance = made.instance ?? made;
  const exports = {};
  // Kernels alone start with a capital; malloc, register_tensor and so on do not.
  for (const [name, value] of Object.entries(instance.exports))
    exports[name] = /^_?[A-Z]/.test(name) ? counted(value) : value;
  return made.instance ? { module: made.module, instance: { exports } } : { exports };
};

const packages = createRequire(`${process.argv[2]}/package.json`);
const tf = packages("@tensorflow/tfjs-core");
const wasm = packages("@tensorflow/tfjs-backend-wasm");
const folder = dirname(packages.resolve("@tensorflow/tfjs-backend-wasm"));
tf.env().set("WASM_HAS_SIMD_SUPPORT", true);
tf.env().set("WASM_HAS_MULTITHREAD_SUPPORT", false);
wasm.setWasmPaths(`${folder}/`);
await tf.setBackend("wasm");
await tf.ready();

// Axes, strides and so on as TensorFlow.js takes them.
const OPERATORS = {
  matMul: ([a, b]) => tf.matMul(a, b),
  conv2d: ([x, w], { strides, pads }) => tf.conv2d(x, w, strides, pads),
  depthwiseConv2d: ([x, w], { strides, pads }) => tf.depthwiseConv2d(x, w, strides, pads),
  add: ([a, b]) => tf.add(a, b),
  mul: ([a, b]) => tf.mul(a, b),
  relu: ([x]) => tf.relu(x),
  exp: ([x]) => tf.exp(x),
  tanh: ([x]) => tf.tanh(x),
  sigmoid: ([x]) => tf.sigmoid(x),
  erf: ([x]) => tf.erf(x),
  softmax: ([x]) => tf.softmax(x),
  sum: ([x], { axis }) => tf.sum(x, axis),
  max: ([x], { axis }) => tf.max(x, axis),
  argMax: ([x], { axis }) => tf.argMax(x, axis),
  transpose: ([x], { perm }) => tf.transpose(x, perm),
  maxPool: ([x], { filter, strides, pads }) => tf.maxPool(x, filter, strides, pads),
  resizeBilinear: ([x], { size }) => tf.image.resizeBilinear(x, size, false, true),
};

let call = null;

// Weights that are new in every call: the backend keeps what it packed by the
// tensor's number, and gives it up when the number does.
function unpack(weights) {
  const backend = tf.backend();
  const { id, memoryOffset } = backend.dataIdMap.get(weights.dataId);
  const { disposeData, registerTensor } = backend.wasm.tfjs;
  return () => {
    disposeData(id);
    registerTensor(id, weights.size, memoryOffset);
  };
}

function tensor({ dtype, shape, file }) {
  if (dtype !== "float32") throw new Error(`no tensors of ${dtype}`);
  return tf.tensor(array({ dtype, file }), shape, dtype);
}

await serve((request) => {
  switch (request.do) {
    case "prepare":
      if (!(request.operator in OPERATORS)) throw new Error(`no operator ${request.operator}`);
      if (call) tf.dispose(call.inputs);
      call = { inputs: request.inputs.map(tensor) };
      call.run = () => OPERATORS[request.operator](call.inputs, request.attributes);
      call.between = request.unpack === null ? null : unpack(call.inputs[request.unpack]);
      call.inputs.forEach((t) => t.dataSync()); // uploads
      tf.dispose(call.run());
      return null;
    case "run": // the kernels alone
      [repeat, seconds, between] = [request.n, 0, call.between];
      try {
        tf.dispose(call.run());
      } finally {
        repeat = 0;
      }
      if (!seconds) throw new Error("the operator calls no kernel of the module");
      return seconds;
    case "run_whole": {
      // with the binding
      const start = process.hrtime.bigint();
      for (let i = 0; i < request.n; i++) tf.dispose(call.run());
      return since(start);
    }
    case "result": {
      const y = call.run();
      const data = y.dataSync();
      writeFileSync(request.file, bytes(data));
      tf.dispose(y);
      return y.shape;
    }
    default:
      throw new Error(`unknown request ${request.do}`);
  }
});
