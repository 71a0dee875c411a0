// What a module declares, read from its bytes as they come, before any of its code runs.
import { OpsError } from "./errors.mjs";
import { FUNCTIONS, SECTION } from "./tables.mjs";
import { decode } from "./text.mjs";

const I32 = 0x7f;
const MAGIC = [0, 97, 115, 109, 1, 0, 0, 0];
const MEMORY_KIND = 2; // of an export
// The functions that a model needs, and that a library needs.
const CALLED = ["alloc", "call", "find", "free", "infer", "last_error"];
export const NEEDED = CALLED.map((name) => `ops_${name}`);
export const NEEDED_OF_LIBRARIES = [...NEEDED, "ops_signature"];

/** Reads the content of a section; RangeError where it ends too early. */
class Reader {
  constructor(data, at = 0) {
    this.data = data;
    this.at = at;
  }

  byte() {
    if (this.at >= this.data.length) throw new RangeError("is cut off or damaged");
    return this.data[this.at++];
  }

  /** An unsigned LEB128 number of 32 bits. */
  number() {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte();
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
    throw new RangeError("is cut off or damaged");
  }

  bytes(size) {
    if (this.at + size > this.data.length) throw new RangeError("is cut off or damaged");
    this.at += size;
    return this.data.subarray(this.at - size, this.at);
  }

  text() {
    return decode(this.bytes(this.number()));
  }

  /** Least size of a memory or table of 32 bits that one thread has. */
  limits(what) {
    const flags = this.byte();
    if (flags > 1) throw new RangeError(`declares a shared or a 64-bit ${what}`);
    const least = this.number();
    if (flags) this.number();
    return least;
  }
}

/** Readers of sections, by number. */
const SECTIONS = {
  0: (reader, found) => {
    // A view of a file that is kept would keep all of it.
    if (reader.text() === SECTION) found.manifests.push(reader.data.slice(reader.at));
  },
  1: (reader, { types }) => {
    for (let left = reader.number(); left; --left) {
      if (reader.byte() !== 0x60) throw new RangeError("declares a type that is no function");
      const [takes, gives] = [0, 1].map(() => [...reader.bytes(reader.number())]);
      if ([...takes, ...gives].some((kind) => kind < 0x7b || kind > I32))
        throw new RangeError("declares a function of other things than numbers");
      types.push({ takes, gives });
    }
  },
  2: (reader) => {
    const count = reader.number();
    if (count) throw new RangeError(`imports ${count} things; a model needs none`);
  },
  3: (reader, { functions }) => {
    for (let left = reader.number(); left; --left) functions.push(reader.number());
  },
  4: (reader, found) => {
    for (let left = reader.number(); left; --left) {
      if (reader.byte() !== 0x70) throw new RangeError("declares a table of no functions");
      found.table = Math.max(found.table, reader.limits("table"));
    }
  },
  5: (reader) => {
    const count = reader.number();
    if (count !== 1) throw new RangeError(`has ${count} memories instead of one`);
    reader.limits("memory");
  },
  7: (reader, found) => {
    for (let left = reader.number(); left; --left) {
      const name = reader.text();
      found.exports.set(name, { kind: reader.byte(), index: reader.number() });
    }
  },
  8: (reader) => {
    throw new RangeError(`runs its function ${reader.number()} when it is loaded`);
  },
};

/** The declarations of a module whose bytes are pushed one part after the other.
 *
 *  Errors: OpsError for what no module of ours declares: code that runs when it is
 *  loaded, imports, types other than functions of numbers, memories and tables that are
 *  shared, of 64 bits, or larger than the file. */
export class Declarations {
  #what;
  #size = 0;
  #parts = []; // bytes that are still to be read
  #held = 0;
  #need = MAGIC.length;
  #skip = 0; // bytes of a section that nobody reads
  #section = -1; // that is being read; -1 before the first
  #found = { types: [], functions: [], exports: new Map(), manifests: [], table: 0 };

  constructor(what) {
    this.#what = what;
  }

  /** Read the next bytes of the file. */
  push(bytes) {
    this.#size += bytes.length;
    const skipped = Math.min(this.#skip, bytes.length);
    this.#skip -= skipped;
    if (skipped < bytes.length) this.#parts.push(bytes.subarray(skipped));
    this.#held += bytes.length - skipped;
    if (this.#held < this.#need || !this.#held) return;
    const data = joined(this.#parts);
    const rest = data.subarray(this.#readAll(data));
    this.#parts = rest.length ? [rest] : [];
    this.#held = rest.length;
  }

  /** What was found in the whole file. */
  end() {
    if (this.#section < 0) this.#refuseFile();
    if (this.#held || this.#skip) this.#refuse("is cut off or damaged");
    const { table } = this.#found;
    this.#section = 4;
    if (table > this.#size)
      this.#refuse(`claims ${table} functions in a file of ${this.#size} bytes`);
    return this.#found;
  }

  /** Read the sections that are there; where the first that is not begins. */
  #readAll(data) {
    let at = 0;
    if (this.#section < 0) {
      if (MAGIC.some((byte, i) => data[i] !== byte)) this.#refuseFile();
      at = MAGIC.length;
      this.#section = 0;
    }
    while (at < data.length) {
      const next = this.#readSection(data, at);
      if (next === at) break;
      at = next;
    }
    return Math.min(at, data.length);
  }

  /** Read a section; where the next begins, or `at` where bytes are missing. */
  #readSection(data, at) {
    const reader = new Reader(data, at);
    this.#section = reader.byte();
    this.#need = 2;
    let size;
    try {
      size = reader.number();
    } catch (error) {
      if (data.length - at > 5) this.#refuse(error.message);
      this.#need = data.length - at + 1;
      return at;
    }
    const end = reader.at + size;
    if (!(this.#section in SECTIONS)) {
      this.#skip = Math.max(0, end - data.length);
      return end;
    }
    if (end > data.length) {
      this.#need = end - at;
      return at;
    }
    try {
      SECTIONS[this.#section](new Reader(reader.bytes(size)), this.#found);
    } catch (error) {
      this.#refuse(error.message);
    }
    return end;
  }

  #refuseFile() {
    throw new OpsError("module", `${this.#what}: is no WebAssembly module of version 1`);
  }

  #refuse(why) {
    throw new OpsError(
      "module",
      `${this.#what}: ${why} in section ${this.#section}; it was not built by ops-wasm32`,
    );
  }
}

/** One array of several; the array itself where it is alone. */
export function joined(parts) {
  if (parts.length === 1) return parts[0];
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Refuse a module without functions of ops_wasm32.h, as it declares them. */
export function checkExports({ types, functions, exports }, what, needed) {
  const wrong = needed.filter((name) => {
    const { kind, index } = exports.get(name) ?? {};
    const type = kind === 0 ? types[functions[index]] : undefined;
    return !(
      type?.takes.length === FUNCTIONS[name] &&
      type.gives.length === 1 &&
      [...type.takes, ...type.gives].every((k) => k === I32)
    );
  });
  if (exports.get("memory")?.kind !== MEMORY_KIND) wrong.push("memory");
  refuseExports(wrong, what);
}

/** The manifests of a module that was compiled before, and what it shows of itself: no
 *  imports, and exports by their names and kinds. */
export function manifestsOf(module, what, needed) {
  const imports = WebAssembly.Module.imports(module).length;
  if (imports)
    throw new OpsError("module", `${what}: imports ${imports} things; a model needs none`);
  const kinds = new Map(WebAssembly.Module.exports(module).map((e) => [e.name, e.kind]));
  const wrong = needed.filter((name) => kinds.get(name) !== "function");
  if (kinds.get("memory") !== "memory") wrong.push("memory");
  refuseExports(wrong, what);
  const sections = WebAssembly.Module.customSections(module, SECTION);
  return sections.map((section) => new Uint8Array(section));
}

function refuseExports(wrong, what) {
  if (wrong.length)
    throw new OpsError(
      "module",
      `${what}: is no module of operators; it does not export ${wrong.join(", ")} as ` +
        "ops_wasm32.h declares them",
    );
}
