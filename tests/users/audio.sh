# An AudioWorklet: each block of samples goes through an operator, without allocation.
npm install --silent "$PACKAGE"
echo '<!doctype html><script type="module" src="main.mjs"></script>' > index.html
cat > processor.mjs <<'EOF'
import { openLibrary, openModel } from "./node_modules/ops-wasm32/ops_wasm32.mjs";
import { answer } from "./answer.mjs";
class Soft extends AudioWorkletProcessor {
  constructor({ processorOptions: { operators, net } }) {
    super();
    this.ops = openLibrary(operators);
    this.block = this.ops.tensor([128]);
    this.port.postMessage(answer(this.ops, openModel(net)));
  }
  process([[input]], [[output]]) {
    if (!input) return true;
    this.block.data.set(input);
    output.set(this.ops.tanh(this.block, { out: this.block }).data);
    return true;
  }
}
registerProcessor("soft", Soft);
EOF
cat > main.mjs <<'EOF'
import { loadLibrary, loadModel } from "./node_modules/ops-wasm32/ops_wasm32.mjs";
const report = (text) => fetch("/answer", { method: "POST", body: text });
try {
  const [{ module: operators }, { module: net }] = await Promise.all([
    loadLibrary(),
    loadModel("lenet.wasm"),
  ]);
  const context = new OfflineAudioContext(1, 1024, 48000);
  await context.audioWorklet.addModule("processor.mjs");
  const node = new AudioWorkletNode(context, "soft", { processorOptions: { operators, net } });
  node.onprocessorerror = () => report("failed: the processor");
  const said = new Promise((resolve) => (node.port.onmessage = ({ data }) => resolve(data)));
  const wave = context.createBuffer(1, 1024, 48000);
  const samples = wave.getChannelData(0).map((_, i) => 3 * Math.sin(i / 9));
  wave.copyToChannel(samples, 0);
  const source = new AudioBufferSourceNode(context, { buffer: wave });
  source.connect(node).connect(context.destination);
  source.start();
  const heard = (await context.startRendering()).getChannelData(0);
  const worst = Math.max(...heard.map((value, i) => Math.abs(value - Math.tanh(samples[i]))));
  if (!(worst < 1e-6)) throw new Error(`tanh is ${worst} off`);
  await report(await said);
} catch (error) {
  await report(`failed: ${error.stack}`);
}
EOF
node "$USERS/page.mjs"
