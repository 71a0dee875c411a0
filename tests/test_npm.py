"""The npm package: its bytes, what it loads from, and the error of each mistake."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from npm_package import FOLDERS, install, needs_node, node
from test_hostile_modules import CASES, FILE, Case, weights
from wasmtime import wat2wasm

from toolchain.abi import Error
from toolchain.link.bundle import BundleError, bundle
from toolchain.link.npm import write_npm
from toolchain.link.package import PackageError, npm_path, project
from toolchain.profile import ROOT
from toolchain.targets import TARGETS

LENET = ROOT / "build" / "models" / "lenet"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("npm"))


# What the package holds


def test_the_package_is_the_same_bytes_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = npm_path(tmp_path / "a"), npm_path(tmp_path / "b")
    write_npm(FOLDERS, first)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    write_npm(FOLDERS, second)
    assert first.read_bytes() == second.read_bytes()
    assert f"ops-wasm32-{project()['version']}.tgz" == first.name
    with tarfile.open(first) as tar:
        assert all(m.name.startswith("package/") and m.isfile() for m in tar)


def test_the_package_holds_what_it_names(package: Path) -> None:
    about = json.loads((package / "package.json").read_text())
    assert {"dependencies", "scripts", "main"} & about.keys() == set()
    named = re.findall(r'"(\./[\w./-]+)"', json.dumps(about["exports"]))
    assert {f"./{name}.wasm" for name in TARGETS} <= about["exports"].keys()
    for name in set(named) - about["exports"].keys():
        assert (package / name).is_file(), name
    for name, folder in FOLDERS.items():
        built = (folder / "ops_wasm32.wasm").read_bytes()
        assert built == (package / "wasm" / f"{name}.wasm").read_bytes()
    for path in package.glob("*.mjs"):
        text = path.read_text()
        assert re.findall(r"\beval\(|new Function|\bdocument\.write", text) == [], path
        for beside in re.findall(r'^\w.*from "(\./[^"]+)"', text, re.M):
            assert (package / beside).is_file(), beside


def test_one_file_is_enough(package: Path, tmp_path: Path) -> None:
    """A page may copy it; the SDK has the same, beside its own modules."""
    text = (package / "ops_wasm32.mjs").read_text()
    assert re.findall(r"^import\b", text, re.M) == []
    assert re.findall(r"^export\b", text, re.M) == ["export"]
    for name in TARGETS:
        assert f'new URL("./wasm/{name}.wasm", import.meta.url)' in text


def test_a_bundle_refuses_what_it_cannot_join(tmp_path: Path) -> None:
    entry = tmp_path / "a.mjs"
    other = tmp_path / "b.mjs"
    for first, second, reason in (
        ("const x = 1;\n", "export const x = 2;\n", "x is a name of b.mjs too"),
        ("export default 1;\n", "", "cannot bundle 'export default 1;'"),
        ("", 'import { y } from "./a.mjs";\n', "imports itself by way of b.mjs"),
        ('import z from "./c.mjs";\n', "", "cannot bundle 'import z"),
    ):
        entry.write_text(f'// A.\n\nimport {{ x }} from "./b.mjs";\n{first}')
        other.write_text(second)
        with pytest.raises(BundleError, match=re.escape(reason)):
            bundle(entry)


def test_operators_that_differ_are_refused(tmp_path: Path) -> None:
    shutil.copytree(FOLDERS["mvp"], tmp_path / "mvp", ignore=lambda *_: ["obj"])
    path = tmp_path / "mvp" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["kernels"]["add_float32"]
    path.write_text(json.dumps(manifest))
    folders = FOLDERS | {"mvp": tmp_path / "mvp"}
    with pytest.raises(PackageError, match=r"mvp.* differ; build every operator"):
        write_npm(folders, tmp_path / "x.tgz")


@needs_node
def test_types_name_what_the_library_has(package: Path) -> None:
    text = (package / "operators.d.mts").read_text()
    members = text.partition("export interface Operators {")[2]
    declared = set(re.findall(r"^  (\w+)[(:]", members, re.M))
    script = """
const ops = await loadLibrary();
show(Object.getOwnPropertyNames(ops).filter((n) => typeof ops[n] === "function"));"""
    assert declared == set(node(package, script))
    assert {"softmax", "argMax", "matMul", "and", "max", "reduceL2"} <= declared
    codes = re.search(r"CallErrorCode =\n(.*);", text)
    assert codes
    assert {e.name.lower() for e in Error} == set(re.findall(r"\w+", codes[1]))


@needs_node
def test_types_name_what_the_package_exports(package: Path) -> None:
    text = (package / "ops_wasm32.d.mts").read_text()
    declared = re.findall(r"^export (?:function|class|const) (\w+)", text, re.M)
    assert sorted(declared) == sorted(node(package, "show(Object.keys(all));"))


# Targets


@needs_node
def test_the_best_target_is_taken(package: Path) -> None:
    script = "show([all.supportedTargets(), (await loadLibrary()).target]);"
    best = "relaxed-simd-v8"
    taken = node(package, script)
    assert taken[0][0] == taken[1]
    assert taken[0][-2:] == ["simd128", "mvp"]
    version = subprocess.run(["node", "-v"], capture_output=True, text=True, check=True)
    if version.stdout.startswith("v20."):
        assert taken[1] == "simd128"
        script = f"show(await failed(() => loadLibrary({{ target: '{best}' }})));"
        code, text = node(package, script)
        assert code == "engine"
        assert f"is built for {best}, which this engine does not have" in text
        with_it = "--experimental-wasm-relaxed-simd"
        script = "show([all.supportedTargets(), (await loadLibrary()).target]);"
        assert node(package, script, with_it)[1] == best


@needs_node
def test_probes_tell_engines_apart(package: Path) -> None:
    """An engine that refuses SIMD, as older ones do, gets plain WebAssembly."""
    old = """
const { validate } = WebAssembly;
WebAssembly.validate = (bytes) => !bytes.includes(0xfd) && validate(bytes);
show([all.supportedTargets(), (await loadLibrary()).target]);"""
    assert [["mvp"], "mvp"] == node(package, old)


# Sources

SOURCES = """
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
const bytes = await readFile(path);
const kinds = {
  "/net.wasm": [200, "application/wasm", bytes],
  "/wrong.wasm": [200, "text/html; charset=utf-8", bytes],
  "/cut.wasm": [200, "application/wasm", bytes.subarray(0, 9000)],
  "/page": [200, "application/wasm", Buffer.from("<!doctype html>")],
};
const server = createServer(({ url }, response) => {
  const [status, type, body] = kinds[url] ?? [404, "text/plain", "none"];
  if (url === "/slow.wasm")
    return void response.writeHead(200).write(bytes.subarray(0, 99));
  response.writeHead(status, { "Content-Type": type, "Content-Length": body.length });
  response.end(body);
}).listen(0, "127.0.0.1");
await new Promise((resolve) => server.once("listening", resolve));
const at = (name) => `http://127.0.0.1:${server.address().port}${name}`;
const drips = () => new Response(new ReadableStream({
  start(controller) {
    for (const byte of bytes.subarray(0, 2000)) controller.enqueue(Uint8Array.of(byte));
    controller.enqueue(bytes.subarray(2000));
    controller.close();
  },
}));
const image = new Float32Array(784).map((_, i) => (i % 7) / 7);
const run = (model) => [...model.run({ image }).probabilities.data].join();
"""


@needs_node
def test_every_source_gives_the_same_model(package: Path) -> None:
    script = f"""{SOURCES}
const first = await loadModel(path);
const sources = [
  new URL(`file://${{path}}`), `file://${{path}}`, bytes, new Uint8Array(bytes).buffer,
  first.module, at("/net.wasm"), new URL(at("/wrong.wasm")),
  await fetch(at("/net.wasm")), drips(),
];
const found = [];
for (const source of sources) found.push(run(await loadModel(source)) === run(first));
found.push(run(openModel(first.module)) === run(first));
found.push(run(await first.clone()) === run(first));
delete WebAssembly.compileStreaming;
found.push(run(await loadModel(at("/net.wasm"))) === run(first));
delete globalThis.TextDecoder;
delete globalThis.TextEncoder;
found.push(run(await loadModel(path)) === run(first));
server.close();
show(found);"""
    path = LENET / "simd128" / "lenet.wasm"
    assert [True] * 13 == node(package, script, path=str(path))


# Code and text of the error for each thing that is no model.
UNLOADABLE = {
    "404": ("file", "/none.wasm: 404 Not Found"),
    "cut": ("module", "is cut off or damaged in section"),
    "page": ("module", "/page: is no WebAssembly module of version 1"),
    "used": ("file", "/net.wasm: was read before; give a Response that was not"),
    "nobody": ("file", "http://127.0.0.1:1/net.wasm: cannot be fetched: "),
    "number": ("argument", "3.5 is nothing to load; give a path, a URL, a Resp"),
    "option": (
        "argument",
        "option weight is unknown; use weights, signal, onProgress, cache",
    ),
    "options": ("argument", 'the options are "weights.safetensors"; give an object'),
    "operators": ("module", "holds operators, but no model; use loadLibrary()"),
    "cache": ("engine", "this engine has no Cache storage"),
    "aborted": ("AbortError", "aborted"),
    "slow": ("TimeoutError", "timeout"),
    "late": ("Error", "late"),
    "model": ("module", "holds a model, but no operators; use loadModel()"),
    "target": (
        "argument",
        "target avx is unknown; use relaxed-simd, relaxed-simd-v8, simd128, mvp",
    ),
    "missing": ("module", "it does not export ops_alloc, ops_call, ops_find"),
}


@needs_node
def test_what_cannot_be_loaded(package: Path) -> None:
    script = f"""{SOURCES}
const tried = (source, options) => failed(() => loadModel(source, options));
const used = await fetch(at("/net.wasm"));
await used.arrayBuffer();
const late = new AbortController();
setTimeout(() => late.abort(new Error("late")), 100);
const response = await fetch(at("/slow.wasm"));
const found = {{
  404: await tried(at("/none.wasm")),
  cut: await tried(at("/cut.wasm")),
  page: await tried(at("/page")),
  used: await tried(used),
  nobody: await tried("http://127.0.0.1:1/net.wasm"),
  number: await tried(3.5),
  option: await tried(path, {{ weight: "x" }}),
  options: await tried(path, "weights.safetensors"),
  operators: await tried(library),
  cache: await tried(light, {{ cache: true }}),
  aborted: await tried(path, {{ signal: AbortSignal.abort() }}),
  slow: await tried(at("/slow.wasm"), {{ signal: AbortSignal.timeout(100) }}),
  late: await tried(response, {{ signal: late.signal }}),
  model: await failed(() => loadLibrary({{ source: path }})),
  target: await failed(() => loadLibrary({{ target: "avx" }})),
  missing: await failed(() => openModel(new WebAssembly.Module(other))),
}};
server.closeAllConnections();
server.close();
show(found);"""
    made = Case("", **weights(FILE, 64)).write(package.parent, "light")
    (package.parent / "w.safetensors").unlink()
    library = str(FOLDERS["mvp"] / "ops_wasm32.wasm")
    script = f"const other = new Uint8Array({list(wat2wasm('(module)'))});\n{script}"
    path = str(LENET / "simd128" / "lenet.wasm")
    found = node(package, script, path=path, library=library, light=str(made))
    assert found.keys() == UNLOADABLE.keys()
    for name, (code, text) in UNLOADABLE.items():
        assert found[name][0] == code, (name, found[name])
        assert text in found[name][1], name


HOSTILE = ("start loops", "export missing", "two memories", "table of 10^9", "model a")


@needs_node
def test_a_stream_is_judged_as_a_file_is(package: Path, tmp_path: Path) -> None:
    cases = {n: c for n, c in CASES.items() if n.startswith(HOSTILE) and not c.weights}
    paths = {name: str(case.write(tmp_path, name)) for name, case in cases.items()}
    script = """
import { readFile } from "node:fs/promises";
const found = {};
for (const [name, path] of Object.entries(paths)) {
  const bytes = await readFile(path);
  const body = new ReadableStream({
    start(controller) {
      for (let at = 0; at < bytes.length; at += 3)
        controller.enqueue(bytes.subarray(at, at + 3));
      controller.close();
    },
  });
  found[name] = await failed(() => loadModel(new Response(body)));
}
show(found);"""
    found = node(package, script, paths=paths)
    assert len(found) >= len(HOSTILE)
    for name, (code, text) in found.items():
        assert code == "module", name
        assert cases[name].error in text, name


# Weights


@needs_node
def test_weights_are_found_and_checked(package: Path, tmp_path: Path) -> None:
    path = Case("", **weights(FILE, 64)).write(tmp_path, "net")
    wrong = tmp_path / "wrong.safetensors"
    wrong.write_bytes(FILE[:-1] + b"x")
    script = """
import { readFile } from "node:fs/promises";
const seen = [];
const onProgress = (progress) => seen.push(progress);
await loadModel(path, { onProgress });
await loadModel(`file://${path}`);
const bytes = await readFile(path), file = await readFile(beside);
const { module } = await loadModel(bytes, { weights: new URL(`file://${beside}`) });
openModel(module, { weights: file });
delete globalThis.crypto; // as on a page without https
await loadModel(path);
show([
  seen,
  await failed(() => loadModel(path, { weights: wrong })),
  await failed(() => loadModel(path, { weights: beside + "x" })),
  await failed(() => loadModel(bytes)),
  await failed(() => openModel(module)),
  await failed(() => openModel(module, { weights: new Uint8Array(9) })),
]);"""
    beside = str(tmp_path / "w.safetensors")
    seen, *errors = node(
        package, script, path=str(path), beside=beside, wrong=str(wrong)
    )
    sizes = {"module": path.stat().st_size, "weights": len(FILE)}
    assert [{"part": p, "loaded": n, "total": n} for p, n in sizes.items()] == seen
    assert {"weights"} == {code for code, _ in errors}
    texts = [text for _, text in errors]
    built = hashlib.sha256(FILE).hexdigest()
    assert f"w.safetensors: has sha256 {hashlib.sha256(wrong.read_bytes())}" != texts[0]
    assert texts[0].endswith(f"but the module was built with {built}")
    assert "its weights are missing" in texts[1]
    assert ["give the weights too: w.safetensors"] * 2 == texts[2:4]
    assert "w.safetensors: has sha256 " in texts[4]


@needs_node
def test_hashes_without_an_engine_for_them(package: Path) -> None:
    sizes = [0, 1, 55, 56, 63, 64, 65, 119, 128, 1000]
    script = """
const { sha256 } = await import(module);
const bytes = (size) => Uint8Array.from({ length: size }, (_, i) => i * 7 + 3);
show(sizes.map((size) => Buffer.from(sha256(bytes(size))).toString("hex")));"""
    module = (ROOT / "embed" / "js" / "sha256.mjs").as_uri()
    found = node(package, script, module=module, sizes=sizes)
    files = [bytes((i * 7 + 3) % 256 for i in range(size)) for size in sizes]
    assert [hashlib.sha256(file).hexdigest() for file in files] == found
