# A page whose model runs in a module worker.
npm install --silent "$PACKAGE"
echo '<!doctype html><script type="module" src="main.mjs"></script>' > index.html
cat > main.mjs <<'EOF'
import { loadLibrary } from "./node_modules/ops-wasm32/ops_wasm32.mjs";
import { loadModel } from "./node_modules/ops-wasm32/worker.mjs";
import { answer } from "./answer.mjs";
import { digit } from "./digit.mjs";
const report = (text) => fetch("/answer", { method: "POST", body: text });
try {
  const model = await loadModel("lenet.wasm");
  const results = await model.run({ image: digit });
  const wrong = await model.run({ picture: digit }).catch((error) => error);
  if (wrong.text !== "input picture is unknown; use image") throw wrong;
  model.dispose();
  await report(answer(await loadLibrary(), { run: () => results }));
} catch (error) {
  await report(`failed: ${error.stack}`);
}
EOF
node "$USERS/page.mjs"
