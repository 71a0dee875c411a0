# Node: a model in a worker thread, its weights in a file.
npm install --silent "$PACKAGE"
cat > main.mjs <<'EOF'
import { loadLibrary } from "ops-wasm32";
import { loadModel } from "ops-wasm32/worker";
import { answer } from "./answer.mjs";
import { digit } from "./digit.mjs";
const model = await loadModel("light/lenet.wasm");
const results = await model.run({ image: digit });
console.log(answer(await loadLibrary(), { run: () => results }));
EOF
node main.mjs
