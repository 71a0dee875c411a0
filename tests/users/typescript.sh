# TypeScript, as strict as it can be; the program runs in Node.
npm install --silent "$PACKAGE"
cat > main.mts <<'EOF'
import { loadLibrary, loadModel, OpsError, type Tensor } from "ops-wasm32";
import { loadModel as inWorker } from "ops-wasm32/worker";
import operators from "ops-wasm32/simd128.wasm";
import { answer } from "./answer.mjs";

const ops = await loadLibrary();
const model = await loadModel<{ probabilities: "float32" }>("lenet.wasm", {
  signal: AbortSignal.timeout(60_000),
  onProgress: ({ part, loaded, total }) => void [part, loaded, total ?? 0],
});
console.log(answer(ops, model));

const x = { data: new Float32Array([1, 2, 3]), shape: [1, 3] };
const cast: Tensor<"int8"> = ops.cast(x, { to: "int8" });
const parts: Tensor<"float32">[] = ops.split(x, { axis: 1, numOutputs: 3 });
const first: bigint | undefined = ops.argMax(x, { axis: 1 }).data[0];
const mask: Tensor<"bool"> = ops.equal(x, 1);
const chosen: Tensor<"float32"> = ops.where(mask, x, ops.matMul(x, x.data));
const room = ops.tensor([1, 3], "float32");
const shapes: (readonly number[])[] = [cast, parts[0]!, chosen, ops.relu(x, { out: room })].map(
  ({ shape }) => shape,
);
export type Used = [typeof first, typeof shapes, typeof operators, typeof inWorker, OpsError];

export function mistakes(): void {
  // @ts-expect-error: a required attribute is missing
  ops.maxPool(x);
  // @ts-expect-error: an attribute that there is not
  ops.softmax(x, { axes: 1 });
  // @ts-expect-error: a dtype that softmax does not take
  ops.softmax(new Int32Array(3));
  // @ts-expect-error: a choice that there is not
  ops.resize(x, { sizes: [1], mode: "cubic" });
  // @ts-expect-error: the inputs do not say which dtype comes out
  ops.cast(x);
  // @ts-expect-error: a mask is no number
  ops.add(mask, mask);
  // @ts-expect-error: an operator that there is not
  ops.nothing(x);
  // @ts-expect-error: an output that the model does not have
  model.run({ image: x.data }).logits;
}
EOF
cat > tsconfig.json <<'EOF'
{
  "compilerOptions": {
    "strict": true, "exactOptionalPropertyTypes": true, "noUncheckedIndexedAccess": true,
    "noImplicitOverride": true, "noPropertyAccessFromIndexSignature": true,
    "verbatimModuleSyntax": true, "skipLibCheck": false, "allowJs": true, "types": [],
    "module": "nodenext", "target": "es2022", "lib": ["es2022", "dom"], "outDir": "out"
  },
  "files": ["main.mts"]
}
EOF
tsc -p .
cp lenet.wasm out/
cd out
sed -i '/ops-wasm32\/simd128.wasm/d' main.mjs
node main.mjs
