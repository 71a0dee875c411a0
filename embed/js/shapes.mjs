// The shapes of a model's inputs, and the names of sizes that they bind.
import { given, OpsError } from "./errors.mjs";
import { isAxis, isKnown, isSize, product, shapeText } from "./manifest.mjs";
import { MAX_SIZE } from "./tables.mjs";

/** The elements of a tensor that is given. */
export function dataOf(value) {
  return value?.data ?? value;
}

/** What to give for a tensor of a manifest. */
function wish({ dtype, shape, kind }) {
  return shape && isKnown(shape)
    ? `a ${kind.name} of ${product(shape)}: ${dtype} ${shape.join("x")}`
    : `{ data, shape } with a ${kind.name}: ${dtype} ${shapeText(shape)}`;
}

/** The error for an array that cannot hold an output. */
export function wrongOutput(tensor, data) {
  const code = data instanceof tensor.kind ? "shape" : "dtype";
  return new OpsError(
    code,
    `output ${tensor.name} is to be written into ${given(data)}; give ${wish(tensor)}`,
  );
}

/** The shape of an input: the one given with it, or what its length says.
 *
 *  tensor: as the manifest has it. bound: sizes by name that are known already. */
export function shapeOf(tensor, value, bound) {
  const { name, dtype, shape: wanted, kind } = tensor;
  const [data, shape] = [dataOf(value), value?.shape];
  const error = (code) =>
    new OpsError(
      code,
      `input ${name} is ${given(data)}${shape ? ` of shape [${shape}]` : ""}; give ` +
        wish(tensor),
    );
  if (!(data instanceof kind)) throw error("dtype");
  if (data !== value && value.dtype !== undefined && value.dtype !== dtype)
    throw new OpsError("dtype", `input ${name} has dtype ${value.dtype}; give ${wish(tensor)}`);
  const found = [...(shape ?? wanted ?? "?")].map((n) =>
    isSize(n) || shape ? n : (bound.get(n)?.size ?? n),
  );
  const known = found.filter(isSize);
  if (!shape && known.length === found.length - 1)
    found[found.findIndex((n) => !isSize(n))] = data.length / product(known);
  if (!found.every(isAxis) || product(found) !== data.length) throw error("shape");
  return found;
}

/** Note named sizes of an input. Errors: OpsError for a shape that the input or the
 *  others do not allow, with the axis and the size. */
export function bindSizes({ name, shape: wanted }, shape, bounds, bound) {
  if (wanted === null) return;
  const takes = `${name} takes ${shapeText(wanted)}`;
  if (shape.length !== wanted.length)
    throw new OpsError("shape", `input ${name} has shape [${shape.join(", ")}]; ${takes}`);
  shape.forEach((size, axis) => {
    const place = `axis ${axis} of input ${name}`;
    const fail = (why) => {
      throw new OpsError("shape", `${place} has size ${size}${why}; ${takes}`);
    };
    const key = wanted[axis];
    if (isSize(key) && key !== size) fail(` instead of ${key}`);
    if (isSize(key) || !bounds.has(key)) return;
    const [low, high] = bounds.get(key);
    if (size < low || size > high)
      fail(
        `, but ${key} is ${low} ${high < MAX_SIZE ? `to ${high}` : "or more"}; give such a ` +
          "size or compile the model with other bounds (--dim)",
      );
    const before = bound.get(key) ?? { size, place };
    if (before.size !== size)
      fail(`, but ${key} is ${before.size} by ${before.place}; give both the same size`);
    bound.set(key, before);
  });
}
