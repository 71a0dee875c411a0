"""The npm package: calls of operators and models, and the error of each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
from npm_package import install, needs_node, node
from test_hostile_modules import Case, body, lie

from toolchain.profile import ROOT

LENET = ROOT / "build" / "models" / "lenet"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("npm"))


@needs_node
def test_a_model_writes_into_what_is_given(package: Path) -> None:
    script = """
const model = await loadModel(path);
const image = new Float32Array(784).map((_, i) => (i % 5) / 5);
const wanted = model.run({ image }).probabilities;
const out = { probabilities: new Float32Array(10) };
const same = model.runInto({ image }, out) === out;
model.view("image").set(image);
const shaped = { probabilities: { data: new Float32Array(12), shape: [0] } };
model.runInto({ image: model.view("image") }, shaped);
const into = (outputs) => failed(() => model.runInto({ image }, outputs));
const found = [
  same, wanted.shape, wanted.dtype,
  out.probabilities.every((x, i) => x === wanted.data[i]),
  await into({ probabilities: new Float32Array(9) }),
  await into({ probabilities: new Int32Array(10) }), await into({ logits: image }),
  await into(null), await failed(() => model.view("x")),
];
const before = model.view("image");
for (let i = 0; i < 100; ++i) model.runInto({ image }, out);
found.push(model.view("image") === before);
model[Symbol.dispose ?? Symbol.for("Symbol.dispose")]();
found.push(await failed(() => model.run({ image })));
show(found);"""
    path = str(LENET / "simd128" / "lenet.wasm")
    found = node(package, script, path=path)
    give = "give a Float32Array of 10: float32 1x10"
    to = "output probabilities is to be written into"
    assert [
        *(True, [1, 10], "float32", True),
        ["shape", f"{to} Float32Array of 9 elements; {give}"],
        ["dtype", f"{to} Int32Array of 10 elements; {give}"],
        ["argument", "output logits is unknown; use probabilities"],
        ["argument", "runInto: give an object with an array for each output"],
        [
            "argument",
            "x is no input or output of a known size; there are image, probabilities",
        ],
        True,
        ["argument", f"{path}: was disposed; load it again"],
    ] == found


MISTAKES = {
    "ops.softmax(x, { axis: 7 })": (
        "attribute",
        "softmax_float32: axis 7 is outside rank 2 of x; use -2..1",
    ),
    "ops.softmax(x, { axes: 7 })": (
        "attribute",
        "softmax: attribute axes is unknown; use axis; options: to, out",
    ),
    "ops.softmax()": ("argument", "softmax: input x is missing"),
    "ops.softmax(x, x)": ("argument", "softmax: got 2 arguments; it takes x, and"),
    "ops.maxPool(x, { kernelShape: 2, kernel_shape: 2 })": (
        "attribute",
        "max_pool: attribute kernel_shape is given twice; use ",
    ),
    "ops.concat([x])": ("attribute", "attribute axis is required; give { axis }"),
    "ops.relu([1, 2])": ("dtype", "relu: input x is Array of 2 elements; give { data"),
    "ops.relu(new Uint32Array(1))": ("dtype", "relu: input x is Uint32Array of 1 el"),
    "ops.relu(new Float64Array(1))": ("dtype", "relu: no kernel takes (x: float64)"),
    "ops.relu({ data: x.data })": ("shape", "lacks its shape, as in shape: [3]"),
    "ops.relu({ data: x.data, shape: [4] })": (
        "shape",
        "relu: input x: shape [4] does not hold 3 elements",
    ),
    "ops.relu({ data: x.data, shape: Array(9).fill(1) })": ("shape", "more than 8 ax"),
    "ops.relu({ ...x, dtype: 'int32' })": ("dtype", "Float32Array of 3 elements of d"),
    "ops.exp(new Int32Array(2))": (
        "dtype",
        "exp: no kernel takes (x: int32); there are exp_float32(x: float32)",
    ),
    "ops.cast(x)": ("dtype", "choose one by the option to (bool, int32, int64, int8"),
    "ops.cast(x, { to: 'half' })": ("dtype", 'cast: to: "half" is no output dtype of'),
    "ops.add(new Int8Array(1), 300)": (
        "dtype",
        "add: input b is 300, which is no int8",
    ),
    "ops.add(new BigInt64Array(1), 0.5)": ("dtype", "b is 0.5, which is no int64"),
    "ops.add(1, 1)": ("dtype", "add: the inputs fit add_float32, add_int32"),
    "ops.matmul(x, x)": ("shape", "matmul_float32: "),
    "ops.split(x)": ("argument", "number of outputs is open; give split or numOutputs"),
    "ops.split(x, { numOutputs: 0 })": ("argument", 'split: numOutputs is "0"; give 1'),
    "ops.split(x, { split: [1, 2], numOutputs: 3, axis: 1 })": (
        "attribute",
        "the lengths of its lists do not agree: numOutputs for 3, split for 2",
    ),
    "ops.concat(x, { axis: 0 })": ("argument", "takes a list of tensors, as in [a, b]"),
    "ops.resize(image, { sizes: [4, 4], mode: 'cubic' })": (
        "attribute",
        'resize: attribute mode is "cubic"; give one of nearest, linear',
    ),
    "ops.relu(x, { out: { data: new Float32Array(2), shape: [2] } })": (
        "shape",
        "out is Float32Array of 2 elements of shape [2]; the result is float32 of sha",
    ),
    "ops.relu({ shape: [2], dtype: 'float32' })": ("argument", "input 0 has no data"),
    "ops.call('nothing', x)": ("operator", 'no operator "nothing"; there are abs, add'),
    "ops.tensor([-1])": ("shape", "[-1] is no list of up to 8 sizes"),
    "ops.tensor([2], 'half')": ("dtype", "dtype half is unknown; use float32, int32"),
    "ops.tensor([1 << 30])": ("memory", "no memory for 4294967296 bytes"),
    "ops.expand(x, { shape: [30000, 30000, 3] })": (
        "shape",
        "takes 2^31 bytes or more",
    ),
}


@needs_node
def test_each_mistake_is_one_clear_error(package: Path) -> None:
    calls = ",\n".join(f"await failed(() => {call})" for call in MISTAKES)
    script = f"""
const ops = await loadLibrary({{ target: "mvp" }});
const x = {{ data: new Float32Array([1, 2, 3]), shape: [1, 3] }};
const image = {{ data: new Float32Array(4), shape: [1, 1, 2, 2] }};
show([{calls}, [...ops.add(x, x).data]]);"""
    *found, after = node(package, script)
    assert [2, 4, 6] == after  # nothing is left of them
    for (call, (code, text)), error in zip(MISTAKES.items(), found, strict=True):
        assert code == error[0], (call, error)
        assert text in error[1], call


@needs_node
def test_tensors_stay_in_memory_and_numbers_become_tensors(package: Path) -> None:
    script = """
const ops = await loadLibrary({ target: "mvp" });
const room = ops.tensor([2, 2]), result = ops.tensor([2, 2]);
room.data.set([1, -2, 3, -4]);
const first = ops.relu(room, { out: result });
const was = room.data;
ops.tensor([1 << 24]); // memory grows, and old views end
const found = [
  first === result, [...result.data], was.length, [...room.data],
  [...ops.clip(room, null, 2).data], [...ops.max(0.5, room).data],
  ops.equal(new Uint8Array([1, 0]), new Uint8Array([1, 1])).dtype,
  [...ops.where(ops.less(room, 0), 9, room).data],
  ops.infer("Conv", { shape: [1, 3, 9, 9], dtype: "float32" },
    { shape: [4, 3, 3, 3], dtype: "float32" }, { strides: [2, 2] }),
  [...ops.pow(new Int32Array([3]), 2n).data],
  ops.call("reduce_sum", room).shape,
  ops.reduceSum(room, { axes: 1, keepdims: 0 }).shape,
];
room.dispose();
found.push(await failed(() => ops.relu(room)));
ops.dispose();
found.push(await failed(() => ops.relu(1)));
show(found);"""
    found = node(package, script)
    disposed = ["argument", "the tensor was disposed; make another"]
    assert [
        *(True, [1, 0, 3, 0], 0, [1, -2, 3, -4]),
        *([1, -2, 2, -4], [1, 0.5, 3, 0.5], "bool", [1, 9, 3, 9]),
        [{"shape": [1, 4, 4, 4], "dtype": "float32"}],
        *([9], [1, 1], [2], disposed),
    ] == found[:-1]
    assert "was disposed; load it again" in found[-1][1]


@needs_node
def test_a_library_that_lies_is_refused(package: Path, tmp_path: Path) -> None:
    entries = {"abi_version": 1, "operators": {"net": ["net_float32"]}}
    other = body("ops_find", "(i32.const -1)")
    trap = body("ops_find", "unreachable")
    cases = {
        "lists": Case("", manifests=(entries | {"operators": ["net"]},)),
        "aliases": Case("", manifests=(entries | {"aliases": {"a": 1}},)),
        "nothing": Case("", manifests=(entries,), functions=(other,)),
        "another": Case("", manifests=(entries,)),
        "traps": Case("", manifests=(entries,), functions=(trap,)),
        "grammar": Case("", manifests=(entries,), signature="net(x: half) -> ()"),
        "model": Case("", manifests=lie()),
    }
    paths = {name: str(case.write(tmp_path, name)) for name, case in cases.items()}
    script = """
const found = {};
for (const [name, source] of Object.entries(paths))
  found[name] = await failed(async () =>
    (await loadLibrary({ source })).net(new Float32Array(2)));
show(found);"""
    found = node(package, script, paths=paths)
    texts = {
        "lists": "its manifest is damaged: operators are no lists of names",
        "aliases": "its manifest is damaged: aliases are no names",
        "nothing": "its manifest does not fit its kernels: it has no net_float32",
        "another": "its manifest does not fit its kernels: it has no net_float32",
        "traps": "ops_find failed: unreachable",
        "grammar": 'signature "net(x: half) -> ()" cannot be read',
        "model": "holds a model, but no operators; use loadModel()",
    }
    for name, text in texts.items():
        assert found[name][0] == "module", found[name]
        assert text in found[name][1], name


@needs_node
def test_a_model_in_a_worker(package: Path) -> None:
    script = """
const { loadModel: inWorker } = await import(worker);
const image = new Float32Array(784).map((_, i) => (i % 5) / 5);
const wanted = (await loadModel(path)).run({ image }).probabilities.data;
const seen = [];
const onProgress = ({ part, loaded, total }) => seen.push([part, loaded === total]);
const model = await inWorker(path, { onProgress });
const [first, second] = await Promise.all([model.run({ image }), model.run({ image })]);
const same = (found) => found.every((x, i) => x === wanted[i]);
const found = [
  same(first.probabilities.data), same(second.probabilities.data), seen,
  model.inputs[0].name, first.probabilities.shape,
  await failed(() => model.run({ picture: image })),
  await failed(() => model.run({ image: () => 1 })),
  await failed(() => inWorker(path + "x")),
  await failed(() => inWorker(path, { signal: AbortSignal.abort() })),
  await failed(() => inWorker(path, { signal: AbortSignal.timeout(1) })),
];
const moved = await model.run({ image }, [image.buffer]);
found.push(same(moved.probabilities.data), image.length);
const last = failed(() => model.run({ image: wanted }));
model.dispose();
found.push(await last, await failed(() => model.run({ image: wanted })));
show(found);"""
    path = str(LENET / "simd128" / "lenet.wasm")
    worker = (package / "worker.mjs").as_uri()
    found = node(package, script, path=path, worker=worker)
    disposed = ["argument", "the model was disposed"]
    assert [
        *(True, True, [["module", True]], "image", [1, 10]),
        ["argument", "input picture is unknown; use image"],
    ] == found[:6]
    codes = [error[0] for error in found[6:10]]
    assert ["argument", "file", "AbortError", "TimeoutError"] == codes
    assert [True, 0, disposed] == found[10:13]
    assert "disposed; load it again" in found[13][1]
