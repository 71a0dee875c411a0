// ops_wasm32.mjs: a compiled model in Node or a browser. No dependencies.
//
//   const model = await load("net.wasm");               // a path, a URL or bytes
//   const { probabilities } = model.run({ image });     // typed arrays by name
//
// Weights in a file beside the module are fetched and checked against the manifest.

const SECTION = "ops_wasm32.manifest";
const DTYPES = {
  float32: [2, 32, Float32Array],
  int32: [0, 32, Int32Array],
  int8: [0, 8, Int8Array],
  uint8: [1, 8, Uint8Array],
  int64: [0, 64, BigInt64Array],
  bool: [6, 8, Uint8Array],
};
const ARGUMENT = 16; // sizeof(TVMFFIAny)
const TENSOR = 40; // sizeof(DLTensor)

/** Read bytes: of a URL or, in Node, of a path. */
async function read(source) {
  if (source instanceof ArrayBuffer || ArrayBuffer.isView(source)) return source;
  const text = String(source);
  if (globalThis.process?.versions?.node && !/^https?:/.test(text)) {
    const { readFile } = await import("node:fs/promises");
    return readFile(text.startsWith("file:") ? new URL(text) : text);
  }
  const response = await fetch(source);
  if (!response.ok) throw new Error(`${text}: ${response.status} ${response.statusText}`);
  return response.arrayBuffer();
}

/** Load a model. weights: their path, URL or bytes, where not beside the module. */
export async function load(source, weights) {
  const module = await WebAssembly.compile(await read(source));
  const [section] = WebAssembly.Module.customSections(module, SECTION);
  if (!section) throw new Error(`${source}: has no section ${SECTION}`);
  const manifest = JSON.parse(new TextDecoder().decode(section));
  if (!manifest.model) throw new Error(`${source}: holds operators, but no model`);
  let data = null;
  if (manifest.weights) {
    if (weights === undefined && typeof source !== "string" && !(source instanceof URL))
      throw new Error(`give the weights too: ${manifest.weights.file}`);
    const beside = String(source).replace(/[^/\\]*$/, manifest.weights.file);
    data = await checked(await read(weights ?? beside), manifest.weights);
  }
  return new Model(await WebAssembly.instantiate(module), manifest, data);
}

/** The data of a .safetensors file that is the one of the manifest. */
async function checked(file, { file: name, bytes, sha256 }) {
  const all = ArrayBuffer.isView(file)
    ? new Uint8Array(file.buffer, file.byteOffset, file.byteLength)
    : new Uint8Array(file);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", all));
  const found = Array.from(digest, (b) => b.toString(16).padStart(2, "0")).join("");
  if (found !== sha256)
    throw new Error(`${name}: has sha256 ${found}, but the module was built with ${sha256}`);
  return all.subarray(all.length - bytes);
}

function given(data) {
  return `${data.constructor.name} of ${data.length} elements`;
}

class Model {
  #exports;
  #index;
  #arguments;
  #count;
  #inputs;
  #outputs;

  constructor(instance, manifest, weights) {
    this.manifest = manifest;
    this.#exports = instance.exports;
    const name = new TextEncoder().encode(manifest.model + "\0");
    this.#index = this.#exports.ops_find(this.#store(name));
    const last = { name: "weights", dtype: "uint8", shape: [weights?.length] };
    const taken = weights ? [...manifest.inputs, last] : manifest.inputs;
    const tensors = [...taken, ...manifest.outputs];
    this.#count = tensors.length;
    this.#arguments = this.#alloc(ARGUMENT * this.#count);
    const made = tensors.map((tensor, i) => this.#tensor(tensor, i));
    if (weights) this.#bytes(made[taken.length - 1].at, weights.length).set(weights);
    this.#inputs = made.slice(0, manifest.inputs.length);
    this.#outputs = made.slice(taken.length);
  }

  /** Outputs by name, as typed arrays of their own, for inputs by name. */
  run(inputs) {
    const known = this.#inputs.map((t) => t.name);
    for (const name of Object.keys(inputs))
      if (!known.includes(name))
        throw new TypeError(`input ${name} is unknown; use ${known.join(", ")}`);
    for (const { name, dtype, shape, size, kind, at } of this.#inputs) {
      const data = inputs[name];
      if (!(data instanceof kind) || data.length !== size)
        throw new TypeError(
          `input ${name} is ${data?.length === undefined ? "no array" : given(data)}; ` +
            `give a ${kind.name} of ${size}: ${dtype} ${shape.join("x")}`,
        );
      new kind(this.#exports.memory.buffer, at, size).set(data);
    }
    if (this.#exports.ops_call(this.#index, this.#arguments, this.#count))
      throw new Error(this.#text(this.#exports.ops_last_error() >>> 0));
    const results = {};
    for (const { name, size, kind, at } of this.#outputs)
      results[name] = new kind(this.#exports.memory.buffer, at, size).slice();
    return results;
  }

  /** Memory for a tensor, a DLTensor over it, and its argument. */
  #tensor({ name, dtype, shape }, index) {
    const [code, bits, kind] = DTYPES[dtype];
    const size = shape.reduce((a, b) => a * b, 1);
    const at = this.#alloc((size * bits) / 8);
    const sizes = this.#alloc(8 * shape.length);
    const head = this.#alloc(TENSOR);
    this.#bytes(head, TENSOR).fill(0);
    this.#bytes(this.#arguments + ARGUMENT * index, ARGUMENT).fill(0);
    const view = new DataView(this.#exports.memory.buffer);
    shape.forEach((n, k) => view.setBigInt64(sizes + 8 * k, BigInt(n), true));
    [at, 1, 0, shape.length].forEach((w, k) => view.setUint32(head + 4 * k, w, true));
    view.setUint8(head + 16, code);
    view.setUint8(head + 17, bits);
    view.setUint16(head + 18, 1, true);
    view.setUint32(head + 20, sizes, true);
    view.setInt32(this.#arguments + ARGUMENT * index, 7, true); // a tensor
    view.setUint32(this.#arguments + ARGUMENT * index + 8, head, true);
    return { name, dtype, shape, size, kind, at };
  }

  #bytes(at, size) {
    return new Uint8Array(this.#exports.memory.buffer, at, size);
  }

  #alloc(size) {
    const at = this.#exports.ops_alloc(Math.max(size, 1)) >>> 0;
    if (!at) throw new RangeError(`no memory for ${size} bytes`);
    return at;
  }

  #store(bytes) {
    const at = this.#alloc(bytes.length);
    this.#bytes(at, bytes.length).set(bytes);
    return at;
  }

  #text(at) {
    const bytes = new Uint8Array(this.#exports.memory.buffer, at);
    return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
  }
}
