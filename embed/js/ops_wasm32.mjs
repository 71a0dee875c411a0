// Machine-learning operators and whole models in WebAssembly. No dependencies.
//
//   const ops = await loadLibrary();
//   const y = ops.softmax({ data: new Float32Array([1, 2, 3]), shape: [1, 3] }, { axis: -1 });
//
//   const model = await loadModel("net.wasm");
//   const { probabilities } = model.run({ image });
//
// A file may be anybody's: loading checks what it declares and runs none of its code.
// Calls do, for as long as that takes: nothing in JavaScript can stop them but ending a
// Worker from outside, which is where a module belongs that is not trusted to end.

import { compiled, instance, instantiated, ofModule } from "./compile.mjs";
import { NEEDED, NEEDED_OF_LIBRARIES } from "./declarations.mjs";
import { OpsError, show } from "./errors.mjs";
import { Library } from "./library.mjs";
import { libraryManifest, modelManifest } from "./manifest.mjs";
import { Model } from "./model.mjs";
import { DTYPES, TARGETS } from "./tables.mjs";
import { supportedTargets } from "./targets.mjs";
import { weightsFor, weightsNow } from "./weights.mjs";

export { OpsError, supportedTargets };

const MODELS = { manifest: modelManifest, needed: NEEDED };
const LIBRARIES = { manifest: libraryManifest, needed: NEEDED_OF_LIBRARIES };
const OF_MODELS = ["weights", "signal", "onProgress", "cache"];
const OF_LIBRARIES = ["target", "source", "signal", "onProgress"];

/** Options, none of them unknown. */
function checkedOptions(options, known) {
  if (typeof options !== "object" || options === null)
    throw new OpsError(
      "argument",
      `the options are ${show(options)}; give an object with ${known.join(", ")}`,
    );
  for (const name of Object.keys(options))
    if (!known.includes(name))
      throw new OpsError("argument", `option ${name} is unknown; use ${known.join(", ")}`);
  return options;
}

/** Load a model: an URL, a path in Node, a Response, bytes, or a WebAssembly.Module.
 *
 *  options: weights (URL, path, Response or bytes, where not beside the module), signal
 *  (an AbortSignal), onProgress({ part, loaded, total }), cache (keep weights in Cache
 *  storage: true, or its name). Errors: OpsError; the signal's reason. */
export async function loadModel(source, options = {}) {
  return newModel(source, checkedOptions(options, OF_MODELS));
}

async function newModel(source, options, result) {
  const { module, manifest, what } = await compiled(source, MODELS, options);
  const weights = await weightsFor(manifest, source, what, options);
  const made = await instantiated(module, what);
  options.signal?.throwIfAborted();
  return new Model(made, module, manifest, weights, what, result);
}

/** A model of a module that was compiled before, at once: in an AudioWorklet, or for one
 *  instance more. weights: bytes of the file, where they are not in the module. */
export function openModel(module, { weights } = {}) {
  const { manifest } = ofModule(module, MODELS);
  const what = manifest.model;
  return new Model(instance(module, what), module, manifest, weightsNow(manifest, weights), what);
}

/** Load the operators, for the best target that the engine takes.
 *
 *  options: target (its name), source (a module of operators of your own, as loadModel
 *  takes it), signal, onProgress. Errors: OpsError; the signal's reason. */
export async function loadLibrary(options = {}) {
  const { target, source, ...during } = checkedOptions(options, OF_LIBRARIES);
  const place = source ?? urlOf(target ?? supportedTargets()[0]);
  const { module, manifest, what } = await compiled(place, LIBRARIES, during);
  const made = await instantiated(module, what);
  during.signal?.throwIfAborted();
  return new Library(made, module, manifest, what);
}

/** The operators of a module that was compiled before, at once. */
export function openLibrary(module) {
  const what = "the module";
  const { manifest } = ofModule(module, LIBRARIES);
  return new Library(instance(module, what), module, manifest, what);
}

function urlOf(name) {
  const target = TARGETS.find((t) => t.name === name);
  if (!target)
    throw new OpsError(
      "argument",
      `target ${name} is unknown; use ${TARGETS.map((t) => t.name).join(", ")}`,
    );
  return target.url();
}

/** Names of the dtypes, by which tensors say theirs where their array does not: a
 *  Uint8Array may be uint8 or bool. */
export const dtypes = [...DTYPES.keys()];

/** A model whose results are typed arrays with a shape: the earlier form of loadModel. */
export async function load(source, weights) {
  const withShape = ({ data, shape }) => Object.defineProperty(data, "shape", { value: shape });
  return newModel(source, { weights }, withShape);
}
