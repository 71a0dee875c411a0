// The operators of a module, each a method: ops.softmax(x, { axis: -1 }).
import { bound } from "./bind.mjs";
import { given, listed, OpsError } from "./errors.mjs";
import { bytesOfTensor, Frame } from "./frame.mjs";
import { isAxis, product } from "./manifest.mjs";
import { Memory } from "./memory.mjs";
import { camelCase, plain } from "./names.mjs";
import { parseSignature } from "./signature.mjs";
import { DTYPES, MAX_RANK } from "./tables.mjs";

/** The operators of a module in an instance of its own. Calls come one after the other;
 *  memory grows to the largest of them, and is kept. */
export class Library {
  #memory;
  #frame;
  #what;
  #kernels = new Map(); // names, by plain names of operators, aliases and kernels
  #signatures = new Map(); // of kernels that were called

  /** Users call loadLibrary() or openLibrary(). */
  constructor(instance, module, manifest, what) {
    this.#memory = new Memory(instance.exports, what);
    this.#frame = new Frame(this.#memory);
    this.#what = what;
    this.manifest = manifest;
    // Not enumerable, so that a library prints as what its manifest says.
    Object.defineProperty(this, "module", { value: module });
    const { operators, aliases = {} } = manifest;
    for (const kernel of Object.values(operators).flat())
      this.#kernels.set(plain(kernel), [kernel]);
    for (const [operator, kernels] of Object.entries(operators)) this.#name(operator, kernels);
    for (const [alias, operator] of Object.entries(aliases))
      if (Object.hasOwn(operators, operator)) this.#name(alias, operators[operator]);
  }

  /** Find kernels by a name, and make it a method. */
  #name(name, kernels) {
    this.#kernels.set(plain(name), kernels);
    const method = camelCase(name);
    if (method in this) return; // call() has the operator
    const value = (...words) => this.call(name, ...words);
    Object.defineProperty(this, method, { value });
  }

  /** Target that the module was built for. */
  get target() {
    return this.manifest.target;
  }

  /** Names of the operators, sorted. */
  get operators() {
    return Object.keys(this.manifest.operators).sort();
  }

  /** Run an operator, by any of its names: a tensor { data, shape, dtype }, or a list of
   *  them for several outputs. words: its inputs, then an object with attributes. */
  call(operator, ...words) {
    const call = this.#bound(operator, words);
    const missing = call.inputs.findIndex((input) => input && input.data === undefined);
    if (missing >= 0)
      throw new OpsError("argument", `${operator}: input ${missing} has no data`);
    this.#frame.write(call);
    const outputs = this.#frame.infer();
    const results = this.#frame.run(outputs, targetsOf(call, outputs));
    return isList(call) ? results : results[0];
  }

  /** Shape and dtype of each output of a call, without running it. Of inputs their
   *  { shape, dtype } is enough. */
  infer(operator, ...words) {
    this.#frame.write(this.#bound(operator, words));
    return this.#frame.infer();
  }

  /** A tensor in the module's own memory: calls neither copy it, as an input, nor their
   *  result, where it is their option `out`. dispose() gives the memory back. */
  tensor(shape, dtype = "float32") {
    if (!DTYPES.has(dtype))
      throw new OpsError("dtype", `dtype ${dtype} is unknown; use ${listed(DTYPES.keys())}`);
    if (!Array.isArray(shape) || shape.length > MAX_RANK || !shape.every(isAxis))
      throw new OpsError("shape", `[${shape}] is no list of up to ${MAX_RANK} sizes`);
    this.#alive();
    const at = this.#memory.alloc(bytesOfTensor({ dtype, shape }));
    return new Resident(this.#memory, at, [...shape], dtype);
  }

  /** Give memory up; the library cannot be called any more. */
  dispose() {
    this.#memory = this.#frame = null;
  }

  [Symbol.dispose ?? Symbol.for("Symbol.dispose")]() {
    this.dispose();
  }

  #alive() {
    if (!this.#memory)
      throw new OpsError("argument", `${this.#what}: was disposed; load it again`);
  }

  #bound(operator, words) {
    this.#alive();
    const kernels = this.#kernels.get(plain(String(operator)));
    if (!kernels)
      throw new OpsError(
        "operator",
        `no operator ${JSON.stringify(operator)}; there are ${listed(this.operators)}`,
      );
    const signatures = kernels.map((kernel) => this.#signature(kernel));
    return bound(operator, signatures, words);
  }

  #signature(kernel) {
    const known = this.#signatures.get(kernel);
    if (known) return known;
    const index = this.#memory.find(kernel);
    const found = index < 0 ? null : parseSignature(this.#memory.signature(index), index);
    if (found?.name !== kernel)
      throw new OpsError(
        "module",
        `${this.#what}: its manifest does not fit its kernels: it has no ${kernel}; build ` +
          "the module anew",
      );
    this.#signatures.set(kernel, found);
    return found;
  }
}

function isList({ outputs, kernel }) {
  return outputs.length !== 1 || kernel.outputs.at(-1).variadic;
}

/** What the option `out` gives for each output; undefined for none. Errors: OpsError for
 *  a tensor that the result does not fit. */
function targetsOf(call, outputs) {
  const { kernel, out } = call;
  if (out === undefined) return outputs.map(() => undefined);
  const targets = isList(call) ? out : [out];
  outputs.forEach(({ dtype, shape }, i) => {
    const target = targets?.[i];
    const fits =
      target?.data instanceof DTYPES.get(dtype).array &&
      (target.dtype ?? dtype) === dtype &&
      `${target.shape}` === `${shape}` &&
      target.data.length === product(shape);
    if (!fits)
      throw new OpsError(
        "shape",
        `${kernel.name}: out is ${given(target?.data)} of shape [${target?.shape}]; the ` +
          `result is ${dtype} of shape [${shape}]`,
      );
  });
  return targets;
}

/** A tensor in a module's memory. data: a view of it, a new one after memory has grown. */
class Resident {
  #memory;
  #at;
  #view = null;

  constructor(memory, at, shape, dtype) {
    this.#memory = memory;
    this.#at = at;
    this.shape = shape;
    this.dtype = dtype;
  }

  get data() {
    if (!this.#memory)
      throw new OpsError("argument", "the tensor was disposed; make another");
    const { buffer } = this.#memory;
    if (this.#view?.buffer !== buffer) {
      const { array } = DTYPES.get(this.dtype);
      this.#view = new array(buffer, this.#at, product(this.shape));
    }
    return this.#view;
  }

  /** Give the memory back. */
  dispose() {
    this.#memory?.free(this.#at);
    this.#memory = this.#view = null;
  }

  [Symbol.dispose ?? Symbol.for("Symbol.dispose")]() {
    this.dispose();
  }
}
