// Which targets the engine takes.
import { TARGETS } from "./tables.mjs";

/** Whether the engine has a target's features; undefined where nothing tells. */
export function features(name) {
  const probe = TARGETS.find((target) => target.name === name)?.probe;
  if (!probe) return undefined;
  const bytes = Uint8Array.from(probe.match(/../g), (byte) => parseInt(byte, 16));
  return WebAssembly.validate(bytes);
}

/** Whether the engine is V8, by its words for one mistake. */
function isV8() {
  try {
    return null.property;
  } catch (error) {
    return error.message.startsWith("Cannot read properties of null");
  }
}

/** Names of the targets that the engine takes, best first. */
export function supportedTargets() {
  const own = isV8();
  const taken = TARGETS.filter(({ name }) => features(name));
  const before = (a, b) => a.probe === b.probe && a.v8 !== b.v8 && (b.v8 === own ? 1 : -1);
  return taken.sort(before).map(({ name }) => name);
}
