// The calls of values.py in V8: node values.mjs MODULE CASES INPUTS OUTPUTS.
import { readFileSync, writeFileSync } from "node:fs";
import { writeTensor } from "../../embed/js/memory.mjs";
import { ARGUMENT, TENSOR } from "../../embed/js/tables.mjs";

const SHAPE = 64; // bytes of 8 sizes
const [module, cases, inputs, outputs] = process.argv.slice(2);
const { instance } = await WebAssembly.instantiate(readFileSync(module));
const { memory, ops_alloc, ops_free, ops_call } = instance.exports;
const data = readFileSync(inputs);

/** A block of the module's memory. */
function allocate(size, blocks) {
  const at = ops_alloc(Math.max(size, 1)) >>> 0;
  if (!at) throw new Error(`no memory for ${size} bytes`);
  blocks.push(at);
  return at;
}

/** Write a tensor's descriptor and its argument; where its elements are. */
function place(tensor, argument, blocks) {
  const at = allocate(tensor.bytes, blocks);
  const head = allocate(TENSOR.size, blocks);
  const shape = allocate(SHAPE, blocks);
  const view = new DataView(memory.buffer);
  tensor.shape.forEach((n, k) => view.setBigInt64(shape + 8 * k, BigInt(n), true));
  const form = { ...tensor, data: at, rank: tensor.shape.length, shape };
  writeTensor(view, head, argument, form);
  return at;
}

const results = [];
for (const { index, inputs, outputs, attributes } of JSON.parse(readFileSync(cases))) {
  const blocks = [];
  const count = inputs.length + outputs.length + attributes.length;
  const args = allocate(ARGUMENT.size * count, blocks);
  new Uint8Array(memory.buffer, args, ARGUMENT.size * count).fill(0);
  inputs.forEach((tensor, i) => {
    if (!tensor) return;
    const at = place(tensor, args + ARGUMENT.size * i, blocks);
    const elements = data.subarray(tensor.at, tensor.at + tensor.bytes);
    new Uint8Array(memory.buffer).set(elements, at);
  });
  const places = outputs.map((tensor, i) =>
    place(tensor, args + ARGUMENT.size * (inputs.length + i), blocks),
  );
  attributes.forEach((hex, i) => {
    const at = args + ARGUMENT.size * (inputs.length + outputs.length + i);
    new Uint8Array(memory.buffer).set(Buffer.from(hex, "hex"), at);
  });
  results.push(Uint8Array.of(ops_call(index, args, count)));
  outputs.forEach(({ bytes }, i) =>
    results.push(new Uint8Array(memory.buffer).slice(places[i], places[i] + bytes)),
  );
  for (const block of blocks.reverse()) ops_free(block);
}
writeFileSync(outputs, Buffer.concat(results));
