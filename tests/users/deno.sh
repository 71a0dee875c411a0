# Deno: it may read files, and nothing else.
npm install --silent "$PACKAGE"
cat > main.mjs <<'EOF'
import { loadLibrary, loadModel } from "ops-wasm32";
import { answer } from "./answer.mjs";
console.log(answer(await loadLibrary(), await loadModel("lenet.wasm")));
EOF
deno run --quiet --allow-read main.mjs
