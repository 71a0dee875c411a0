// A call in a module's memory: arguments, descriptors, inputs and results.
import { OpsError } from "./errors.mjs";
import { isAxis, product } from "./manifest.mjs";
import { readShape, writeShape, writeTensor } from "./memory.mjs";
import { ALIGNMENT, ARGUMENT, DTYPES, KINDS, MAX_RANK, TENSOR } from "./tables.mjs";

const DESCRIPTOR = TENSOR.size + 8 * MAX_RANK; // a DLTensor and room for its sizes

/** Bytes that a tensor takes in memory; an empty one has an address too. */
function room(tensor) {
  return Math.ceil(Math.max(bytesOfTensor(tensor), 1) / ALIGNMENT) * ALIGNMENT;
}

/** Bytes of a tensor's elements. */
export function bytesOfTensor({ dtype, shape }) {
  return (product(shape) * DTYPES.get(dtype).bits) / 8;
}

/** Two blocks of memory that each call uses again: one of arguments, descriptors and
 *  inputs, one of results. They grow to the largest call. */
export class Frame {
  #memory;
  #arguments = { at: 0, room: 0 };
  #results = { at: 0, room: 0 };
  #call = null; // that was written last
  #heads = 0; // where its descriptors begin

  constructor(memory) {
    this.#memory = memory;
  }

  /** Write a call; what bind.mjs made of it. Inputs that lie in memory stay there. */
  write(call) {
    const { inputs, outputs, attributes } = call;
    const count = inputs.length + outputs.length;
    const heads = ARGUMENT.size * (count + attributes.length);
    let end = Math.ceil((heads + DESCRIPTOR * count) / ALIGNMENT) * ALIGNMENT;
    const places = inputs.map((input) => {
      if (!input || this.#holds(input.data)) return input?.data.byteOffset;
      const start = end;
      end += room(input);
      return start;
    });
    const copied = inputs.map((input) => input && !this.#holds(input.data));
    this.#reserve(this.#arguments, end);
    [this.#call, this.#heads] = [call, this.#arguments.at + heads];
    inputs.forEach((input, i) => {
      if (!input) return this.#clear(i);
      const at = places[i] + (copied[i] ? this.#arguments.at : 0);
      this.#writeHead(i, input, at);
      if (copied[i] && input.data) this.#elements(input, at).set(input.data);
    });
    outputs.forEach(({ dtype }, i) => this.#writeHead(inputs.length + i, { dtype, shape: [] }, 0));
    attributes.forEach((attribute, i) => this.#writeAttribute(count + i, attribute));
  }

  /** Shape and dtype of each output of the call that was written. */
  infer() {
    this.#ask("ops_infer");
    return this.#outputs();
  }

  /** Run the call that was written. outputs: of infer(). targets: for each a tensor to
   *  write into, or undefined. */
  run(outputs, targets) {
    let end = 0;
    const starts = outputs.map((output, i) => {
      if (this.#holds(targets[i]?.data)) return undefined;
      const start = end;
      end += room(output);
      return start;
    });
    const theirs = targets.map((target) => target?.data.byteOffset);
    this.#reserve(this.#results, end);
    const places = starts.map((start, i) =>
      start === undefined ? theirs[i] : this.#results.at + start,
    );
    places.forEach((at, i) => {
      const head = this.#headAt(this.#call.inputs.length + i);
      this.#memory.view.setUint32(head + TENSOR.data, at, true);
    });
    this.#ask("ops_call");
    return this.#outputs().map((output, i) => this.#result(output, places[i], targets[i]));
  }

  #holds(data) {
    return data !== undefined && data.length > 0 && data.buffer === this.#memory.buffer;
  }

  /** Make a block hold so many bytes; its content is lost where it grows. */
  #reserve(block, bytes) {
    if (bytes <= block.room) return;
    if (block.at) this.#memory.free(block.at);
    Object.assign(block, { at: 0, room: 0 });
    block.at = this.#memory.alloc(bytes);
    block.room = bytes;
  }

  #headAt(i) {
    return this.#heads + DESCRIPTOR * i;
  }

  #argumentAt(i) {
    return this.#arguments.at + ARGUMENT.size * i;
  }

  #elements({ dtype, shape }, at) {
    return new (DTYPES.get(dtype).array)(this.#memory.buffer, at, product(shape));
  }

  #writeHead(i, { dtype, shape }, data) {
    const { view } = this.#memory;
    const head = this.#headAt(i);
    const sizes = head + TENSOR.size;
    writeShape(view, sizes, shape);
    const form = { ...DTYPES.get(dtype), data, rank: shape.length, shape: sizes };
    writeTensor(view, head, this.#argumentAt(i), form);
  }

  #clear(i) {
    this.#memory.bytes(this.#argumentAt(i), ARGUMENT.size).fill(0);
  }

  #writeAttribute(i, attribute) {
    this.#clear(i);
    if (attribute === null) return;
    const { view } = this.#memory;
    const { kind, value } = attribute;
    const at = this.#argumentAt(i);
    view.setInt32(at + ARGUMENT.type_index, KINDS[kind], true);
    if (kind === "float") view.setFloat64(at + ARGUMENT.v_int64, Number(value), true);
    else view.setBigInt64(at + ARGUMENT.v_int64, BigInt(value), true);
  }

  #ask(name) {
    const { kernel, inputs, outputs, attributes } = this.#call;
    const count = inputs.length + outputs.length + attributes.length;
    this.#memory.checked(name, kernel.index, this.#arguments.at, count);
  }

  #outputs() {
    const { inputs, outputs } = this.#call;
    return outputs.map(({ dtype }, i) => {
      const head = this.#headAt(inputs.length + i);
      const shape = readShape(this.#memory.view, head, head + TENSOR.size);
      if (!shape?.every(isAxis))
        throw new OpsError("module", `${this.#memory.what}: gave an output of shape [${shape}]`);
      return { shape, dtype };
    });
  }

  #result(output, at, target) {
    const elements = this.#elements(output, at);
    if (!target) return { data: elements.slice(), ...output };
    if (!this.#holds(target.data)) target.data.set(elements);
    return target;
  }
}
