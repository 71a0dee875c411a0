// Calls of operators by their methods: node npm_calls.mjs PACKAGE CASES INPUTS OUTPUTS.
// Prints the shapes and dtypes of all results; their elements go into OUTPUTS.
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [folder, cases, inputs, outputs] = process.argv.slice(2);
const { loadLibrary } = await import(pathToFileURL(`${folder}/ops_wasm32.mjs`));
const ops = await loadLibrary({ target: "simd128" });
const bytes = readFileSync(inputs);
const arrays = {
  float32: Float32Array,
  int32: Int32Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int64: BigInt64Array,
  bool: Uint8Array,
};
const numbers = { inf: Infinity, "-inf": -Infinity };

function tensor(described) {
  if (!described) return null;
  const { dtype, shape, at, size } = described;
  const data = new arrays[dtype](new Uint8Array(bytes.subarray(at, at + size)).buffer);
  return { data, shape, dtype };
}

const found = [];
const parts = [];
for (const { method, operator, words, attributes } of JSON.parse(readFileSync(cases))) {
  const given = words.map((word) => (Array.isArray(word) ? word.map(tensor) : tensor(word)));
  for (const [name, value] of Object.entries(attributes))
    if (value in numbers) attributes[name] = numbers[value];
  const described = ops.infer(operator, ...given, attributes);
  const result = ops[method](...given, attributes);
  const results = Array.isArray(result) ? result : [result];
  for (const { data } of results) parts.push(Buffer.from(data.buffer, data.byteOffset, data.byteLength));
  found.push({ results: results.map(({ shape, dtype }) => ({ shape, dtype })), described });
}
writeFileSync(outputs, Buffer.concat(parts));
console.log(JSON.stringify(found));
