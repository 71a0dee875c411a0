// Tensors in files: a typed array for each dtype.
import { readFileSync } from "node:fs";
import { DTYPES } from "../../embed/js/tables.mjs";

// The elements that a file holds.
export function array({ dtype, file }) {
  const bytes = readFileSync(file);
  const data = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  return new (DTYPES.get(dtype).array)(data);
}

// A typed array's bytes.
export function bytes(data) {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
