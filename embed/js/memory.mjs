// The memory and the functions of an instance. What a module answers is checked before
// it is used as an address: the file may be anybody's.
import { OpsError } from "./errors.mjs";
import { ARGUMENT, ERRORS, KINDS, MAX_RANK, MEMORY, TENSOR } from "./tables.mjs";
import { decode, encode } from "./text.mjs";

const HEAP = new WeakMap(); // a DataView of each buffer

/** Write a compact DLTensor at `head`, and the argument that names it. */
export function writeTensor(view, head, argument, { data, rank, code, bits, shape }) {
  view.setUint32(head + TENSOR.data, data, true);
  view.setUint32(head + TENSOR.device_type, 1, true); // the CPU
  view.setUint32(head + TENSOR.device_id, 0, true);
  view.setUint32(head + TENSOR.ndim, rank, true);
  view.setUint8(head + TENSOR.code, code);
  view.setUint8(head + TENSOR.bits, bits);
  view.setUint16(head + TENSOR.lanes, 1, true);
  view.setUint32(head + TENSOR.shape, shape, true);
  view.setUint32(head + TENSOR.strides, 0, true); // rows are compact
  write64(view, head + TENSOR.byte_offset, 0);
  view.setInt32(argument + ARGUMENT.type_index, KINDS.tensor, true);
  view.setUint32(argument + ARGUMENT.zero_padding, 0, true);
  write64(view, argument + ARGUMENT.v_int64, head);
}

/** Write an integer of 0 or more in 64 bits; setBigInt64 is slower. */
function write64(view, at, value) {
  view.setUint32(at, value % 2 ** 32, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}

/** Write the sizes of a shape. */
export function writeShape(view, at, shape) {
  for (let k = 0; k < shape.length; ++k) write64(view, at + 8 * k, shape[k]);
}

/** The shape that a DLTensor at `head` has, its sizes at `sizes`; null for a rank that
 *  none has. */
export function readShape(view, head, sizes) {
  const rank = view.getInt32(head + TENSOR.ndim, true);
  if (rank < 0 || rank > MAX_RANK) return null;
  const shape = [];
  for (let at = sizes; at < sizes + 8 * rank; at += 8)
    shape.push(view.getInt32(at + 4, true) * 2 ** 32 + view.getUint32(at, true));
  return shape;
}

/** An instance's memory and functions. what: how messages call the module. */
export class Memory {
  #exports;

  constructor(exports, what) {
    this.#exports = exports;
    this.what = what;
  }

  /** The bytes of memory; other ones after it has grown. */
  get buffer() {
    return this.#exports.memory.buffer;
  }

  get view() {
    const { buffer } = this;
    let view = HEAP.get(buffer);
    if (!view) HEAP.set(buffer, (view = new DataView(buffer)));
    return view;
  }

  /** Call a function of the module that returns a code. Errors: OpsError with its text. */
  checked(name, index, args, count) {
    const code = this.#ask(name, index, args, count);
    if (code) throw new OpsError(ERRORS[code] ?? "module", this.text(this.#ask("ops_last_error")));
  }

  /** A block of so many bytes, aligned. */
  alloc(size) {
    // A size of more than 32 bits would lose those above them.
    const at = size < MEMORY ? this.#ask("ops_alloc", Math.max(size, 1)) >>> 0 : 0;
    if (!at) throw new OpsError("memory", `no memory for ${size} bytes`);
    if (at % 8) throw new OpsError("module", `${this.what}: ops_alloc gave a block at ${at}`);
    this.bytes(at, size);
    return at;
  }

  /** Give a block back; whether it was one. */
  free(at) {
    return !this.#ask("ops_free", at);
  }

  /** Index of an operator; -1 where there is none. */
  find(name) {
    const at = this.store(encode(name));
    try {
      return this.#ask("ops_find", at);
    } finally {
      this.free(at);
    }
  }

  signature(index) {
    return this.text(this.#ask("ops_signature", index));
  }

  bytes(at, size) {
    const { buffer } = this;
    if (at + size > buffer.byteLength)
      throw new OpsError("module", `${this.what}: ops_alloc gave a block outside memory`);
    return new Uint8Array(buffer, at, size);
  }

  store(bytes) {
    const at = this.alloc(bytes.length);
    this.bytes(at, bytes.length).set(bytes);
    return at;
  }

  /** The text at an address, up to a 0. */
  text(at) {
    const bytes = new Uint8Array(this.buffer).subarray(at >>> 0);
    return decode(bytes.subarray(0, Math.max(bytes.indexOf(0), 0)));
  }

  #ask(name, ...values) {
    try {
      return this.#exports[name](...values);
    } catch (error) {
      throw new OpsError("module", `${this.what}: ${name} failed: ${error.message}`, {
        cause: error,
      });
    }
  }
}
