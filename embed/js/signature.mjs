// Signatures: the text of ops_signature(), parsed strictly.
//
//   softmax_float32(x: float32) -> (out: float32); axis: int = -1
import { OpsError } from "./errors.mjs";
import { DTYPES } from "./tables.mjs";

const NAME = "[A-Za-z_]\\w*";
const HEAD = new RegExp(`^(${NAME})\\(([^()]*)\\) -> \\(([^()]*)\\)$`);
const PARAM = new RegExp(`^(${NAME})(\\.\\.\\.|\\?)?: (${[...DTYPES.keys()].join("|")})$`);
const ATTRIBUTE = new RegExp(
  `^(${NAME}): (int|float)(?:\\[([1-9])\\])?(?:\\{([^{}]+)\\})?(?: = (\\S+))?`,
);

/** What a kernel takes and gives.
 *
 *  inputs, outputs: name, dtype, optional, variadic. attributes: name, kind ("int" or
 *  "float"), perUnit (0: one value; k: a list of k for each axis or tensor), choices,
 *  required. Errors: OpsError for a text that is not in the grammar. */
export function parseSignature(text, index) {
  const [head, ...attributes] = text.split("; ");
  const found = HEAD.exec(head);
  if (!found) throw unreadable(text);
  const params = (part) => (part ? part.split(", ").map((word) => param(word, text)) : []);
  return {
    index,
    name: found[1],
    inputs: params(found[2]),
    outputs: params(found[3]),
    attributes: attributes.map((word) => attribute(word, text)),
  };
}

function unreadable(text) {
  return new OpsError("module", `signature ${JSON.stringify(text.slice(0, 200))} cannot be read`);
}

function param(word, text) {
  const found = PARAM.exec(word);
  if (!found) throw unreadable(text);
  const [, name, mark, dtype] = found;
  return { name, dtype, optional: mark === "?", variadic: mark === "..." };
}

function attribute(word, text) {
  const found = ATTRIBUTE.exec(word);
  if (!found) throw unreadable(text);
  const [, name, kind, perUnit = "0", choices, value] = found;
  return {
    name,
    kind,
    perUnit: Number(perUnit),
    choices: choices ? choices.split(",").map((choice) => choice.split("=")[0]) : [],
    required: value === undefined,
  };
}

/** Params with the variadic last one repeated, to count of them. */
export function expanded(params, count) {
  const last = params.at(-1);
  if (!last?.variadic) return params;
  const fixed = params.slice(0, -1);
  return [...fixed, ...Array(Math.max(0, count - fixed.length)).fill(last)];
}

/** A kernel's name and inputs for messages: add_int8(a: int8, b: int8). */
export function inputsText({ name, inputs }) {
  return `${name}(${inputs.map((p) => `${p.name}: ${p.dtype}`).join(", ")})`;
}
