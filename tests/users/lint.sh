# The checks of packages: publint, and whether the types fit the modules.
publint --strict "$PACKAGE" >&2
attw --profile esm-only --format ascii --no-color "$PACKAGE" >&2
npm install --silent "$PACKAGE"
cat > main.mjs <<'EOF'
import { loadLibrary, loadModel } from "ops-wasm32";
import { answer } from "./answer.mjs";
import about from "ops-wasm32/package.json" with { type: "json" };
if (about.dependencies || about.scripts) throw new Error("the package needs others");
console.log(answer(await loadLibrary(), await loadModel("lenet.wasm")));
EOF
node --no-warnings main.mjs
