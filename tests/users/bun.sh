# Bun.
bun add --silent "$PACKAGE" >&2
cat > main.mjs <<'EOF'
import { loadLibrary, loadModel } from "ops-wasm32";
import { answer } from "./answer.mjs";
console.log(answer(await loadLibrary(), await loadModel("lenet.wasm")));
EOF
bun main.mjs
