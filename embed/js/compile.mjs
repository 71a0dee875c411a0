// From a source to a compiled module and its checked manifest.
import { checkExports, Declarations, manifestsOf } from "./declarations.mjs";
import { OpsError } from "./errors.mjs";
import { broken, lengthOf, nameOf, opened, progress } from "./source.mjs";
import { features } from "./targets.mjs";

/** The module, manifest and name of a source; none of its code has run.
 *
 *  manifest: reads it, from its sections. needed: functions that it must export. */
export async function compiled(source, { manifest, needed }, options) {
  const found = await opened(source, options);
  const what = nameOf(source, "the module");
  const judge = (declared) => {
    const read = manifest(declared.manifests, what);
    checkExports(declared, what, needed);
    return read;
  };
  if (found.module) return { ...ofModule(found.module, { manifest, needed }, what), what };
  const made = await (found.bytes
    ? ofBytes(found.bytes, judge, what, options)
    : ofResponse(found.response, judge, what, options));
  options.signal?.throwIfAborted();
  return { ...made, what };
}

/** Of a WebAssembly.Module: it shows less of itself than its file does. */
export function ofModule(module, { manifest, needed }, what = "the module") {
  return { module, manifest: manifest(manifestsOf(module, what, needed), what) };
}

async function ofBytes(bytes, judge, what, options) {
  const declared = new Declarations(what);
  declared.push(bytes);
  const manifest = judge(declared.end());
  progress("module", bytes.length, options)(bytes.length);
  try {
    return { module: await WebAssembly.compile(bytes), manifest };
  } catch (error) {
    throw notTaken(error, manifest, what);
  }
}

/** Compile while the bytes come in, whatever type the server says they have. */
async function ofResponse(response, judge, what, options) {
  const declared = new Declarations(what);
  const counted = progress("module", lengthOf(response), options);
  let manifest, wrong;
  const note = (step) => {
    try {
      step();
    } catch (error) {
      throw (wrong = error); // ends the stream, and with it fetch and compiler
    }
  };
  const watch = new TransformStream({
    transform(chunk, controller) {
      note(() => declared.push(chunk));
      counted(chunk.length);
      controller.enqueue(chunk);
    },
    flush: () => note(() => (manifest = judge(declared.end()))),
  });
  const { signal } = options;
  const body = response.body ?? new Blob([]).stream();
  const typed = new Response(body.pipeThrough(watch, { signal }), {
    headers: { "Content-Type": "application/wasm" },
  });
  try {
    return { module: await streamed(typed), manifest };
  } catch (error) {
    if (wrong) throw wrong;
    throw manifest ? notTaken(error, manifest, what) : broken(error, response, signal);
  }
}

function streamed(response) {
  if (WebAssembly.compileStreaming) return WebAssembly.compileStreaming(response);
  return response.arrayBuffer().then((bytes) => WebAssembly.compile(bytes));
}

/** The error for a module that the engine does not compile. */
function notTaken(error, { target }, what) {
  const known = typeof target === "string" && features(target);
  if (known === false)
    return new OpsError(
      "engine",
      `${what}: is built for ${target}, which this engine does not have; build it for ` +
        "another target, such as mvp (doit model --target mvp)",
      { cause: error },
    );
  return new OpsError("module", `${what}: cannot be loaded: ${error.message}`, { cause: error });
}

/** An instance of a module, without imports. */
export async function instantiated(module, what) {
  try {
    return await WebAssembly.instantiate(module);
  } catch (error) {
    throw notStarted(error, what);
  }
}

/** The same, at once. */
export function instance(module, what) {
  try {
    return new WebAssembly.Instance(module);
  } catch (error) {
    throw notStarted(error, what);
  }
}

function notStarted(error, what) {
  const code = error instanceof RangeError ? "memory" : "module";
  return new OpsError(code, `${what}: cannot be started: ${error.message}`, { cause: error });
}
