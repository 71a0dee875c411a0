// Weights in a file of their own, checked against the manifest of their module.
import { OpsError } from "./errors.mjs";
import { sha256 } from "./sha256.mjs";
import { beside, bytesOf, read } from "./source.mjs";

const CACHE = "ops-wasm32"; // in Cache storage, where the option is `true`

/** The weights of a manifest, or null where it has none.
 *
 *  source: of the module, which they lie beside where no place is given. */
export async function weightsFor(manifest, source, what, options) {
  const wanted = manifest.weights;
  if (!wanted) return null;
  const place = options.weights ?? beside(source, wanted.file);
  if (place === null) throw missing(wanted);
  try {
    return await (options.cache
      ? fromCache(place, wanted, options)
      : read(place, "weights", options).then((file) => checked(file, wanted)));
  } catch (error) {
    if (error.code !== "file") throw error;
    throw new OpsError(
      "weights",
      `${what}: its weights are missing: ${error.message}; put the file that was built ` +
        "with the module beside it, or give its path, URL or bytes as the weights",
      { cause: error },
    );
  }
}

/** The same of bytes alone, at once. */
export function weightsNow(manifest, file) {
  const wanted = manifest.weights;
  if (!wanted) return null;
  if (file === undefined) throw missing(wanted);
  const bytes = bytesOf(file);
  return fitting(bytes, hexOf(sha256(bytes)), wanted);
}

function missing({ file }) {
  return new OpsError("weights", `give the weights too: ${file}`);
}

/** The data of a .safetensors file that is the one of the manifest. */
async function checked(file, wanted) {
  const { subtle } = globalThis.crypto ?? {};
  const digest = subtle ? await subtle.digest("SHA-256", file) : sha256(file);
  return fitting(file, hexOf(new Uint8Array(digest)), wanted);
}

function hexOf(digest) {
  return Array.from(digest, (b) => b.toString(16).padStart(2, "0")).join("");
}

function fitting(all, found, { file: name, bytes, sha256: wanted }) {
  if (found !== wanted)
    throw new OpsError(
      "weights",
      `${name}: has sha256 ${found}, but the module was built with ${wanted}`,
    );
  const view = new DataView(all.buffer, all.byteOffset, all.byteLength);
  const start = all.length < 8 ? 8 : 8 + Number(view.getBigUint64(0, true));
  if (all.length - start !== bytes)
    throw new OpsError(
      "weights",
      `${name}: holds ${Math.max(0, all.length - start)} bytes of weights; the module ` +
        `takes ${bytes}`,
    );
  return all.subarray(start);
}

/** Weights by way of Cache storage, by their hash: a new file has a new one. */
async function fromCache(place, wanted, options) {
  const name = typeof options.cache === "string" ? options.cache : CACHE;
  if (!globalThis.caches)
    throw new OpsError(
      "engine",
      "cache: this engine has no Cache storage (pages have it over https alone); leave the " +
        "option out, or give the weights as bytes",
    );
  const cache = await caches.open(name);
  const key = `https://ops-wasm32.invalid/${encodeURIComponent(wanted.sha256)}`;
  const kept = await cache.match(key);
  if (kept) {
    try {
      return await checked(await read(kept, "weights", options), wanted);
    } catch (error) {
      if (options.signal?.aborted) throw error;
      await cache.delete(key); // damaged: it is fetched anew
    }
  }
  const file = await read(place, "weights", options);
  const data = await checked(file, wanted);
  // A full disk is no reason to fail: the weights are here.
  await cache.put(key, new Response(file)).catch(() => {});
  return data;
}
