// Names of operators and attributes.

/** A name in camelCase: arg_max and ArgMax are argMax, And is and. */
export function camelCase(name) {
  const words = name.replace(/_+(\w)/g, (_, letter) => letter.toUpperCase());
  return words.replace(/^[A-Z]+(?=[A-Z][a-z])|^[A-Z]/, (head) => head.toLowerCase());
}

/** A name without case and underscores, by which operators are found. */
export function plain(name) {
  return name.replaceAll("_", "").toLowerCase();
}
