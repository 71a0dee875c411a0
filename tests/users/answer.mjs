// What each user does: an operator, and a model that reads a digit.
import { digit } from "./digit.mjs";

/** One line. ops, model: of the package, however the user has loaded them. */
export function answer(ops, model) {
  const x = { data: new Float32Array([1, 2, 3]), shape: [1, 3] };
  const y = ops.softmax(x, { axis: -1 });
  const { probabilities } = model.run({ image: digit });
  const best = ops.argMax(probabilities, { axis: 1, keepdims: false });
  const numbers = Array.from(y.data, (value) => value.toFixed(4));
  return `softmax ${numbers.join(" ")}; digit ${best.data[0]}`;
}
