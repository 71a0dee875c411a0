// Tensors in files: a typed array for each dtype.
import { readFileSync } from "node:fs";

const ARRAYS = {
  float32: Float32Array,
  int32: Int32Array,
  int64: BigInt64Array,
  int8: Int8Array,
  uint8: Uint8Array,
};

// The elements that a file holds.
export function array({ dtype, file }) {
  const bytes = readFileSync(file);
  const data = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  return new ARRAYS[dtype](data);
}

// A typed array's bytes.
export function bytes(data) {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
