// The arguments of a call of an operator become arguments of one of its kernels.
import { given, listed, OpsError, show } from "./errors.mjs";
import { isAxis, product } from "./manifest.mjs";
import { camelCase } from "./names.mjs";
import { expanded, inputsText } from "./signature.mjs";
import { DTYPES, MAX_RANK } from "./tables.mjs";

const BY_ARRAY = new Map();
for (const [name, { array }] of DTYPES)
  BY_ARRAY.set(array, [...(BY_ARRAY.get(array) ?? []), name]);
const MOST_OUTPUTS = 1 << 16; // the module takes fewer and says how many

/** A call that is ready: the kernel, its inputs as { data, shape, dtype } or null,
 *  what its outputs are, the values of its attributes (null: the default), and `out`.
 *
 *  kernels: of one operator; they differ in dtypes alone. words: inputs in order, and
 *  an object with attributes at the end. Errors: OpsError. */
export function bound(operator, kernels, words) {
  const [first] = kernels;
  const [values, options] = split(operator, first, words);
  const { to, numOutputs, out, ...rest } = options;
  const named = byName(operator, first, rest);
  const tensors = values.map((value, i) => tensorOf(operator, paramAt(first, i), value));
  const kernel = chosen(operator, kernels, tensors, to);
  const inputs = expanded(kernel.inputs, tensors.length);
  const units = unitsOf(operator, kernel, tensors.length, named, numOutputs);
  return {
    kernel,
    inputs: tensors.map((tensor, i) => typed(operator, inputs[i], tensor)),
    outputs: expanded(kernel.outputs, kernel.outputs.length - 1 + units),
    attributes: kernel.attributes.flatMap((a) => valuesOf(operator, a, named[a.name], units)),
    out,
  };
}

/** Whether a value is an input, not the attributes: reshape has one called shape. */
function isInput(value) {
  const isData = ArrayBuffer.isView(value) || Array.isArray(value);
  return (
    typeof value !== "object" ||
    value === null ||
    isData ||
    "data" in value ||
    ("shape" in value && "dtype" in value)
  );
}

function paramAt({ inputs }, i) {
  return inputs[Math.min(i, inputs.length - 1)];
}

/** Inputs, one for each param, and the options. */
function split(operator, { inputs }, words) {
  const rest = [...words];
  const last = rest.at(-1);
  const options = rest.length && last !== undefined && !isInput(last) ? rest.pop() : {};
  const values = [];
  for (const param of inputs) {
    const value = rest.shift();
    if (!param.variadic) values.push(value ?? null);
    else if (Array.isArray(value)) values.push(...value);
    else throw wrong(operator, `input ${param.name} takes a list of tensors, as in [a, b]`);
  }
  if (rest.some((word) => word !== undefined))
    throw wrong(
      operator,
      `got ${words.length} arguments; it takes ${listed(inputs.map((p) => p.name))}, and ` +
        "attributes as an object after them",
    );
  if (!values.length && inputs.length) throw wrong(operator, `input ${inputs[0].name} is missing`);
  return [values, options];
}

function wrong(operator, text, code = "argument") {
  return new OpsError(code, `${operator}: ${text}`);
}

/** Values of attributes by ONNX's names, for names in camelCase or as ONNX has them. */
function byName(operator, { attributes, outputs }, given) {
  if (!Object.keys(given).length) return given;
  const known = new Map(attributes.flatMap(({ name }) => [[name, name], [camelCase(name), name]]));
  const options = ["to", "out", ...(outputs.at(-1)?.variadic ? ["numOutputs"] : [])];
  const named = {};
  for (const [word, value] of Object.entries(given)) {
    const name = known.get(word);
    if (!name || name in named)
      throw wrong(
        operator,
        `attribute ${word} is ${name ? "given twice" : "unknown"}; use ` +
          `${listed(attributes.map((a) => camelCase(a.name)))}; options: ${listed(options)}`,
        "attribute",
      );
    named[name] = value;
  }
  return named;
}

/** A value as { data, shape, dtypes }: dtypes that its array may have. */
function tensorOf(operator, param, value) {
  if (value === null || value === undefined) {
    if (param.optional) return null;
    throw wrong(operator, `input ${param.name} is missing`);
  }
  const what = `input ${param.name}`;
  if (["number", "bigint", "boolean"].includes(typeof value)) return { scalar: value, shape: [] };
  const isView = ArrayBuffer.isView(value);
  const data = isView ? value : value.data;
  const shape = value.shape ?? (isView ? [data.length] : undefined);
  const dtypes = value.dtype === undefined ? dtypesOf(data) : [value.dtype];
  if (!dtypes.length || !DTYPES.has(dtypes[0]) || !(data === undefined || fits(data, dtypes[0])))
    throw wrong(
      operator,
      `${what} is ${given(data ?? value)}${value.dtype ? ` of dtype ${show(value.dtype)}` : ""}; ` +
        `give { data, shape } with one of ${listed(kinds())}`,
      "dtype",
    );
  if (!Array.isArray(shape))
    throw wrong(operator, `${what} lacks its shape, as in shape: [${data?.length ?? 3}]`, "shape");
  const count = data === undefined ? product(shape) : data.length;
  if (shape.length > MAX_RANK || !shape.every(isAxis) || product(shape) !== count)
    throw wrong(
      operator,
      `${what}: shape [${shape}] does not hold ${count} elements, or has more than ` +
        `${MAX_RANK} axes`,
      "shape",
    );
  return { data, shape, dtypes };
}

function fits(data, dtype) {
  return data instanceof DTYPES.get(dtype).array;
}

function kinds() {
  return new Set([...DTYPES.values()].map(({ array }) => array.name));
}

/** The dtypes that an array may have: a Uint8Array is uint8, or bool where none else is
 *  taken. */
function dtypesOf(data) {
  const known = BY_ARRAY.get(data?.constructor);
  // Buffer, of Node, is a class of Uint8Array's.
  return known ?? [...DTYPES.keys()].filter((dtype) => data !== undefined && fits(data, dtype));
}

/** The first kernel that takes the inputs as they are, by the order of dtypes. */
function chosen(operator, kernels, tensors, to) {
  const asked = to === undefined ? kernels : kernels.filter((k) => k.outputs[0].dtype === to);
  if (!asked.length)
    throw wrong(
      operator,
      `to: ${show(to)} is no output dtype of it; use ` +
        listed(new Set(kernels.map((k) => k.outputs[0].dtype))),
      "dtype",
    );
  let fitting = asked;
  tensors.forEach((tensor, i) => {
    if (!tensor?.dtypes) return;
    const left = (dtype) => fitting.filter((k) => paramAt(k, i).dtype === dtype);
    const found = tensor.dtypes.map(left).find((some) => some.length);
    if (!found) throw noKernel(operator, asked, tensors);
    fitting = found;
  });
  const outputs = new Set(fitting.map((k) => k.outputs[0].dtype));
  if (fitting.length === 1) return fitting[0];
  const choice =
    outputs.size === fitting.length
      ? `choose one by the option to (${listed(outputs)})`
      : "give its tensors with a dtype, not as numbers";
  throw wrong(operator, `the inputs fit ${listed(fitting.map((k) => k.name))}; ${choice}`, "dtype");
}

function noKernel(operator, kernels, tensors) {
  const got = tensors.map((tensor, i) => {
    const { name } = paramAt(kernels[0], i);
    return tensor?.dtypes ? [`${name}: ${tensor.dtypes.join(" or ")}`] : [];
  });
  return wrong(
    operator,
    `no kernel takes (${got.flat().join(", ")}); there are ${listed(kernels.map(inputsText))}`,
    "dtype",
  );
}

/** A tensor of the param's dtype. */
function typed(operator, { name, dtype }, tensor) {
  if (!tensor) return null;
  const { data, shape, scalar } = tensor;
  if (scalar === undefined) return { data, shape, dtype };
  const one = new (DTYPES.get(dtype).array)(1);
  try {
    one[0] = one instanceof BigInt64Array ? BigInt(scalar) : Number(scalar);
  } catch {
    throw wrong(operator, `input ${name} is ${scalar}, which is no ${dtype}`, "dtype");
  }
  if (!dtype.startsWith("float") && Number(one[0]) !== Number(scalar))
    throw wrong(operator, `input ${name} is ${scalar}, which is no ${dtype}`, "dtype");
  return { data: one, shape, dtype };
}

/** How many axes or tensors the lists of a call are for; they must agree. */
function unitsOf(operator, { inputs, outputs, attributes }, count, named, numOutputs) {
  const found = new Map();
  const last = inputs.at(-1);
  if (last?.variadic) found.set(last.name, count - inputs.length + 1);
  if (numOutputs !== undefined) {
    if (!Number.isInteger(numOutputs) || numOutputs < 1 || numOutputs > MOST_OUTPUTS)
      throw wrong(operator, `numOutputs is ${show(numOutputs)}; give 1 to ${MOST_OUTPUTS}`);
    found.set("numOutputs", numOutputs);
  }
  for (const { name, perUnit } of attributes) {
    if (!perUnit || named[name] == null) continue;
    const list = listOf(named[name]);
    if (!list || list.length % perUnit)
      throw wrong(
        operator,
        `attribute ${name} is ${show(named[name])}; give a list of numbers` +
          (perUnit > 1 ? `, ${perUnit} for each axis` : ""),
        "attribute",
      );
    found.set(name, list.length / perUnit);
  }
  if (new Set(found.values()).size > 1)
    throw wrong(
      operator,
      `the lengths of its lists do not agree: ` +
        `${listed([...found].map(([name, n]) => `${name} for ${n}`))}; give all for the ` +
        "same number of axes or tensors",
      "attribute",
    );
  if (!found.size && outputs.at(-1)?.variadic) {
    const lists = attributes.filter((a) => a.perUnit).map((a) => camelCase(a.name));
    throw wrong(
      operator,
      `the number of outputs is open; give ${[...lists, "numOutputs"].join(" or ")}`,
    );
  }
  return found.values().next().value ?? 0;
}

function listOf(value) {
  if (["number", "bigint"].includes(typeof value)) return [value];
  return Array.isArray(value) || ArrayBuffer.isView(value) ? [...value] : null;
}

/** Values of an attribute as the kernel takes them; null for the default. */
function valuesOf(operator, attribute, value, units) {
  const { name, kind, perUnit, required } = attribute;
  if (value == null) {
    const count = perUnit ? perUnit * units : 1;
    // A call without units has empty lists: reduceSum over every axis.
    if (count && required)
      throw wrong(operator, `attribute ${name} is required; give { ${camelCase(name)} }`, "attribute");
    return Array(count).fill(null);
  }
  const values = perUnit ? listOf(value) : [value];
  return values.map((entry) => ({ kind, value: numberOf(operator, attribute, entry) }));
}

function numberOf(operator, { name, kind, choices }, value) {
  if (choices.includes(value)) return choices.indexOf(value);
  if (typeof value === "boolean") return Number(value);
  if (kind === "float" && typeof value === "number") return value;
  if (typeof value === "bigint" && BigInt.asIntN(64, value) === value) return value;
  if (kind === "int" && Number.isSafeInteger(value)) return value;
  const wanted = choices.length ? `one of ${listed(choices)}` : `one ${kind}`;
  throw wrong(operator, `attribute ${name} is ${show(value)}; give ${wanted}`, "attribute");
}
