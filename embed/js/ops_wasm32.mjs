// ops_wasm32.mjs: a compiled model in Node or a browser. No dependencies.
//
//   const model = await load("net.wasm");               // a path, a URL or bytes
//   const { probabilities } = model.run({ image });     // typed arrays by name
//
// A model with open sizes takes any at each call, and results say theirs:
//
//   const { logits } = model.run({ ids: { data, shape: [1, 12] } });
//   logits.shape;                                       // [1, 12, 30000], say
//   model.inputs, model.sizes;                          // what it takes
//
// Weights in a file beside the module are fetched and checked against the manifest.

// A file may be anybody's: load() checks what it declares and runs none of its code.
// run() does, for as long as that takes: nothing in JavaScript can stop it but ending
// a Worker from outside, which is where a module belongs that is not trusted to end.

// Tables, written by `doit tables` from toolchain/:
const SECTION = "ops_wasm32.manifest";
// By their names: DLPack's code, bits, and the typed array.
export const DTYPES = new Map([
  ["float32", { code: 2, bits: 32, array: Float32Array }],
  ["int32", { code: 0, bits: 32, array: Int32Array }],
  ["int8", { code: 0, bits: 8, array: Int8Array }],
  ["uint8", { code: 1, bits: 8, array: Uint8Array }],
  ["int64", { code: 0, bits: 64, array: BigInt64Array }],
  ["bool", { code: 6, bits: 8, array: Uint8Array }],
  ["float16", { code: 2, bits: 16, array: globalThis.Float16Array ?? Uint16Array }],
  ["float64", { code: 2, bits: 64, array: Float64Array }],
]);
// Of models whose sizes are known, and of those with open sizes.
const ABI_VERSION = 1;
const ABI_VERSION_OPEN = 2;
const MAX_RANK = 8;
const MAX_SIZE = 2147483647; // of an axis
const MEMORY = 4294967296; // bytes; what a module can have at most
// Bytes of a TVMFFIAny and of a DLTensor, and where their fields lie.
export const ARGUMENT = {
  size: 16,
  type_index: 0,
  zero_padding: 4,
  v_int64: 8,
};
export const TENSOR = {
  size: 40,
  data: 0,
  device_type: 4,
  device_id: 8,
  ndim: 12,
  code: 16,
  bits: 17,
  lanes: 18,
  shape: 20,
  strides: 24,
  byte_offset: 32,
};
export const KINDS = { none: 0, int: 1, bool: 2, float: 3, tensor: 7 };
// The functions of a module and how many i32 each takes; all give one.
const FUNCTIONS = {
  ops_abi_version: 0,
  ops_alloc: 1,
  ops_call: 3,
  ops_count: 0,
  ops_find: 1,
  ops_free: 1,
  ops_infer: 3,
  ops_last_error: 0,
  ops_name: 1,
  ops_signature: 1,
};
// End of tables.

// The functions that a model needs.
const NEEDED = ["alloc", "call", "find", "free", "infer", "last_error"].map(
  (name) => `ops_${name}`,
);
const I32 = 0x7f;

/** Read bytes: of a URL or, in Node, of a path. */
async function read(source) {
  if (source instanceof ArrayBuffer || ArrayBuffer.isView(source)) return source;
  if (typeof source !== "string" && !(source instanceof URL))
    throw new TypeError(`${source} is nothing to load; give a path, a URL or bytes`);
  const text = String(source);
  if (globalThis.process?.versions?.node && !/^https?:/.test(text)) {
    const { readFile } = await import("node:fs/promises");
    try {
      return await readFile(text.startsWith("file:") ? new URL(text) : text);
    } catch (error) {
      const why = error.code === "ENOENT" ? "there is no such file" : error.message;
      throw new Error(`${text}: cannot be read: ${why}`);
    }
  }
  const response = await fetch(source);
  if (!response.ok) throw new Error(`${text}: ${response.status} ${response.statusText}`);
  return response.arrayBuffer();
}

/** Bytes of what read() gives, without copying them. */
function bytesOf(data) {
  return ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data);
}

async function weightsOf(source, what) {
  try {
    return await read(source);
  } catch (error) {
    throw new Error(
      `${what}: its weights are missing: ${error.message}; put the file that was built ` +
        "with the module beside it, or give its path, URL or bytes to load()",
    );
  }
}

/** Load a model. weights: their path, URL or bytes, where not beside the module. */
export async function load(source, weights) {
  const named = typeof source === "string" || source instanceof URL;
  const what = named ? String(source) : "the module";
  const file = bytesOf(await read(source));
  const found = declarations(file, what);
  const manifest = manifestOf(found.manifests, what);
  const { model } = manifest;
  checkExports(found, what);
  let module;
  try {
    module = await WebAssembly.compile(file);
  } catch (error) {
    throw new Error(`${what}: cannot be loaded: ${error.message}`);
  }
  let data = null;
  if (manifest.weights) {
    if (weights === undefined && !named)
      throw new Error(`give the weights too: ${manifest.weights.file}`);
    const beside = String(source).replace(/[^/\\]*$/, manifest.weights.file);
    data = await checked(await weightsOf(weights ?? beside, what), manifest.weights);
  }
  let instance;
  try {
    instance = await WebAssembly.instantiate(module);
  } catch (error) {
    throw new Error(`${what}: cannot be started: ${error.message}`);
  }
  return new Model(instance, manifest, data, what);
}

/** Reads the content of a section; RangeError where it ends too early. */
class Reader {
  constructor(data, at = 0) {
    this.data = data;
    this.at = at;
  }

  byte() {
    if (this.at >= this.data.length) throw new RangeError("is cut off or damaged");
    return this.data[this.at++];
  }

  /** An unsigned LEB128 number of 32 bits. */
  number() {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte();
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
    throw new RangeError("is cut off or damaged");
  }

  bytes(size) {
    if (this.at + size > this.data.length) throw new RangeError("is cut off or damaged");
    this.at += size;
    return this.data.subarray(this.at - size, this.at);
  }

  text() {
    return new TextDecoder().decode(this.bytes(this.number()));
  }

  /** Least size of a memory or table of 32 bits that one thread has. */
  limits(what) {
    const flags = this.byte();
    if (flags > 1) throw new RangeError(`declares a shared or a 64-bit ${what}`);
    const least = this.number();
    if (flags) this.number();
    return least;
  }
}

/** What a module declares, where it declares nothing that no module of ours does:
 *  code that runs when it is loaded, imports, types other than functions of numbers,
 *  memories and tables that are shared, of 64 bits, or larger than the file. */
function declarations(file, what) {
  const found = { types: [], functions: [], exports: new Map(), manifests: [] };
  const magic = [0, 97, 115, 109, 1, 0, 0, 0];
  if (magic.some((byte, i) => file[i] !== byte))
    throw new Error(`${what}: is no WebAssembly module of version 1`);
  const all = new Reader(file, magic.length);
  while (all.at < file.length) {
    const number = all.byte();
    try {
      const content = all.bytes(all.number());
      SECTIONS[number]?.(new Reader(content), found, file.length);
    } catch (error) {
      throw new Error(
        `${what}: ${error.message} in section ${number}; it was not built by ops-wasm32`,
      );
    }
  }
  return found;
}

/** Readers of sections, by number. */
const SECTIONS = {
  0: (reader, found) => {
    if (reader.text() === SECTION) found.manifests.push(reader.data.subarray(reader.at));
  },
  1: (reader, { types }) => {
    for (let left = reader.number(); left; --left) {
      if (reader.byte() !== 0x60) throw new RangeError("declares a type that is no function");
      const [takes, gives] = [0, 1].map(() => [...reader.bytes(reader.number())]);
      if ([...takes, ...gives].some((kind) => kind < 0x7b || kind > I32))
        throw new RangeError("declares a function of other things than numbers");
      types.push({ takes, gives });
    }
  },
  2: (reader) => {
    const count = reader.number();
    if (count) throw new RangeError(`imports ${count} things; a model needs none`);
  },
  3: (reader, { functions }) => {
    for (let left = reader.number(); left; --left) functions.push(reader.number());
  },
  4: (reader, found, size) => {
    for (let left = reader.number(); left; --left) {
      if (reader.byte() !== 0x70) throw new RangeError("declares a table of no functions");
      const least = reader.limits("table");
      if (least > size)
        throw new RangeError(`claims ${least} functions in a file of ${size} bytes`);
    }
  },
  5: (reader) => {
    const count = reader.number();
    if (count !== 1) throw new RangeError(`has ${count} memories instead of one`);
    reader.limits("memory");
  },
  7: (reader, found) => {
    for (let left = reader.number(); left; --left) {
      const name = reader.text();
      found.exports.set(name, { kind: reader.byte(), index: reader.number() });
    }
  },
  8: (reader) => {
    throw new RangeError(`runs its function ${reader.number()} when it is loaded`);
  },
};

/** Refuse a module without the functions of ops_wasm32.h, as it declares them. */
function checkExports({ types, functions, exports }, what) {
  const wrong = NEEDED.flatMap((name) => {
    const count = FUNCTIONS[name];
    const { kind, index } = exports.get(name) ?? {};
    const type = kind === 0 ? types[functions[index]] : undefined;
    const fits =
      type?.takes.length === count &&
      type.gives.length === 1 &&
      [...type.takes, ...type.gives].every((k) => k === I32);
    return fits ? [] : [name];
  });
  if (exports.get("memory")?.kind !== 2) wrong.push("memory");
  if (wrong.length)
    throw new Error(
      `${what}: is no module of operators; it does not export ${wrong.join(", ")} as ` +
        "ops_wasm32.h declares them",
    );
}

/** The manifest of a model, each part of it checked. */
function manifestOf(sections, what) {
  if (!sections.length)
    throw new Error(
      `${what}: has no section ${SECTION}; it was not built by ops-wasm32, or its ` +
        "custom sections were stripped",
    );
  const damaged = (why) => new Error(`${what}: its manifest is damaged: ${why}`);
  if (sections.length > 1) throw damaged(`there are ${sections.length} of them`);
  let manifest;
  try {
    manifest = JSON.parse(new TextDecoder().decode(sections[0]));
  } catch (error) {
    throw damaged(error.message);
  }
  if (typeof manifest !== "object" || manifest === null || Array.isArray(manifest))
    throw damaged("it is no object");
  const { abi_version: version, model, inputs, outputs, sizes, weights } = manifest;
  const open = version === ABI_VERSION_OPEN;
  if (version !== ABI_VERSION && !open)
    throw new Error(
      `${what}: has ABI version ${show(version)}, this file speaks ${ABI_VERSION} and ` +
        `${ABI_VERSION_OPEN}; build the module anew or update this file`,
    );
  if (model === undefined) throw new Error(`${what}: holds operators, but no model`);
  const problem =
    (!isName(model) && `model ${show(model)} is no name`) ||
    tensorProblem("inputs", inputs, open) ||
    tensorProblem("outputs", outputs, open) ||
    (open && sizes !== undefined && sizesProblem(sizes)) ||
    (weights != null && weightsProblem(weights));
  if (problem) throw damaged(problem);
  return manifest;
}

/** A value as a message may show it. */
function show(value) {
  const text = typeof value === "object" ? typeof value : String(value);
  return JSON.stringify(text.slice(0, 80));
}

function isName(value) {
  return typeof value === "string" && value.length > 0 && value.length <= 4096;
}

function isSize(value) {
  return Number.isInteger(value) && value >= 0 && value < MEMORY;
}

/** Whether a value is a size of an axis. */
function isAxis(value) {
  return isSize(value) && value <= MAX_SIZE;
}

/** What is wrong with the bounds of named sizes, or "". */
function sizesProblem(sizes) {
  if (typeof sizes !== "object" || sizes === null || Array.isArray(sizes))
    return "sizes is no object";
  const wrong = Object.entries(sizes).find(
    ([name, p]) =>
      !(isName(name) && Array.isArray(p) && p.length === 2 && p.every(isAxis) && p[0] <= p[1]),
  );
  return wrong ? `the bounds of size ${show(wrong[0])} are none` : "";
}

function isKnown(shape) {
  return shape !== null && shape.every(isSize);
}

function product(shape) {
  return shape.reduce((a, b) => a * b, 1);
}

/** A shape for messages: 1x3, [batch, 3], any shape. */
function shapeText(shape) {
  if (shape === null) return "any shape";
  return isKnown(shape) ? shape.join("x") : `[${shape.join(", ")}]`;
}

/** What is wrong with a list of tensors, or "". open: sizes may be texts. */
function tensorProblem(what, tensors, open) {
  if (!Array.isArray(tensors)) return `${what} is no list`;
  let bytes = 0;
  for (const tensor of tensors) {
    const { name, dtype, shape } = tensor ?? {};
    if (!isName(name)) return `${show(name)} in ${what} is no name`;
    if (!DTYPES.has(dtype)) return `${show(dtype)} of ${show(name)} is no dtype`;
    if (open && shape === null) continue;
    const fits = (n) => isSize(n) || (open && isName(n));
    if (!Array.isArray(shape) || shape.length > MAX_RANK || !shape.every(fits))
      return `the shape of ${show(name)} is no list of up to ${MAX_RANK} sizes`;
    bytes += isKnown(shape) ? (product(shape) * DTYPES.get(dtype).bits) / 8 : 0;
  }
  if (bytes >= MEMORY) return `${what} take ${bytes} bytes, more than a module can have`;
  const names = new Set(tensors.map((t) => t.name));
  return names.size < tensors.length ? `two ${what} have one name` : "";
}

/** What is wrong with the description of a file of weights, or "". */
function weightsProblem({ file, bytes, sha256 }) {
  // It may not lead out of the module's folder.
  if (!isName(file) || /[/\\:]|^\.+$/.test(file))
    return `weights ${show(file)} is no name of a file beside the module`;
  if (!isSize(bytes)) return `${show(bytes)} bytes of weights is no size`;
  return isName(sha256) ? "" : "weights have no sha256";
}

/** The data of a .safetensors file that is the one of the manifest. */
async function checked(file, { file: name, bytes, sha256 }) {
  const all = bytesOf(file);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", all));
  const found = Array.from(digest, (b) => b.toString(16).padStart(2, "0")).join("");
  if (found !== sha256)
    throw new Error(`${name}: has sha256 ${found}, but the module was built with ${sha256}`);
  const view = new DataView(all.buffer, all.byteOffset, all.byteLength);
  const start = all.length < 8 ? 8 : 8 + Number(view.getBigUint64(0, true));
  if (all.length - start !== bytes)
    throw new Error(
      `${name}: holds ${Math.max(0, all.length - start)} bytes of weights; the module ` +
        `takes ${bytes}`,
    );
  return all.subarray(start);
}

/** The elements of an input that is given. */
function dataOf(value) {
  return value?.data ?? value;
}

function given(data) {
  if (data === undefined || data === null || typeof data !== "object") return "no array";
  return `${data.constructor?.name ?? "an object"} of ${data.length ?? 0} elements`;
}

/** Write a compact DLTensor at `head`, and the argument that names it. */
export function writeTensor(view, head, argument, { data, rank, code, bits, shape }) {
  for (let at = 0; at < TENSOR.size; ++at) view.setUint8(head + at, 0);
  for (let at = 0; at < ARGUMENT.size; ++at) view.setUint8(argument + at, 0);
  view.setUint32(head + TENSOR.data, data, true);
  view.setUint32(head + TENSOR.device_type, 1, true); // the CPU
  view.setUint32(head + TENSOR.ndim, rank, true);
  view.setUint8(head + TENSOR.code, code);
  view.setUint8(head + TENSOR.bits, bits);
  view.setUint16(head + TENSOR.lanes, 1, true);
  view.setUint32(head + TENSOR.shape, shape, true);
  view.setInt32(argument + ARGUMENT.type_index, KINDS.tensor, true);
  view.setUint32(argument + ARGUMENT.v_int64, head, true);
}

/** The shape of an input's data: the one given with it, or what its length says.
 *
 *  wanted: as the manifest has it. bound: sizes by name that are known already. */
function shapeOf({ name, dtype, shape: wanted, kind }, { data, shape }, bound) {
  const error = () =>
    new TypeError(
      `input ${name} is ${given(data)}${shape ? ` of shape [${shape}]` : ""}; give ` +
        (wanted && isKnown(wanted)
          ? `a ${kind.name} of ${product(wanted)}: ${dtype} ${wanted.join("x")}`
          : `{ data, shape } with a ${kind.name}: ${dtype} ${shapeText(wanted)}`),
    );
  if (!(data instanceof kind)) throw error();
  const found = [...(shape ?? wanted ?? "?")].map((n) =>
    isSize(n) || shape ? n : (bound.get(n)?.size ?? n),
  );
  const known = found.filter(isSize);
  if (!shape && known.length === found.length - 1)
    found[found.findIndex((n) => !isSize(n))] = data.length / product(known);
  if (!found.every(isAxis) || product(found) !== data.length) throw error();
  return found;
}

/** Note named sizes of an input. Errors: TypeError for a shape that the input or the
 *  others do not allow, with the axis and the size. */
function bindSizes({ name, shape: wanted }, shape, bounds, bound) {
  if (wanted === null) return;
  const takes = `${name} takes ${shapeText(wanted)}`;
  if (shape.length !== wanted.length)
    throw new TypeError(`input ${name} has shape [${shape.join(", ")}]; ${takes}`);
  shape.forEach((size, axis) => {
    const place = `axis ${axis} of input ${name}`;
    const fail = (why) => {
      throw new TypeError(`${place} has size ${size}${why}; ${takes}`);
    };
    const key = wanted[axis];
    if (isSize(key) && key !== size) fail(` instead of ${key}`);
    if (isSize(key) || !bounds.has(key)) return;
    const [low, high] = bounds.get(key);
    if (size < low || size > high)
      fail(
        `, but ${key} is ${low} ${high < MAX_SIZE ? `to ${high}` : "or more"}; give such a ` +
          "size or compile the model with other bounds (--dim)",
      );
    const before = bound.get(key) ?? { size, place };
    if (before.size !== size)
      fail(`, but ${key} is ${before.size} by ${before.place}; give both the same size`);
    bound.set(key, before);
  });
}

/** A typed array that says its shape. */
function withShape(array, shape) {
  return Object.defineProperty(array, "shape", { value: shape });
}

class Model {
  #exports;
  #what;
  #weights;
  #index;
  #arguments;
  #inputs;
  #kept;
  #outputs;
  #open; // the module allocates the outputs
  #ready = false;

  constructor(instance, manifest, weights, what) {
    this.manifest = manifest;
    this.#open = manifest.abi_version === ABI_VERSION_OPEN;
    this.#exports = instance.exports;
    this.#what = what;
    this.#weights = weights;
    const described = (tensor) => {
      const { code, bits, array: kind } = DTYPES.get(tensor.dtype);
      const size = tensor.shape && isKnown(tensor.shape) ? product(tensor.shape) : NaN;
      return { ...tensor, code, bits, kind, size, at: 0, room: 0 };
    };
    this.#inputs = manifest.inputs.map(described);
    this.#outputs = manifest.outputs.map(described);
    const file = { name: "weights", dtype: "uint8", shape: [weights?.length] };
    this.#kept = weights ? [described(file)] : [];
  }

  /** Inputs: name, dtype and shape of each. */
  get inputs() {
    return this.manifest.inputs;
  }

  /** Outputs: the same. */
  get outputs() {
    return this.manifest.outputs;
  }

  /** Least and greatest of each size that shapes call by a name. */
  get sizes() {
    return (this.#open && this.manifest.sizes) || {};
  }

  /** Outputs by name, as typed arrays of their own with a shape, for inputs by name:
   *  typed arrays, or { data, shape } where lengths leave shapes open. */
  run(inputs = {}) {
    if (typeof inputs !== "object" || inputs === null)
      throw new TypeError(`give an object with an array for each input: ${this.#names()}`);
    const known = new Set(this.#inputs.map((t) => t.name));
    for (const name of Object.keys(inputs))
      if (!known.has(name))
        throw new TypeError(`input ${name} is unknown; use ${this.#names()}`);
    const plain = ({ name, kind, size }) => {
      const data = Object.hasOwn(inputs, name) ? inputs[name] : undefined;
      return data instanceof kind && data.length === size && !data.shape;
    };
    const shapes = this.#inputs.every(plain) ? null : this.#shapes(inputs);
    if (!this.#ready) this.#prepare();
    if (this.#open) this.#point(this.#outputs, 0);
    for (const tensor of this.#inputs) {
      const shape = shapes?.get(tensor.name) ?? tensor.shape;
      this.#write(tensor, dataOf(inputs[tensor.name]), shape);
    }
    this.#checked(this.#exports.ops_call);
    const results = this.#open ? this.#taken() : this.#outputs;
    const { buffer } = this.#exports.memory;
    try {
      // A name of __proto__ is an entry too.
      return Object.fromEntries(
        results.map(({ name, shape, size, kind, at }) => [
          name,
          withShape(new kind(buffer, at, size).slice(), shape),
        ]),
      );
    } finally {
      if (this.#open) this.#free(results);
    }
  }

  /** Shapes of the inputs by name. Errors: TypeError. */
  #shapes(inputs) {
    const bounds = new Map(Object.entries(this.sizes));
    const [bound, shapes] = [new Map(), new Map()];
    const value = ({ name }) => (Object.hasOwn(inputs, name) ? inputs[name] : undefined);
    const rank = (tensor) => (value(tensor)?.shape ? 0 : 1); // what has a shape is first
    for (const tensor of [...this.#inputs].sort((a, b) => rank(a) - rank(b))) {
      const found = value(tensor);
      const shape = shapeOf(tensor, { data: dataOf(found), shape: found?.shape }, bound);
      bindSizes(tensor, shape, bounds, bound);
      shapes.set(tensor.name, shape);
    }
    return shapes;
  }

  #names() {
    return this.#inputs.map((t) => t.name).join(", ") || "none (it takes none)";
  }

  /** Put arguments, weights and room for tensors into the module's memory. */
  #prepare() {
    const name = new TextEncoder().encode(this.manifest.model + "\0");
    this.#index = this.#exports.ops_find(this.#store(name));
    if (this.#index < 0)
      throw new Error(`${this.#what}: has no operator ${this.manifest.model}`);
    const tensors = this.#tensors();
    this.#arguments = this.#alloc(ARGUMENT.size * tensors.length);
    tensors.forEach((tensor, i) => this.#head(tensor, i));
    if (!this.#open) {
      this.#checked(this.#exports.ops_infer);
      this.#outputs.forEach((tensor) => this.#checkShape(tensor));
    }
    for (const tensor of this.#open ? this.#kept : tensors)
      this.#reserve(tensor, (tensor.size * tensor.bits) / 8);
    for (const { at, size } of this.#kept) this.#bytes(at, size).set(this.#weights);
    this.#weights = null;
    this.#ready = true;
  }

  #tensors() {
    return [...this.#inputs, ...this.#kept, ...this.#outputs];
  }

  /** A DLTensor without data, and its argument. */
  #head(tensor, index) {
    const { code, bits } = tensor;
    const shape = tensor.shape && isKnown(tensor.shape) ? tensor.shape : [];
    tensor.sizes = this.#alloc(8 * MAX_RANK);
    tensor.head = this.#alloc(TENSOR.size);
    const argument = this.#arguments + ARGUMENT.size * index;
    const view = new DataView(this.#exports.memory.buffer);
    shape.forEach((n, k) => view.setBigInt64(tensor.sizes + 8 * k, BigInt(n), true));
    const form = { data: 0, rank: shape.length, code, bits, shape: tensor.sizes };
    writeTensor(view, tensor.head, argument, form);
  }

  /** Give a tensor room for its elements, and keep it for later calls. */
  #reserve(tensor, bytes) {
    if (tensor.at && bytes <= tensor.room) return;
    if (tensor.at) this.#exports.ops_free(tensor.at);
    tensor.at = 0;
    tensor.at = this.#alloc(bytes);
    tensor.room = bytes;
    this.#point([tensor], tensor.at);
  }

  /** Set the data of tensors. */
  #point(tensors, at) {
    const view = new DataView(this.#exports.memory.buffer);
    for (const { head } of tensors) view.setUint32(head + TENSOR.data, at, true);
  }

  /** Put an input into memory. */
  #write(tensor, data, shape) {
    if (this.#open) {
      this.#reserve(tensor, data.byteLength);
      const view = new DataView(this.#exports.memory.buffer);
      view.setInt32(tensor.head + TENSOR.ndim, shape.length, true);
      shape.forEach((n, k) => view.setBigInt64(tensor.sizes + 8 * k, BigInt(n), true));
    }
    new tensor.kind(this.#exports.memory.buffer, tensor.at, data.length).set(data);
  }

  /** The outputs that a call has allocated, where they lie in memory. */
  #taken() {
    const { buffer } = this.#exports.memory;
    const view = new DataView(buffer);
    let bytes = 0;
    const found = this.#outputs.map(({ name, shape: wanted, kind, head, sizes, code, bits }) => {
      const fail = (what) => this.#wrong(name, what);
      const type = [TENSOR.code, TENSOR.bits].map((at) => view.getUint8(head + at));
      if (type[0] !== code || type[1] !== bits) fail("another dtype");
      const rank = view.getInt32(head + TENSOR.ndim, true);
      if (rank < 0 || rank > MAX_RANK) fail(`rank ${rank}`);
      const shape = Array.from({ length: rank }, (_, k) =>
        Number(view.getBigInt64(sizes + 8 * k, true)),
      );
      const most = product(shape.map((n) => n || 1)); // sizes beside a 0 count too
      if (!shape.every(isAxis) || most > 2 ** 56) fail(`shape [${shape.join(", ")}]`);
      const [size, length] = [product(shape), (product(shape) * bits) / 8];
      const at = view.getUint32(head + TENSOR.data, true);
      if (!at || at % 8) fail(`data at ${at}, which is no block`);
      if (at + length > buffer.byteLength) fail(`${length} bytes outside memory`);
      bytes += length;
      const fits = (n, k) => !isSize(n) || n === shape[k];
      if (wanted && !(wanted.length === rank && wanted.every(fits)))
        fail(`shape [${shape.join(", ")}] instead of ${shapeText(wanted)}`);
      return { name, shape, size, kind, at };
    });
    if (bytes > buffer.byteLength)
      this.#wrong("outputs", `of ${bytes} bytes, more than memory has`);
    return found;
  }

  /** Free what #taken() found. */
  #free(outputs) {
    for (const { name, at } of outputs)
      if (this.#exports.ops_free(at)) this.#wrong(name, `data at ${at}, which is no block`);
  }

  /** The error for an output that ops_call should not have given. */
  #wrong(name, what) {
    throw new Error(`${this.#what}: ops_call gave ${name} ${what}`);
  }

  /** Refuse an output whose shape, as the module infers it, is not the manifest's. */
  #checkShape({ name, shape, head, sizes }) {
    const view = new DataView(this.#exports.memory.buffer);
    const rank = view.getInt32(head + TENSOR.ndim, true);
    const same = (n, k) => view.getBigInt64(sizes + 8 * k, true) === BigInt(n);
    if (rank !== shape.length || !shape.every(same))
      throw new Error(
        `${this.#what}: its manifest does not fit its signature: ${name} is not ` +
          `${shape.join("x") || "a scalar"}; build the module anew`,
      );
  }

  #checked(call) {
    if (call(this.#index, this.#arguments, this.#tensors().length))
      throw new Error(this.#text(this.#exports.ops_last_error() >>> 0));
  }

  #bytes(at, size) {
    const { buffer } = this.#exports.memory;
    if (at + size > buffer.byteLength)
      throw new RangeError(`${this.#what}: ops_alloc gave a block outside memory`);
    return new Uint8Array(buffer, at, size);
  }

  #alloc(size) {
    const at = this.#exports.ops_alloc(Math.max(size, 1)) >>> 0;
    if (!at) throw new RangeError(`no memory for ${size} bytes`);
    if (at % 8) throw new RangeError(`${this.#what}: ops_alloc gave a block at ${at}`);
    this.#bytes(at, size);
    return at;
  }

  #store(bytes) {
    const at = this.#alloc(bytes.length);
    this.#bytes(at, bytes.length).set(bytes);
    return at;
  }

  #text(at) {
    const bytes = new Uint8Array(this.#exports.memory.buffer).subarray(at);
    const end = bytes.indexOf(0);
    return new TextDecoder().decode(bytes.subarray(0, Math.max(end, 0)));
  }
}
