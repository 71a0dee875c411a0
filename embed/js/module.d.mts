// module.d.mts: a .wasm of this package, imported: a URL, bytes or a WebAssembly.Module,
// as the bundler or engine has it. loadLibrary({ source }) takes each.
import type { ModuleSource } from "./ops_wasm32.mjs";

declare const source: ModuleSource;
export default source;
