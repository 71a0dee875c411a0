// Where bytes come from: a URL, a path in Node, a Response, or the bytes themselves.
import { joined } from "./declarations.mjs";
import { OpsError } from "./errors.mjs";

const NETWORK = /^(https?|data|blob):/;

/** Whether a source has a name, which what lies beside it is found by. */
export function isNamed(source) {
  return typeof source === "string" || source instanceof URL;
}

/** A source for messages. */
export function nameOf(source, otherwise) {
  if (isNamed(source)) return String(source);
  return (isResponse(source) && source.url) || otherwise;
}

/** Whether a name is of a file that Node is to read. */
function isFile(name) {
  return Boolean(globalThis.process?.versions?.node) && !NETWORK.test(name);
}

/** The place of a file beside a source; null where the source has no place. */
export function beside(source, file) {
  const place = isResponse(source) ? source.url : isNamed(source) ? String(source) : "";
  if (!place || /^(data|blob):/.test(place)) return null;
  if (isFile(place) && !place.startsWith("file:")) return place.replace(/[^/\\]*$/, file);
  const name = encodeURIComponent(file);
  if (/^[a-z]+:/.test(place)) return String(new URL(name, place));
  return place.replace(/[?#].*$/, "").replace(/[^/]*$/, name);
}

function isResponse(source) {
  return typeof Response === "function" && source instanceof Response;
}

/** Bytes, a Response, or a WebAssembly.Module: what a source leads to.
 *
 *  Errors: OpsError where there is nothing; the signal's reason once it is aborted. */
export async function opened(source, { signal } = {}) {
  signal?.throwIfAborted();
  if (source instanceof WebAssembly.Module) return { module: source };
  if (source instanceof ArrayBuffer || ArrayBuffer.isView(source))
    return { bytes: bytesOf(source) };
  if (isResponse(source)) return { response: answered(source) };
  if (!isNamed(source))
    throw new OpsError(
      "argument",
      `${source} is nothing to load; give a path, a URL, a Response, bytes or a ` +
        "WebAssembly.Module",
    );
  const text = String(source);
  if (isFile(text)) return { bytes: await readFile(text, signal) };
  let response;
  try {
    response = await fetch(source, { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw new OpsError("file", `${text}: cannot be fetched: ${error.message}`, { cause: error });
  }
  return { response: answered(response, text) };
}

function answered(response, what = response.url || "the Response") {
  if (!response.ok)
    throw new OpsError("file", `${what}: ${response.status} ${response.statusText}`.trim());
  if (response.bodyUsed)
    throw new OpsError("file", `${what}: was read before; give a Response that was not`);
  return response;
}

async function readFile(path, signal) {
  const name = "node:fs/promises"; // a name that bundlers do not follow
  const files = await import(/* @vite-ignore */ /* webpackIgnore: true */ name);
  try {
    return await files.readFile(path.startsWith("file:") ? new URL(path) : path, { signal });
  } catch (error) {
    signal?.throwIfAborted();
    const why = error.code === "ENOENT" ? "there is no such file" : error.message;
    throw new OpsError("file", `${path}: cannot be read: ${why}`, { cause: error });
  }
}

/** Bytes of a buffer or a view, without copying them. */
export function bytesOf(data) {
  return ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data);
}

/** Counts what was read of a part, for onProgress. */
export function progress(part, total, { onProgress }) {
  let loaded = 0;
  return (bytes) => onProgress?.({ part, loaded: (loaded += bytes), total });
}

/** How many bytes the body of a Response has; undefined where it does not say. */
export function lengthOf({ headers }) {
  const length = headers.get("content-length");
  // Of a packed body it is the packed length.
  return length && !headers.get("content-encoding") ? Number(length) : undefined;
}

/** The bytes of a source of any kind but a module. part: for onProgress. */
export async function read(source, part, options) {
  const { bytes, response } = await opened(source, options);
  const counted = progress(part, bytes?.length ?? lengthOf(response), options);
  if (bytes) {
    counted(bytes.length);
    return bytes;
  }
  const parts = [];
  await pumped(response, options.signal, (chunk) => {
    parts.push(chunk);
    counted(chunk.length);
  });
  return joined(parts);
}

/** Read a Response to its end. each: called with every part of it. */
async function pumped(response, signal, each) {
  const sink = new WritableStream({ write: each });
  try {
    await (response.body ?? new Blob([]).stream()).pipeTo(sink, { signal });
  } catch (error) {
    throw broken(error, response, signal);
  }
}

/** The error for a body that ended too early. */
export function broken(error, response, signal) {
  if (signal?.aborted) return signal.reason;
  if (error instanceof OpsError) return error;
  const what = response.url || "the Response";
  return new OpsError("file", `${what}: broke off: ${error.message}`, { cause: error });
}
