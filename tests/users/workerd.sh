# workerd, Cloudflare's engine: no module is compiled at run time.
npm install --silent "$PACKAGE"
cat > main.mjs <<'EOF'
import { loadLibrary, loadModel } from "ops-wasm32";
import net from "./lenet.wasm";
import { answer } from "./answer.mjs";
export default {
  async test() {
    console.log(answer(await loadLibrary(), await loadModel(net)));
  },
};
EOF
esbuild main.mjs --bundle --format=esm --conditions=workerd --outfile=out/main.js \
  --loader:.wasm=copy --asset-names=[name] --log-level=warning
cat > config.capnp <<'EOF'
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (services = [(name = "main", worker = .worker)]);
const worker :Workerd.Worker = (
  compatibilityDate = "2026-01-01",
  modules = [
    (name = "main.js", esModule = embed "out/main.js"),
    (name = "lenet.wasm", wasm = embed "out/lenet.wasm"),
    (name = "relaxed-simd-v8.wasm", wasm = embed "out/relaxed-simd-v8.wasm"),
  ],
);
EOF
workerd test config.capnp 2>log.txt || { cat log.txt >&2; exit 1; }
