// Requests: one JSON line in, one JSON line out.
import { createInterface } from "node:readline";

// Answer every line with what `answer(request)` returns, or with its error.
export async function serve(answer) {
  for await (const line of createInterface({ input: process.stdin })) {
    let reply;
    try {
      reply = { value: (await answer(JSON.parse(line))) ?? null };
    } catch (error) {
      reply = { error: String(error?.stack ?? error?.message ?? error) };
    }
    process.stdout.write(JSON.stringify(reply) + "\n");
  }
}

// Seconds since an earlier process.hrtime.bigint().
export function since(start) {
  return Number(process.hrtime.bigint() - start) / 1e9;
}
