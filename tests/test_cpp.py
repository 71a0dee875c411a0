"""ops_wasm32.hpp: C++17 without exceptions, allocation or a standard library."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import wasmtime
from documents import ZIG

from toolchain.process.command import ToolError, run, tool
from toolchain.profile import ROOT

BUILD = ROOT / "build" / "simd128"
STRICT = (
    *("-std=c++17", "-O2", "-fno-exceptions", "-fno-rtti", "-nostdlib"),
    *("-Wall", "-Wextra", "-Werror", "-pedantic"),
)
PROGRAM = """
#include <ops_wasm32.hpp>
static bool is(const char *text, const char *start) {
  while (*start && *text == *start) ++text, ++start;
  return !*start;
}
extern "C" __attribute__((export_name("run"))) int run() {
  const float data[] = {1, 2, 3};
  float result[9] = {};
  ops::tensor x(data, {1, 3}), y(data + 1, ops::shape{});
  ops::tensor out(result, {1, 3});
  if (ops::softmax(x, out) || !(result[2] > 0.6652f && result[2] < 0.6653f)) return 1;
  if (ops::softmax(x, out, {0}) || !(result[1] > 0.999f)) return 2;
  const ops::error wrong = ops::softmax(x, out, {7});
  if (wrong.code != OPS_ERROR_ATTRIBUTE) return 3;
  if (!is(wrong.text, "softmax_float32: axis 7 is outside rank 2 of x")) return 4;
  ops::tensor<float> shaped;
  ops::tensor image(data, {1, 3, 9, 9}), weights(data, {4, 3, 3, 3});
  if (ops::infer_conv(image, weights, {}, shaped, {1, {2, 2}})) return 5;
  if (shaped.shape.rank != 4 || shaped.shape.sizes[3] != 4) return 6;
  if (shaped.shape.count() != 64) return 7;
  int32_t a[] = {1, 2, 3, 4}, b[2], c[2];
  const ops::tensor<int32_t> parts[] = {{b, {2}}, {c, {2}}};
  if (ops::split(ops::tensor(a, {4}), parts, {0}) || c[1] != 4) return 8;
  const ops::tensor<const int32_t> both[] = {parts[1], parts[0]};
  if (ops::concat(both, ops::tensor(a, {4}), {0}) || a[0] != 3) return 9;
  bool mask[3];
  if (ops::greater(x, y, ops::tensor(mask, {1, 3}))) return 10;
  if (mask[1] || !mask[2]) return 11;
  const float limit = 2;
  ops::tensor most(&limit, ops::shape{});
  if (ops::clip(x, {}, most, out) || result[2] != 2) return 12;
  ops::tensor row(data, {1, 1, 1, 3});
  ops::tensor pooled(result, {1, 1, 1, 3});
  ops::max_pool_attributes window{0, {1, 1}};
  if (ops::max_pool(row, pooled, window) || result[2] != 3) return 13;
  window.pads = {1, 1};
  const ops::error uneven = ops::max_pool(row, pooled, window);
  if (!is(uneven.text, "lists of attributes or tensors that differ")) return 14;
  ops::resize_attributes larger{ops::resize_mode::linear, {}, {}, {1, 6}};
  ops::tensor wide(result, {1, 1, 1, 6});
  if (ops::resize(row, wide, larger) || result[5] != 3) return 15;
  return 0;
}
"""
# What the compiler refuses, and its words.
REFUSED = {
    "ops::softmax(x, y)": "no viable conversion from 'tensor<int>' to 'tensor<float>'",
    "ops::add(x, y, f)": "no matching function for call to 'add'",
    "ops::concat({}, f, {})": "no matching function for call to 'concat'",
    "ops::average_pool(f, f, {0})": "no matching constructor",
    "ops::add(f, f, ops::tensor(read, {2}))": "no matching function",
    "ops::shape{1, 2, 3, 4, 5, 6, 7, 8, 9}": "too many axes",
}


def compiled(folder: Path, text: str, *options: str | Path) -> Path:
    source, out = folder / "main.cpp", folder / "main.wasm"
    source.write_text(text)
    include = f"-I{BUILD / 'include'}"
    run([*tool("CLANG"), *STRICT, include, source, *options, "-o", out])
    return out


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ZIG.items():
        monkeypatch.setenv(name, value)


def test_operators_from_cpp(tmp_path: Path) -> None:
    target = ("-target", "wasm32-freestanding", "-Wl,--no-entry")
    module = compiled(tmp_path, PROGRAM, *target, f"-L{BUILD}", "-lops_wasm32")
    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    program = wasmtime.Module.from_file(engine, str(module))
    assert [] == list(program.imports)
    exported = wasmtime.Instance(store, program, []).exports(store)["run"]
    assert isinstance(exported, wasmtime.Func)
    assert 0 == exported(store)


@pytest.mark.parametrize("call", REFUSED)
def test_mistakes_do_not_compile(tmp_path: Path, call: str) -> None:
    text = f"""
#include <ops_wasm32.hpp>
void call(float *data, int32_t *words, const float *read) {{
  ops::tensor f(data, {{2}}), x(data, {{2}});
  ops::tensor y(words, {{2}});
  (void)read;
  (void)({call});
}}
"""
    target = ("-target", "wasm32-freestanding", "-c", "-Wno-unused")
    with pytest.raises(ToolError, match=re.escape(REFUSED[call])):
        compiled(tmp_path, text, *target)
