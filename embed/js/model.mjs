// A compiled model: run() and runInto().
import { OpsError } from "./errors.mjs";
import { isAxis, isKnown, isSize, product, shapeText } from "./manifest.mjs";
import { Memory, readShape, writeShape, writeTensor } from "./memory.mjs";
import { bindSizes, dataOf, shapeOf, wrongOutput } from "./shapes.mjs";
import { ABI_VERSION_OPEN, ARGUMENT, DTYPES, MAX_RANK, TENSOR } from "./tables.mjs";

/** Room for tensors described in a manifest. */
function described(tensor) {
  const { code, bits, array: kind } = DTYPES.get(tensor.dtype);
  const size = tensor.shape && isKnown(tensor.shape) ? product(tensor.shape) : NaN;
  return { ...tensor, code, bits, kind, size, at: 0, room: 0, elements: null };
}

/** Whether so many elements can be written into what is given: all of an array, or the
 *  first of { data, shape }, whose shape will say how many. */
function holds(target, size) {
  const { length } = dataOf(target);
  return dataOf(target) === target ? length === size : length >= size;
}

/** A model in an instance of its own. Calls come one after the other. */
export class Model {
  #memory;
  #what;
  #weights;
  #index;
  #arguments;
  #inputs;
  #kept;
  #outputs;
  #names; // of the inputs
  #open; // the module allocates the outputs
  #result; // makes what run() gives for an output
  #ready = false;

  /** weights: their bytes, or null. Users call loadModel() or openModel(). */
  constructor(instance, module, manifest, weights, what, result = (tensor) => tensor) {
    this.manifest = manifest;
    // Not enumerable, so that a model prints as what its manifest says.
    Object.defineProperty(this, "module", { value: module });
    this.#open = manifest.abi_version === ABI_VERSION_OPEN;
    this.#memory = new Memory(instance.exports, what);
    this.#what = what;
    this.#weights = weights;
    this.#result = result;
    this.#inputs = manifest.inputs.map(described);
    this.#outputs = manifest.outputs.map(described);
    this.#names = new Set(this.#inputs.map((t) => t.name));
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

  /** Outputs by name, { data, shape, dtype } each, for inputs by name: typed arrays, or
   *  { data, shape } where lengths leave shapes open. */
  run(inputs = {}) {
    const results = this.#call(inputs);
    const { buffer } = this.#memory;
    try {
      // A name of __proto__ is an entry too.
      return Object.fromEntries(
        results.map(({ name, shape, size, kind, at, dtype }) => [
          name,
          this.#result({ data: new kind(buffer, at, size).slice(), shape, dtype }),
        ]),
      );
    } finally {
      if (this.#open) this.#free(results);
    }
  }

  /** Run, and write outputs into what is given for them by name: typed arrays, or
   *  { data, shape }, whose shape is set, and whose data may be longer. Nothing is
   *  allocated for elements. */
  runInto(inputs, outputs) {
    this.#checkOutputs(outputs);
    const results = this.#call(inputs);
    try {
      for (let i = 0; i < results.length; ++i) {
        const target = outputs[results[i].name];
        if (target !== undefined) this.#copy(results[i], target);
      }
    } finally {
      if (this.#open) this.#free(results);
    }
    return outputs;
  }

  /** The memory of an input or output of a known size, until the next call that makes
   *  memory grow: written in place, an input is not copied. */
  view(name) {
    const found = [...this.#inputs, ...this.#outputs].find((t) => t.name === name);
    if (!found || Number.isNaN(found.size) || (this.#open && this.#outputs.includes(found)))
      throw new OpsError(
        "argument",
        `${name} is no input or output of a known size; there are ` +
          [...this.inputs, ...this.outputs].map((t) => t.name).join(", "),
      );
    this.#prepare();
    if (this.#open) this.#reserve(found, (found.size * found.bits) / 8);
    return this.#elements(found);
  }

  /** Another instance of the same module, with the same weights. */
  async clone() {
    this.#alive();
    const instance = await WebAssembly.instantiate(this.module);
    const [kept] = this.#kept;
    const weights = this.#weights ?? (kept ? this.#elements(kept).slice() : null);
    const { module, manifest } = this;
    return new Model(instance, module, manifest, weights, this.#what, this.#result);
  }

  /** Give memory up; the model cannot be called any more. */
  dispose() {
    this.#memory = this.#weights = null;
    for (const tensor of [...this.#inputs, ...this.#outputs]) tensor.elements = null;
  }

  [Symbol.dispose ?? Symbol.for("Symbol.dispose")]() {
    this.dispose();
  }

  #alive() {
    if (!this.#memory)
      throw new OpsError("argument", `${this.#what}: was disposed; load it again`);
  }

  /** Make a call; its outputs, where they lie in memory. */
  #call(inputs) {
    if (typeof inputs !== "object" || inputs === null)
      throw new OpsError(
        "argument",
        `give an object with an array for each input: ${this.#known()}`,
      );
    for (const name of Object.keys(inputs))
      if (!this.#names.has(name))
        throw new OpsError("argument", `input ${name} is unknown; use ${this.#known()}`);
    const shapes = this.#isPlain(inputs) ? null : this.#shapes(inputs);
    this.#prepare();
    if (this.#open) this.#point(this.#outputs, 0);
    for (const tensor of this.#inputs) {
      const shape = shapes?.get(tensor.name) ?? tensor.shape;
      this.#write(tensor, dataOf(inputs[tensor.name]), shape);
    }
    this.#checked("ops_call");
    return this.#open ? this.#taken() : this.#outputs;
  }

  /** Whether each input is a typed array of the one length that it can have. */
  #isPlain(inputs) {
    for (const { name, kind, size } of this.#inputs) {
      const data = Object.hasOwn(inputs, name) ? inputs[name] : undefined;
      if (!(data instanceof kind && data.length === size && !data.shape)) return false;
    }
    return true;
  }

  /** Shapes of the inputs by name. Errors: OpsError. */
  #shapes(inputs) {
    const bounds = new Map(Object.entries(this.sizes));
    const [bound, shapes] = [new Map(), new Map()];
    const value = ({ name }) => (Object.hasOwn(inputs, name) ? inputs[name] : undefined);
    const rank = (tensor) => (value(tensor)?.shape ? 0 : 1); // what has a shape is first
    for (const tensor of [...this.#inputs].sort((a, b) => rank(a) - rank(b))) {
      const found = value(tensor);
      const shape = shapeOf(tensor, found, bound);
      bindSizes(tensor, shape, bounds, bound);
      shapes.set(tensor.name, shape);
    }
    return shapes;
  }

  #known() {
    return [...this.#names].join(", ") || "none (it takes none)";
  }

  /** Put arguments, weights and room for tensors into the module's memory. */
  #prepare() {
    this.#alive();
    if (this.#ready) return;
    this.#index = this.#memory.find(this.manifest.model);
    if (this.#index < 0)
      throw new OpsError("module", `${this.#what}: has no operator ${this.manifest.model}`);
    const tensors = this.#tensors();
    this.#arguments = this.#memory.alloc(ARGUMENT.size * tensors.length);
    tensors.forEach((tensor, i) => this.#head(tensor, i));
    if (!this.#open) {
      this.#checked("ops_infer");
      this.#outputs.forEach((tensor) => this.#checkShape(tensor));
    }
    for (const tensor of this.#open ? this.#kept : tensors)
      this.#reserve(tensor, (tensor.size * tensor.bits) / 8);
    for (const kept of this.#kept) this.#elements(kept).set(this.#weights);
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
    tensor.sizes = this.#memory.alloc(8 * MAX_RANK);
    tensor.head = this.#memory.alloc(TENSOR.size);
    const { view } = this.#memory;
    writeShape(view, tensor.sizes, shape);
    const form = { data: 0, rank: shape.length, code, bits, shape: tensor.sizes };
    writeTensor(view, tensor.head, this.#arguments + ARGUMENT.size * index, form);
  }

  /** Give a tensor room for its elements, and keep it for later calls. */
  #reserve(tensor, bytes) {
    if (tensor.at && bytes <= tensor.room) return;
    if (tensor.at) this.#memory.free(tensor.at);
    tensor.at = 0;
    tensor.at = this.#memory.alloc(bytes);
    tensor.room = bytes;
    this.#point([tensor], tensor.at);
  }

  /** Set the data of tensors. */
  #point(tensors, at) {
    for (const { head } of tensors) this.#memory.view.setUint32(head + TENSOR.data, at, true);
  }

  /** The elements of a tensor whose size is known, in memory. */
  #elements(tensor) {
    const { buffer } = this.#memory;
    const { elements, kind, at, size } = tensor;
    if (elements?.buffer === buffer && elements.byteOffset === at) return elements;
    return (tensor.elements = new kind(buffer, at, size));
  }

  /** Put an input into memory, where it is not there already. */
  #write(tensor, data, shape) {
    const { kind, head, sizes } = tensor;
    if (this.#open) {
      this.#reserve(tensor, data.byteLength);
      const { view } = this.#memory;
      view.setInt32(head + TENSOR.ndim, shape.length, true);
      writeShape(view, sizes, shape);
    }
    const { buffer } = this.#memory;
    if (data.buffer === buffer && data.byteOffset === tensor.at) return;
    const fixed = data.length === tensor.size;
    (fixed ? this.#elements(tensor) : new kind(buffer, tensor.at, data.length)).set(data);
  }

  /** Refuse outputs to write into that are none, or that cannot hold theirs. */
  #checkOutputs(outputs) {
    if (typeof outputs !== "object" || outputs === null)
      throw new OpsError("argument", "runInto: give an object with an array for each output");
    for (const name of Object.keys(outputs)) {
      const tensor = this.#outputs.find((t) => t.name === name);
      if (!tensor)
        throw new OpsError(
          "argument",
          `output ${name} is unknown; use ${this.#outputs.map((t) => t.name).join(", ")}`,
        );
      const target = outputs[name];
      const isKind = dataOf(target) instanceof tensor.kind;
      if (!isKind || (!this.#open && !holds(target, tensor.size)))
        throw wrongOutput(tensor, dataOf(target));
    }
  }

  #copy(result, target) {
    const { kind, at, size, shape } = result;
    const data = dataOf(target);
    if (!holds(target, size)) throw wrongOutput(result, data);
    const source = this.#open ? new kind(this.#memory.buffer, at, size) : this.#elements(result);
    if (data.buffer !== source.buffer || data.byteOffset !== at) data.set(source);
    if (data !== target) target.shape = shape;
  }

  /** The outputs that a call has allocated, where they lie in memory. */
  #taken() {
    const { buffer, view } = this.#memory;
    let bytes = 0;
    const found = this.#outputs.map((tensor) => {
      const { name, shape: wanted, head, sizes, code, bits } = tensor;
      const fail = (what) => this.#wrong(name, what);
      const type = [TENSOR.code, TENSOR.bits].map((at) => view.getUint8(head + at));
      if (type[0] !== code || type[1] !== bits) fail("another dtype");
      const shape = readShape(view, head, sizes);
      if (!shape) fail(`rank ${view.getInt32(head + TENSOR.ndim, true)}`);
      const most = product(shape.map((n) => n || 1)); // sizes beside a 0 count too
      if (!shape.every(isAxis) || most > 2 ** 56) fail(`shape [${shape.join(", ")}]`);
      const [size, length] = [product(shape), (product(shape) * bits) / 8];
      const at = view.getUint32(head + TENSOR.data, true);
      if (!at || at % 8) fail(`data at ${at}, which is no block`);
      if (at + length > buffer.byteLength) fail(`${length} bytes outside memory`);
      bytes += length;
      const fits = (n, k) => !isSize(n) || n === shape[k];
      if (wanted && !(wanted.length === shape.length && wanted.every(fits)))
        fail(`shape [${shape.join(", ")}] instead of ${shapeText(wanted)}`);
      return { ...tensor, shape, size, at };
    });
    if (bytes > buffer.byteLength)
      this.#wrong("outputs", `of ${bytes} bytes, more than memory has`);
    return found;
  }

  /** Free what #taken() found. */
  #free(outputs) {
    for (const { name, at } of outputs)
      if (!this.#memory.free(at)) this.#wrong(name, `data at ${at}, which is no block`);
  }

  /** The error for an output that ops_call should not have given. */
  #wrong(name, what) {
    throw new OpsError("module", `${this.#what}: ops_call gave ${name} ${what}`);
  }

  /** Refuse an output whose shape, as the module infers it, is not the manifest's. */
  #checkShape({ name, shape, head, sizes }) {
    const found = readShape(this.#memory.view, head, sizes);
    if (found?.length !== shape.length || !shape.every((n, k) => n === found[k]))
      throw new OpsError(
        "module",
        `${this.#what}: its manifest does not fit its signature: ${name} is not ` +
          `${shape.join("x") || "a scalar"}; build the module anew`,
      );
  }

  #checked(name) {
    const { length: count } = this.manifest.inputs;
    const all = count + this.#kept.length + this.#outputs.length;
    this.#memory.checked(name, this.#index, this.#arguments, all);
  }
}
