# A page without a bundler, under a strict Content-Security-Policy; the server says a
# wrong type for .wasm.
npm install --silent "$PACKAGE"
echo '<!doctype html><script type="module" src="main.mjs"></script>' > index.html
cat > main.mjs <<'EOF'
import { loadLibrary, loadModel, supportedTargets } from "./node_modules/ops-wasm32/ops_wasm32.mjs";
import { answer } from "./answer.mjs";
const report = (text) => fetch("/answer", { method: "POST", body: text });
try {
  const ops = await loadLibrary();
  if (ops.target !== "relaxed-simd-v8") throw new Error(`took ${ops.target} of ${supportedTargets()}`);
  const seen = [];
  const onProgress = ({ part, loaded, total }) => seen.push([part, loaded, total]);
  const options = { cache: true, onProgress };
  let model = await loadModel("light/lenet.wasm", options);
  const first = answer(ops, model);
  const parts = new Set(seen.map(([part]) => part));
  const ended = seen.filter(([, loaded, total]) => loaded === total).length;
  if ([...parts].join() !== "module,weights" || ended < 2) throw new Error(`progress ${seen}`);
  // Again, from Cache storage: the file may be gone by now.
  model = await loadModel("light/lenet.wasm", { ...options, weights: "gone.safetensors" });
  const second = answer(ops, model);
  const response = await fetch("lenet.wasm");
  const third = answer(ops, await loadModel(response));
  await report([first, second, third].join("\n"));
} catch (error) {
  await report(`failed: ${error.stack}`);
}
EOF
node "$USERS/page.mjs" --wrong-types
