// The calls of values.py in V8: node values.mjs MODULE CASES INPUTS OUTPUTS.
import { readFileSync, writeFileSync } from "node:fs";

const [ANY, TENSOR, SHAPE, TENSOR_KIND] = [16, 40, 64, 7];
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
  const head = allocate(TENSOR, blocks);
  const sizes = allocate(SHAPE, blocks);
  new Uint8Array(memory.buffer, head, TENSOR).fill(0);
  const view = new DataView(memory.buffer);
  view.setUint32(head, at, true);
  view.setUint32(head + 4, 1, true); // the CPU
  view.setUint32(head + 12, tensor.shape.length, true);
  view.setUint8(head + 16, tensor.code);
  view.setUint8(head + 17, tensor.bits);
  view.setUint16(head + 18, 1, true);
  view.setUint32(head + 20, sizes, true);
  tensor.shape.forEach((n, k) => view.setBigInt64(sizes + 8 * k, BigInt(n), true));
  view.setInt32(argument, TENSOR_KIND, true);
  view.setUint32(argument + 8, head, true);
  return at;
}

const results = [];
for (const { index, inputs, outputs, attributes } of JSON.parse(readFileSync(cases))) {
  const blocks = [];
  const count = inputs.length + outputs.length + attributes.length;
  const args = allocate(ANY * count, blocks);
  new Uint8Array(memory.buffer, args, ANY * count).fill(0);
  inputs.forEach((tensor, i) => {
    if (!tensor) return;
    const at = place(tensor, args + ANY * i, blocks);
    const elements = data.subarray(tensor.at, tensor.at + tensor.bytes);
    new Uint8Array(memory.buffer).set(elements, at);
  });
  const places = outputs.map((tensor, i) =>
    place(tensor, args + ANY * (inputs.length + i), blocks),
  );
  attributes.forEach((hex, i) => {
    const at = args + ANY * (inputs.length + outputs.length + i);
    new Uint8Array(memory.buffer).set(Buffer.from(hex, "hex"), at);
  });
  results.push(Uint8Array.of(ops_call(index, args, count)));
  outputs.forEach(({ bytes }, i) =>
    results.push(new Uint8Array(memory.buffer).slice(places[i], places[i] + bytes)),
  );
  for (const block of blocks.reverse()) ops_free(block);
}
writeFileSync(outputs, Buffer.concat(results));
