// operators.mjs: operators from JavaScript, by the ABI of ops_wasm32.h alone.
//
//   const library = await load("build/simd128/ops_wasm32.wasm");
//   const { data, shape } = library.call("add_float32", [a, b]);
//
// A tensor is { data: a typed array, shape: [sizes] }. This is a host to learn from, as
// docs/abi.md explains the bytes; the npm package checks more, and knows models.

const KINDS = { none: 0, int: 1, float: 3, tensor: 7 };
// DLPack's code, bits, and the typed array, by dtype.
const DTYPES = {
  float32: [2, 32, Float32Array],
  int32: [0, 32, Int32Array],
  int8: [0, 8, Int8Array],
  uint8: [1, 8, Uint8Array],
  int64: [0, 64, BigInt64Array],
  bool: [6, 8, Uint8Array],
};
const MAX_RANK = 8;

/** A module of operators: a path or URL in Node, a URL in a browser. */
export async function load(source) {
  const inNode = globalThis.process?.versions?.node && !/^https?:/.test(source);
  const bytes = inNode
    ? await (await import("node:fs/promises")).readFile(source)
    : await (await fetch(source)).arrayBuffer();
  return new Library((await WebAssembly.instantiate(bytes)).instance.exports);
}

class Library {
  constructor(wasm) {
    this.wasm = wasm;
  }

  /** The output of an operator such as "softmax_float32"; it must have one.
   *  inputs: tensors, null where an optional one is absent. attributes: numbers by
   *  name, or lists of them; a number that is left out has its default. */
  call(operator, inputs, attributes = {}) {
    checkInputs(operator, inputs);
    const blocks = [];
    const alloc = (bytes) => this.#alloc(bytes, blocks);
    try {
      const index = this.wasm.ops_find(this.#store(operator, alloc));
      if (index < 0) throw new Error(`no ${operator}; there are ${this.#names()}`);
      const signature = this.#text(this.wasm.ops_signature(index));
      const dtype = signature.match(/-> \(\w+: (\w+)\)/)?.[1];
      if (!dtype) throw new Error(`${operator}: more than one output: ${signature}`);
      const heads = inputs.map((tensor) => tensor && this.#head(tensor, alloc));
      const out = this.#head({ data: null, shape: [] }, alloc);
      const values = [
        ...heads.map((head) => (head === null ? ["none"] : ["tensor", head])),
        ["tensor", out],
        ...attributesOf(signature, attributes),
      ];
      const args = this.#arguments(values, alloc);
      this.#check(this.wasm.ops_infer(index, args, values.length));
      const [code, bits, Kind] = DTYPES[dtype];
      const shape = this.#shape(out);
      const size = shape.reduce((a, b) => a * b, 1);
      const at = alloc((size * bits) / 8);
      this.#view().setUint32(out, at, true);
      this.#check(this.wasm.ops_call(index, args, values.length));
      return { data: new Kind(this.wasm.memory.buffer, at, size).slice(), shape };
    } finally {
      blocks.forEach((block) => this.wasm.ops_free(block));
    }
  }

  #view() {
    return new DataView(this.wasm.memory.buffer); // anew: memory may have grown
  }

  #alloc(bytes, blocks) {
    const at = this.wasm.ops_alloc(Math.max(bytes, 1)) >>> 0;
    if (!at) throw new RangeError(`no memory for ${bytes} bytes`);
    blocks.push(at);
    return at;
  }

  #store(text, alloc) {
    const bytes = new TextEncoder().encode(`${text}\0`);
    const at = alloc(bytes.length);
    new Uint8Array(this.wasm.memory.buffer).set(bytes, at);
    return at;
  }

  /** A DLTensor of 40 bytes, its shape and its data. */
  #head({ data, shape }, alloc) {
    const [head, sizes] = [alloc(40), alloc(8 * MAX_RANK)];
    const at = data ? alloc(data.byteLength) : 0;
    const same = ([, , kind]) => data instanceof kind;
    const [code, bits] = data ? Object.values(DTYPES).find(same) : [0, 0];
    if (data) {
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      new Uint8Array(this.wasm.memory.buffer).set(bytes, at);
    }
    const view = this.#view();
    shape.forEach((n, k) => view.setBigInt64(sizes + 8 * k, BigInt(n), true));
    view.setUint32(head, at, true);
    view.setInt32(head + 4, 1, true); // device type: the CPU
    view.setInt32(head + 8, 0, true); // device id
    view.setInt32(head + 12, shape.length, true);
    view.setUint8(head + 16, code);
    view.setUint8(head + 17, bits);
    view.setUint16(head + 18, 1, true); // lanes
    view.setUint32(head + 20, sizes, true);
    view.setUint32(head + 24, 0, true); // strides: compact rows
    view.setBigUint64(head + 32, 0n, true); // byte offset
    return head;
  }

  #shape(head) {
    const view = this.#view();
    const sizes = view.getUint32(head + 20, true);
    const axes = [...Array(view.getInt32(head + 12, true)).keys()];
    return axes.map((k) => Number(view.getBigInt64(sizes + 8 * k, true)));
  }

  /** An array of TVMFFIAny: 4 bytes of kind, 4 of zero, 8 of value. */
  #arguments(values, alloc) {
    const at = alloc(16 * values.length);
    const view = this.#view();
    values.forEach(([kind, value = 0], i) => {
      view.setInt32(at + 16 * i, KINDS[kind], true);
      view.setInt32(at + 16 * i + 4, 0, true);
      if (kind === "float") view.setFloat64(at + 16 * i + 8, value, true);
      else view.setBigInt64(at + 16 * i + 8, BigInt(value), true);
    });
    return at;
  }

  #names() {
    const indices = [...Array(this.wasm.ops_count()).keys()];
    return indices.map((i) => this.#text(this.wasm.ops_name(i))).join(", ");
  }

  #check(code) {
    if (code) throw new Error(this.#text(this.wasm.ops_last_error()));
  }

  #text(at) {
    const bytes = new Uint8Array(this.wasm.memory.buffer, at >>> 0);
    return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
  }
}

/** TypeError where inputs are not what `call` takes. */
function checkInputs(operator, inputs) {
  if (!Array.isArray(inputs))
    throw new TypeError(`${operator}: give a list of tensors, as in [x]`);
  inputs.forEach((tensor, i) => {
    if (tensor === null) return;
    const what = `${operator}: input ${i}`;
    const { data, shape } = tensor ?? {};
    if (!Object.values(DTYPES).some(([, , kind]) => data instanceof kind)) {
      const names = new Set(Object.values(DTYPES).map(([, , kind]) => kind.name));
      throw new TypeError(`${what}: its data must be ${[...names].join(", ")}`);
    }
    if (!Array.isArray(shape))
      throw new TypeError(`${what}: lacks its shape, as in shape: [${data.length}]`);
    if (shape.length > MAX_RANK || shape.reduce((a, b) => a * b, 1) !== data.length)
      throw new TypeError(
        `${what}: shape [${shape}] does not hold ${data.length} elements, or has ` +
          `more than ${MAX_RANK} axes`,
      );
  });
}

/** Kinds and values of attributes, in the order of a signature. */
function attributesOf(signature, given) {
  const words = signature.split("; ").slice(1);
  const known = words.map((word) => word.match(/^(\w+): (int|float)(\[)?/));
  const names = known.map(([, name]) => name);
  for (const name of Object.keys(given))
    if (!names.includes(name))
      throw new TypeError(
        `attribute ${name} is unknown; use ${names.join(", ") || "none"}`,
      );
  return known.flatMap(([, name, kind, list]) => {
    if (list && !(name in given)) throw new TypeError(`give a list for ${name}`);
    const values = [given[name]].flat();
    return values.map((value) => (value === undefined ? ["none"] : [kind, value]));
  });
}
