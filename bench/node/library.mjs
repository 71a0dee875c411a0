// Runs a library's kernels, and ceilings, in Node: one JSON line in, one out.
import { readFileSync, writeFileSync } from "node:fs";
import { writeTensor } from "../../embed/js/memory.mjs";
import { loadModel } from "../../embed/js/ops_wasm32.mjs";
import { ARGUMENT, KINDS, TENSOR } from "../../embed/js/tables.mjs";
import { array } from "./arrays.mjs";
import { serve, since } from "./lines.mjs";

const libraries = new Map();
const loops = new Map();
const models = new Map(); // by the loader that users of Node have

class Library {
  constructor(path, loop) {
    const module = new WebAssembly.Module(readFileSync(path));
    this.exports = new WebAssembly.Instance(module).exports;
    const calls = new WebAssembly.Module(readFileSync(loop));
    this.loops = {};
    for (const name of ["ops_call", "ops_infer"]) {
      if (!this.exports[name]) continue;
      const imports = { ops: { ops_call: this.exports[name] } };
      this.loops[name] = new WebAssembly.Instance(calls, imports).exports.run;
    }
    this.blocks = [];
    this.op = this.args = this.count = 0;
  }

  view() {
    return new DataView(this.exports.memory.buffer);
  }

  alloc(size) {
    const pointer = this.exports.ops_alloc(Math.max(size, 1)) >>> 0;
    if (!pointer) throw new Error(`no room for ${size} bytes`);
    this.blocks.push(pointer);
    return pointer;
  }

  store(bytes) {
    const pointer = this.alloc(bytes.length);
    new Uint8Array(this.exports.memory.buffer).set(bytes, pointer);
    return pointer;
  }

  prepare({ kernel, tensors, inputs, attributes }) {
    for (const block of this.blocks) this.exports.ops_free(block);
    this.blocks = [];
    this.op = this.exports.ops_find(this.store(Buffer.from(kernel + "\0")));
    if (this.op < 0) throw new Error(`${kernel}: the library has no such kernel`);
    this.count = tensors.length + attributes.length;
    const bytes = ARGUMENT.size * this.count;
    this.args = this.alloc(bytes);
    new Uint8Array(this.exports.memory.buffer).fill(0, this.args, this.args + bytes);
    this.outputs = [];
    tensors.forEach((tensor, i) => {
      if (tensor === null) return;
      const data = tensor.file ? this.store(readFileSync(tensor.file)) : this.alloc(tensor.size);
      if (i >= inputs) this.outputs.push([data, tensor.size]);
      const shape = this.alloc(8 * tensor.shape.length);
      const head = this.alloc(TENSOR.size);
      const view = this.view();
      tensor.shape.forEach((n, k) => view.setBigInt64(shape + 8 * k, BigInt(n), true));
      const form = { ...tensor, data, rank: tensor.shape.length, shape };
      writeTensor(view, head, this.args + ARGUMENT.size * i, form);
    });
    const view = this.view();
    attributes.forEach((attribute, k) => {
      if (attribute === null) return;
      const at = this.args + ARGUMENT.size * (tensors.length + k);
      const [value, real] = attribute;
      view.setInt32(at + ARGUMENT.type_index, real ? KINDS.float : KINDS.int, true);
      if (real) view.setFloat64(at + ARGUMENT.v_int64, value, true);
      else view.setBigInt64(at + ARGUMENT.v_int64, BigInt(value), true);
    });
    this.run(1);
  }

  run(n, name = "ops_call") {
    const start = process.hrtime.bigint();
    const bad = this.loops[name](this.op, this.args, this.count, n);
    const seconds = since(start);
    if (bad) {
      const at = this.exports.ops_last_error() >>> 0;
      const text = new Uint8Array(this.exports.memory.buffer, at, 512);
      throw new Error(Buffer.from(text.slice(0, text.indexOf(0))).toString());
    }
    return seconds;
  }

  results(folder) {
    return this.outputs.map(([data, size], i) => {
      const path = `${folder}/out${i}.bin`;
      writeFileSync(path, new Uint8Array(this.exports.memory.buffer, data, size));
      return path;
    });
  }
}

// Seconds to compile and instantiate a module; its file is read before.
function started(path) {
  const data = readFileSync(path);
  const start = process.hrtime.bigint();
  new WebAssembly.Instance(new WebAssembly.Module(data));
  return since(start);
}

async function loaded({ key, library, inputs }) {
  const start = process.hrtime.bigint();
  const model = await loadModel(library);
  const seconds = since(start);
  const given = Object.entries(inputs ?? {}).map(([name, value]) => [name, array(value)]);
  models.set(key, { model, inputs: Object.fromEntries(given) });
  return seconds;
}

function run({ model, inputs }, n) {
  const start = process.hrtime.bigint();
  for (let i = 0; i < n; i++) model.run(inputs);
  return since(start);
}

function answer(request) {
  const library = libraries.get(request.key);
  switch (request.do) {
    case "load":
      libraries.set(request.key, new Library(request.library, request.loop));
      return null;
    case "prepare":
      return library.prepare(request);
    case "run":
      return library.run(request.n, request.name);
    case "results":
      return library.results(request.folder);
    case "start":
      return started(request.library);
    case "load_model":
      return loaded(request);
    case "run_model":
      return run(models.get(request.key), request.n);
    case "loop": {
      const module = new WebAssembly.Module(readFileSync(request.path));
      loops.set(request.key, new WebAssembly.Instance(module).exports.run);
      return null;
    }
    case "run_loop": {
      const start = process.hrtime.bigint();
      loops.get(request.key)(...request.arguments);
      return since(start);
    }
    default:
      throw new Error(`unknown request ${request.do}`);
  }
}

await serve(answer);
