// The manifest inside a module, each part of it checked: the file may be anybody's.
import { OpsError, show } from "./errors.mjs";
import {
  ABI_VERSION,
  ABI_VERSION_OPEN,
  DTYPES,
  MAX_RANK,
  MAX_SIZE,
  MEMORY,
  SECTION,
} from "./tables.mjs";
import { decode } from "./text.mjs";

/** The manifest of a model. sections: contents of the custom sections of its name. */
export function modelManifest(sections, what) {
  const manifest = manifestOf(sections, what);
  const { abi_version: version, model, inputs, outputs, sizes, weights } = manifest;
  if (model === undefined)
    throw new OpsError("module", `${what}: holds operators, but no model; use loadLibrary()`);
  const open = version === ABI_VERSION_OPEN;
  const problem =
    (!isName(model) && `model ${show(model)} is no name`) ||
    tensorProblem("inputs", inputs, open) ||
    tensorProblem("outputs", outputs, open) ||
    (open && sizes !== undefined && sizesProblem(sizes)) ||
    (weights != null && weightsProblem(weights));
  if (problem) throw damaged(what, problem);
  return manifest;
}

/** The manifest of a library of operators. */
export function libraryManifest(sections, what) {
  const manifest = manifestOf(sections, what);
  const { model, operators, aliases = {} } = manifest;
  if (model !== undefined)
    throw new OpsError("module", `${what}: holds a model, but no operators; use loadModel()`);
  const isList = (names) => Array.isArray(names) && names.every(isName);
  if (!isObject(operators) || !Object.entries(operators).flat().every(isNameOr(isList)))
    throw damaged(what, "operators are no lists of names");
  if (!isObject(aliases) || !Object.entries(aliases).flat().every(isName))
    throw damaged(what, "aliases are no names");
  return manifest;
}

function isNameOr(other) {
  return (value) => isName(value) || other(value);
}

function damaged(what, why) {
  return new OpsError("module", `${what}: its manifest is damaged: ${why}`);
}

function manifestOf(sections, what) {
  if (!sections.length)
    throw new OpsError(
      "module",
      `${what}: has no section ${SECTION}; it was not built by ops-wasm32, or its ` +
        "custom sections were stripped",
    );
  if (sections.length > 1) throw damaged(what, `there are ${sections.length} of them`);
  let manifest;
  try {
    manifest = JSON.parse(decode(sections[0]));
  } catch (error) {
    throw damaged(what, error.message);
  }
  if (!isObject(manifest)) throw damaged(what, "it is no object");
  const { abi_version: version } = manifest;
  if (version !== ABI_VERSION && version !== ABI_VERSION_OPEN)
    throw new OpsError(
      "module",
      `${what}: has ABI version ${show(version)}, this package speaks ${ABI_VERSION} and ` +
        `${ABI_VERSION_OPEN}; build the module anew or update the package`,
    );
  return manifest;
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isName(value) {
  return typeof value === "string" && value.length > 0 && value.length <= 4096;
}

/** Whether a value is a number of elements or bytes that a module can have. */
export function isSize(value) {
  return Number.isInteger(value) && value >= 0 && value < MEMORY;
}

/** Whether a value is a size of an axis. */
export function isAxis(value) {
  return isSize(value) && value <= MAX_SIZE;
}

/** Whether all sizes of a shape are known. */
export function isKnown(shape) {
  return shape !== null && shape.every(isSize);
}

/** How many elements a shape has. */
export function product(shape) {
  return shape.reduce((a, b) => a * b, 1);
}

/** A shape for messages: 1x3, [batch, 3], any shape. */
export function shapeText(shape) {
  if (shape === null) return "any shape";
  return isKnown(shape) ? shape.join("x") : `[${shape.join(", ")}]`;
}

/** What is wrong with the bounds of named sizes, or "". */
function sizesProblem(sizes) {
  if (!isObject(sizes)) return "sizes is no object";
  const wrong = Object.entries(sizes).find(
    ([name, p]) =>
      !(isName(name) && Array.isArray(p) && p.length === 2 && p.every(isAxis) && p[0] <= p[1]),
  );
  return wrong ? `the bounds of size ${show(wrong[0])} are none` : "";
}

/** What is wrong with a list of tensors, or "". open: sizes may be texts. */
function tensorProblem(what, tensors, open) {
  if (!Array.isArray(tensors)) return `${what} is no list`;
  let bytes = 0;
  for (const tensor of tensors) {
    const { name, dtype, shape } = tensor ?? {};
    if (!isName(name)) return `${show(name)} in ${what} is no name`;
    if (!DTYPES.has(dtype)) return `${show(dtype)} of ${show(name)} is no dtype`;
    if (open && shape === null) continue;
    const fits = (n) => isSize(n) || (open && isName(n));
    if (!Array.isArray(shape) || shape.length > MAX_RANK || !shape.every(fits))
      return `the shape of ${show(name)} is no list of up to ${MAX_RANK} sizes`;
    bytes += isKnown(shape) ? (product(shape) * DTYPES.get(dtype).bits) / 8 : 0;
  }
  if (bytes >= MEMORY) return `${what} take ${bytes} bytes, more than a module can have`;
  const names = new Set(tensors.map((t) => t.name));
  return names.size < tensors.length ? `two ${what} have one name` : "";
}

/** What is wrong with the description of a file of weights, or "". */
function weightsProblem({ file, bytes, sha256 }) {
  // It may not lead out of the module's folder.
  if (!isName(file) || /[/\\:]|^\.+$/.test(file))
    return `weights ${show(file)} is no name of a file beside the module`;
  if (!isSize(bytes)) return `${show(bytes)} bytes of weights is no size`;
  return isName(sha256) ? "" : "weights have no sha256";
}
