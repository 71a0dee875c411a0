// The package where modules are compiled at deployment, not at run time: in workerd,
// Cloudflare's engine. Its module is imported, and so is that of a model:
//
//   import net from "./net.wasm";
//   const model = await loadModel(net);
import { loadLibrary as load } from "./ops_wasm32.mjs";
import operators from "./wasm/relaxed-simd-v8.wasm";

export * from "./ops_wasm32.mjs";

/** The operators; source: another module of them, imported too. */
export async function loadLibrary(options = {}) {
  return load(options.target ? options : { source: operators, ...options });
}
