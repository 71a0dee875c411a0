# A page that Vite builds: it takes each .wasm of the package along.
npm install --silent "$PACKAGE"
echo '<!doctype html><script type="module" src="/main.mjs"></script>' > index.html
cat > main.mjs <<'EOF'
import { loadLibrary, loadModel } from "ops-wasm32";
import { loadModel as inWorker } from "ops-wasm32/worker";
import net from "./lenet.wasm?url";
import { answer } from "./answer.mjs";
import { digit } from "./digit.mjs";
const report = (text) => fetch("/answer", { method: "POST", body: text });
try {
  const ops = await loadLibrary();
  const results = await (await inWorker(net)).run({ image: digit });
  const second = answer(ops, { run: () => results });
  await report(`${answer(ops, await loadModel(net))}\n${second}`);
} catch (error) {
  await report(`failed: ${error.stack}`);
}
EOF
vite build --logLevel warn >&2
cd dist
node "$USERS/page.mjs"
