# A page that esbuild bundles: a .wasm is imported, and becomes a file.
npm install --silent "$PACKAGE"
cat > main.mjs <<'EOF'
import { loadLibrary, loadModel } from "ops-wasm32";
import operators from "ops-wasm32/simd128.wasm";
import net from "./lenet.wasm";
import { answer } from "./answer.mjs";
const report = (text) => fetch("/answer", { method: "POST", body: text });
try {
  const ops = await loadLibrary({ source: operators });
  await report(answer(ops, await loadModel(net)));
} catch (error) {
  await report(`failed: ${error.stack}`);
}
EOF
esbuild main.mjs --bundle --minify --format=esm --outdir=out --loader:.wasm=file --log-level=warning
echo '<!doctype html><script type="module" src="main.js"></script>' > out/index.html
cd out
node "$USERS/page.mjs"
