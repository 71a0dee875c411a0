// Texts as bytes. AudioWorklets have neither TextEncoder nor TextDecoder.

/** The text of UTF-8 bytes. */
export function decode(bytes) {
  if (globalThis.TextDecoder) return new TextDecoder().decode(bytes);
  const hex = (byte) => `%${byte.toString(16).padStart(2, "0")}`;
  return decodeURIComponent(Array.from(bytes, hex).join(""));
}

/** The UTF-8 bytes of a text, with a 0 at their end, as C has it. */
export function encode(text) {
  if (globalThis.TextEncoder) return new TextEncoder().encode(`${text}\0`);
  const escaped = encodeURIComponent(`${text}\0`);
  const bytes = escaped.match(/%..|[^%]/g);
  return Uint8Array.from(bytes, (c) => (c[1] ? parseInt(c.slice(1), 16) : c.charCodeAt(0)));
}
