// Opens the page of this folder in headless Chromium and prints what it posts to /answer:
// node page.mjs [--wrong-types]
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { delimiter, extname, join, normalize } from "node:path";

const SECONDS = 90;
const POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'";
const TYPES = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": process.argv.includes("--wrong-types") ? "text/plain" : "application/wasm",
};

function browser() {
  const names = ["chromium", "chromium-browser", "google-chrome"];
  const folders = process.env.PATH.split(delimiter);
  const known = [
    ...(process.env.CHROMIUM ? [process.env.CHROMIUM] : []),
    ...names.flatMap((name) => folders.map((folder) => join(folder, name))),
  ];
  const found = known.find(existsSync);
  if (found) return found;
  console.error("no Chromium is on the path; install it (Debian: chromium), or set CHROMIUM");
  process.exit(77);
}

async function body(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString();
}

function serve(answered) {
  return createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    if (pathname === "/answer") {
      answered(await body(request));
      return response.end();
    }
    const file = normalize(pathname).replace(/\/$/, "/index.html");
    try {
      const data = await readFile(`.${file}`);
      const type = TYPES[extname(file)] ?? "application/octet-stream";
      response.writeHead(200, {
        "Content-Type": type,
        "Content-Length": data.length,
        "Content-Security-Policy": POLICY,
      });
      response.end(data);
    } catch {
      response.writeHead(404).end();
    }
  });
}

const program = browser();
let end;
const answer = new Promise((resolve) => (end = resolve));
const server = serve(end).listen(0, "127.0.0.1");
await new Promise((resolve) => server.once("listening", resolve));
const profile = mkdtempSync(join(tmpdir(), "page-"));
const options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"];
const url = `http://127.0.0.1:${server.address().port}/`;
const child = spawn(program, [...options, `--user-data-dir=${profile}`, url], {
  stdio: "ignore",
  detached: true,
});
child.on("error", (error) => end(`failed: ${program}: ${error.message}`));
const timer = setTimeout(() => end(`failed: no answer within ${SECONDS} s`), SECONDS * 1000);
console.log(await answer);
clearTimeout(timer);
try {
  process.kill(-child.pid, "SIGKILL"); // the browser and the processes that it started
} catch {
  // It has ended by itself.
}
await new Promise((resolve) => setTimeout(resolve, 200));
rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
process.exit(0);
