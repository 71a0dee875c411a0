# Node, each version.
npm install --silent "$PACKAGE"
cat > main.mjs <<'EOF'
import { loadLibrary, loadModel } from "ops-wasm32";
import { answer } from "./answer.mjs";
console.log(answer(await loadLibrary(), await loadModel("lenet.wasm")));
EOF
for node in node node22 node24; do "$node" main.mjs; done
