// tables.mjs: written by `doit tables` from toolchain/; do not edit.

// By their names: DLPack's code, bits, and the typed array.
export const DTYPES = new Map([
  ["float32", { code: 2, bits: 32, array: Float32Array }],
  ["int32", { code: 0, bits: 32, array: Int32Array }],
  ["int8", { code: 0, bits: 8, array: Int8Array }],
  ["uint8", { code: 1, bits: 8, array: Uint8Array }],
  ["int64", { code: 0, bits: 64, array: BigInt64Array }],
  ["bool", { code: 6, bits: 8, array: Uint8Array }],
  ["float16", { code: 2, bits: 16, array: globalThis.Float16Array ?? Uint16Array }],
  ["float64", { code: 2, bits: 64, array: Float64Array }],
]);
// Of libraries and of models whose sizes are known; of models with open sizes.
export const ABI_VERSION = 1;
export const ABI_VERSION_OPEN = 2;
export const MAX_RANK = 8;
export const MAX_SIZE = 2147483647; // of an axis
export const ALIGNMENT = 64; // bytes, of what ops_alloc gives
export const MEMORY = 4294967296; // bytes; what a module can have at most
export const SECTION = "ops_wasm32.manifest";
// Bytes of a TVMFFIAny and of a DLTensor, and where their fields lie.
export const ARGUMENT = {
  size: 16,
  type_index: 0,
  zero_padding: 4,
  v_int64: 8,
};
export const TENSOR = {
  size: 40,
  data: 0,
  device_type: 4,
  device_id: 8,
  ndim: 12,
  code: 16,
  bits: 17,
  lanes: 18,
  shape: 20,
  strides: 24,
  byte_offset: 32,
};
export const KINDS = { none: 0, int: 1, bool: 2, float: 3, tensor: 7 };
// What a function returns that fails.
export const ERRORS = { 1: "operator", 2: "argument", 3: "dtype", 4: "shape", 5: "pointer", 6: "attribute", 7: "memory" };
// The functions of a module and how many i32 each takes; all give one.
export const FUNCTIONS = {
  ops_abi_version: 0,
  ops_alloc: 1,
  ops_call: 3,
  ops_count: 0,
  ops_find: 1,
  ops_free: 1,
  ops_infer: 3,
  ops_last_error: 0,
  ops_name: 1,
  ops_signature: 1,
};
// The targets, best first. probe: a module, in hexadecimal, that an engine takes which
// has the features; v8: tuned for that engine; url: of the module of all operators.
export const TARGETS = [
  {
    name: "relaxed-simd",
    v8: false,
    probe: "0061736d01000000010401600000030605000000000005030100000606017f0141000b070501016703000a740506004100c01a0b0a004300000000fc001a0b0b00410041004100fc0b000b1700fd0c00000000000000000000000000000000fd621a0b3c00fd0c00000000000000000000000000000000fd0c00000000000000000000000000000000fd0c00000000000000000000000000000000fd85021a0b",
    url: () => new URL("../../build/relaxed-simd/ops_wasm32.wasm", import.meta.url),
  },
  {
    name: "relaxed-simd-v8",
    v8: true,
    probe: "0061736d01000000010401600000030605000000000005030100000606017f0141000b070501016703000a740506004100c01a0b0a004300000000fc001a0b0b00410041004100fc0b000b1700fd0c00000000000000000000000000000000fd621a0b3c00fd0c00000000000000000000000000000000fd0c00000000000000000000000000000000fd0c00000000000000000000000000000000fd85021a0b",
    url: () => new URL("../../build/relaxed-simd-v8/ops_wasm32.wasm", import.meta.url),
  },
  {
    name: "simd128",
    v8: false,
    probe: "0061736d010000000104016000000305040000000005030100000606017f0141000b070501016703000a370406004100c01a0b0a004300000000fc001a0b0b00410041004100fc0b000b1700fd0c00000000000000000000000000000000fd621a0b",
    url: () => new URL("../../build/simd128/ops_wasm32.wasm", import.meta.url),
  },
  {
    name: "mvp",
    v8: false,
    probe: "0061736d010000000503010000",
    url: () => new URL("../../build/mvp/ops_wasm32.wasm", import.meta.url),
  },
];
