// The error of this package, and what messages need.

/** Anything that goes wrong here.
 *
 *  code: "argument", "dtype", "shape", "attribute", "operator", "pointer" or "memory" of
 *  a call, as ops_wasm32.h has them; "module" of a file that is none of ours or is
 *  damaged, "weights" of one that does not fit its module, "file" of one that cannot be
 *  read, "engine" of what the engine lacks. text: the message. */
export class OpsError extends Error {
  constructor(code, text, options) {
    super(text, options);
    this.name = "OpsError";
    this.code = code;
  }

  get text() {
    return this.message;
  }
}

/** A value as a message may show it. */
export function show(value) {
  const text = typeof value === "object" ? typeof value : String(value);
  return JSON.stringify(text.slice(0, 80));
}

/** Join names for a message. */
export function listed(names) {
  return [...names].join(", ") || "none";
}

/** An array for a message. */
export function given(data) {
  if (data === undefined || data === null || typeof data !== "object") return "no array";
  return `${data.constructor?.name ?? "an object"} of ${data.length ?? 0} elements`;
}
