# An AudioWorklet, as docs/javascript.md has it: each block of samples goes through an
# operator, without allocation.
npm install --silent "$PACKAGE"
echo '<!doctype html><script type="module" src="main.mjs"></script>' > index.html
cat > reader.mjs <<'EOF'
import { openLibrary, openModel } from "./node_modules/ops-wasm32/ops_wasm32.mjs";
import { answer } from "./answer.mjs";
class Reader extends AudioWorkletProcessor {
  constructor({ processorOptions: { operators, net } }) {
    super();
    this.port.postMessage(answer(openLibrary(operators), openModel(net)));
  }
  process() {
    return false;
  }
}
registerProcessor("reader", Reader);
EOF
cat > main.mjs <<'EOF'
import { loadLibrary, loadModel } from "./node_modules/ops-wasm32/ops_wasm32.mjs";
import { softClip } from "./audio.mjs";
const report = (text) => fetch("/answer", { method: "POST", body: text });

// Samples that went through the operator, beside what they should be.
async function worst(context) {
  const wave = context.createBuffer(1, context.length, context.sampleRate);
  const samples = wave.getChannelData(0).map((_, i) => 3 * Math.sin(i / 9));
  wave.copyToChannel(samples, 0);
  const source = new AudioBufferSourceNode(context, { buffer: wave });
  source.connect(await softClip(context)).connect(context.destination);
  source.start();
  const heard = (await context.startRendering()).getChannelData(0);
  return Math.max(...heard.map((value, i) => Math.abs(value - Math.tanh(samples[i]))));
}

// A model and operators in a worklet.
async function answered(context) {
  const [{ module: operators }, { module: net }] = await Promise.all([
    loadLibrary(),
    loadModel("lenet.wasm"),
  ]);
  await context.audioWorklet.addModule("reader.mjs");
  const node = new AudioWorkletNode(context, "reader", { processorOptions: { operators, net } });
  return new Promise((resolve, reject) => {
    node.port.onmessage = ({ data }) => resolve(data);
    node.onprocessorerror = () => reject(new Error("the processor failed"));
  });
}

try {
  const off = await worst(new OfflineAudioContext(1, 1024, 48000));
  if (!(off < 1e-6)) throw new Error(`tanh is ${off} off`);
  await report(await answered(new OfflineAudioContext(1, 128, 48000)));
} catch (error) {
  await report(`failed: ${error.stack}`);
}
EOF
node "$USERS/page.mjs"
