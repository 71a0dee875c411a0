"""The packages: the SDK compiles a C program, the wheel works where it is installed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
import wasmtime

from toolchain.link.package import PackageError, package_paths, write_sdk
from toolchain.link.wheels import requirements, write_compiler, write_host
from toolchain.process.command import run, tool
from toolchain.profile import ROOT
from toolchain.targets import TARGETS

FOLDERS = {name: ROOT / "build" / name for name in TARGETS}
RESULT = "a + b: 11 22 33 44\na @ b: 70 100 150 220\n"
# zig's C library with printf of floats is 40 KB of it.
MAX_EXAMPLE_BYTES = 64 << 10
MAX_COMPILER_BYTES = 4 << 20


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked SDK, in a folder that its files cannot know."""
    folder = tmp_path_factory.mktemp("sdk")
    archive, *_ = package_paths(folder)
    write_sdk(FOLDERS, archive)
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    _, path, _ = package_paths(tmp_path_factory.mktemp("wheel"))
    write_host(FOLDERS, path)
    return path


@pytest.fixture(scope="module")
def compiler(wheel: Path) -> Path:
    """The compiler's wheel, beside the host's."""
    *_, path = package_paths(wheel.parent)
    write_compiler(FOLDERS, path)
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel; of ours it sees wasmtime and numpy."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, system_site_packages=False, with_pip=False)
    python = folder / "bin" / "python"
    run(
        [
            *(sys.executable, "-m", "pip", "--python", python, "install", "--quiet"),
            *("--no-index", "--no-deps", wheel),
        ]
    )
    site = next((folder / "lib").glob("python*/site-packages"))
    for name in ("wasmtime", "numpy"):
        spec = find_spec(name)
        assert spec
        assert spec.origin
        package = Path(spec.origin).parent
        for found in (package, package.with_name(f"{name}.libs")):
            if found.exists():
                (site / found.name).symlink_to(found)
    return folder


def command(folder: Path, *words: str) -> tuple[int, str, str]:
    """Exit code, output and errors of the environment's ops-wasm32."""
    done = subprocess.run(
        [folder / "bin" / "ops-wasm32", *words],
        cwd=folder,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def run_wasi(module: Path, output: Path) -> str:
    """Standard output of a WASI program in wasmtime."""
    engine = wasmtime.Engine()
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    store = wasmtime.Store(engine)
    config = wasmtime.WasiConfig()
    config.stdout_file = str(output)
    store.set_wasi(config)
    program = wasmtime.Module.from_file(engine, str(module))
    start = linker.instantiate(store, program).exports(store)["_start"]
    assert isinstance(start, wasmtime.Func)
    start(store)
    return output.read_text()


def test_sdk_holds_every_artifact(sdk: Path) -> None:
    files = {str(p.relative_to(sdk)) for p in sdk.rglob("*") if p.is_file()}
    expected = {
        "LICENSE",
        "README.md",
        "examples/c/CMakeLists.txt",
        "examples/c/main.c",
        "examples/c/main.cpp",
        "examples/c/run_wasi.py",
        "js/ops_wasm32.mjs",
        "include/ops_kernels.h",
        "include/ops_wasm32.h",
        "include/ops_wasm32.hpp",
        "lib/cmake/ops_wasm32/ops_wasm32Config.cmake",
        "lib/cmake/ops_wasm32/ops_wasm32ConfigVersion.cmake",
    }
    for name in TARGETS:
        expected |= {
            f"lib/{name}/libops_wasm32.a",
            f"lib/pkgconfig/ops_wasm32-{name}.pc",
            f"wasm/{name}/manifest.json",
            f"wasm/{name}/ops_wasm32.wasm",
        }
    assert expected == files
    assert [] == [p for p in sdk.rglob("*.cmake") if "@" in p.read_text()]


def test_sdk_matches_its_manifests(sdk: Path) -> None:
    for name in TARGETS:
        manifest = json.loads((sdk / "wasm" / name / "manifest.json").read_text())
        for folder, file in (("lib", "libops_wasm32.a"), ("wasm", "ops_wasm32.wasm")):
            digest = hashlib.sha256((sdk / folder / name / file).read_bytes())
            assert manifest["artifacts"][file]["sha256"] == digest.hexdigest()


def test_c_program_carries_only_its_kernels(sdk: Path, tmp_path: Path) -> None:
    out = tmp_path / "main.wasm"
    start = "python -m ziglang cc "
    lines = (sdk / "README.md").read_text().splitlines()
    (command,) = (line for line in lines if line.startswith(start))
    words = command.removeprefix(start).split()
    assert words[-1] == out.name
    run([*tool("CLANG"), *words[:-1], out], cwd=sdk)
    assert RESULT == run_wasi(out, tmp_path / "stdout")
    content = out.read_bytes()
    manifest = json.loads((sdk / "wasm" / "simd128" / "manifest.json").read_text())
    # Strings that end alike share their end ("mul_float32" in "matmul_float32").
    carried = {k for k in manifest["kernels"] if b"\0" + k.encode() + b"\0" in content}
    assert {"add_float32", "matmul_float32"} == carried
    assert len(content) < MAX_EXAMPLE_BYTES


def test_cpp_program_answers_as_the_c_program_does(sdk: Path, tmp_path: Path) -> None:
    out = tmp_path / "main.wasm"
    options = ("-target", "wasm32-wasi", "-O2", "-fno-exceptions", "-nostdlib++")
    library = ("-Iinclude", "-Llib/simd128", "-lops_wasm32")
    source = "examples/c/main.cpp"
    run([*tool("CLANG"), *options, source, *library, "-o", out], cwd=sdk)
    assert RESULT == run_wasi(out, tmp_path / "stdout")


@pytest.mark.skipif(not shutil.which("node"), reason="Node is not installed")
def test_the_loader_finds_the_modules_of_the_sdk(sdk: Path) -> None:
    script = f"""
import {{ loadLibrary }} from "{(sdk / "js" / "ops_wasm32.mjs").as_uri()}";
for (const target of {json.dumps([*TARGETS])}.slice(0, 2)) {{
  const ops = await loadLibrary({{ target }});
  console.log(ops.target, [...ops.add(new Float32Array([1, 2]), 3).data].join());
}}"""
    words = ["node", "--input-type=module", "-e", script]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    assert "mvp 4,5\nsimd128 4,5\n" == done.stdout


@pytest.mark.skipif(not shutil.which("pkg-config"), reason="pkg-config is not there")
def test_pkg_config_finds_the_sdk_where_it_is(sdk: Path) -> None:
    for name in TARGETS:
        out = subprocess.run(
            ["pkg-config", "--cflags", "--libs", f"ops_wasm32-{name}"],
            env={**os.environ, "PKG_CONFIG_PATH": str(sdk / "lib" / "pkgconfig")},
            capture_output=True,
            text=True,
            check=True,
        )
        folders = [Path(word[2:]) for word in out.stdout.split()[:2]]
        expected = [sdk / "include", sdk / "lib" / name]
        assert expected == [folder.resolve() for folder in folders]


@pytest.mark.skipif(not shutil.which("cmake"), reason="cmake is not there")
def test_cmake_builds_the_example(sdk: Path, tmp_path: Path) -> None:
    settings = {
        "CMAKE_SYSTEM_NAME": "Generic",
        "CMAKE_C_COMPILER": ";".join(tool("CLANG")),
        "CMAKE_C_COMPILER_TARGET": "wasm32-wasi",
        "CMAKE_C_COMPILER_WORKS": "1",  # asking takes half a minute
        "CMAKE_BUILD_TYPE": "Release",
        "CMAKE_PREFIX_PATH": str(sdk),
    }
    source = sdk / "examples" / "c"
    options = [f"-D{name}={value}" for name, value in settings.items()]
    run(["cmake", "-S", source, "-B", tmp_path, *options])
    run(["cmake", "--build", tmp_path])
    assert RESULT == run_wasi(next(tmp_path.glob("main*")), tmp_path / "stdout")


def test_packages_are_the_same_bytes_each_time(
    sdk: Path,
    wheel: Path,
    compiler: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive, again, other = package_paths(tmp_path)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    before = os.umask(0o077)
    try:
        write_sdk(FOLDERS, archive)
        write_host(FOLDERS, again)
        write_compiler(FOLDERS, other)
    finally:
        os.umask(before)
    assert (sdk.parent / archive.name).read_bytes() == archive.read_bytes()
    assert wheel.read_bytes() == again.read_bytes()
    assert compiler.read_bytes() == other.read_bytes()


def test_the_compilers_wheel_holds_what_a_checkout_compiles_with(
    compiler: Path,
) -> None:
    with zipfile.ZipFile(compiler) as wheel:
        names = set(wheel.namelist())
    top = "ops_wasm32_compiler"
    sources = {
        f"{top}/{path.relative_to(ROOT)}"
        for folder in ("kernels", "runtime_stub", "toolchain")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix not in (".md", ".pyc")
    }
    assert sources <= names
    objects = {n for n in names if n.endswith(".o")}
    assert objects == {
        f"{top}/build/{path.relative_to(ROOT / 'build')}"
        for folder in FOLDERS.values()
        for kind in ("obj", "runtime")
        for path in (folder / kind).glob("*.o")
    }
    pairs = (name.rpartition("/") for name in objects)
    assert {f"{folder}/.{name}.made" for folder, _, name in pairs} <= names
    assert compiler.stat().st_size < MAX_COMPILER_BYTES


def test_the_compiler_needs_the_tools_that_the_project_has() -> None:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = table["optional-dependencies"]
    own = {"flit-core", "wasmtime"}  # of the project alone, and of the host
    pinned = {r for r in table["dependencies"] if r.partition("==")[0] not in own}
    pinned |= {*extras["models"], *extras["terminal"]}
    assert {*requirements()} == pinned | {f"ops-wasm32=={table['version']}"}


def test_a_compiler_without_records_is_not_packed(tmp_path: Path) -> None:
    (tmp_path / "obj").mkdir()
    (tmp_path / "obj" / "add.o").touch()
    with pytest.raises(PackageError, match=r"\.add\.o\.made: is missing; run `doit"):
        write_compiler({"mvp": tmp_path}, tmp_path / "x.whl")


def test_the_compiler_missing_says_how_to_get_it(installed: Path) -> None:
    for words in (("compile", "net.onnx"), ("build", "my.toml"), ("compile", "--help")):
        code, out, err = command(installed, *words)
        assert (2, "") == (code, out)
        assert "needs the compiler" in err
        assert err.endswith("run: pip install 'ops-wasm32[compiler]'\n")


def test_another_version_of_the_compiler_is_refused(
    installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "ops_wasm32_compiler").mkdir()
    (tmp_path / "ops_wasm32_compiler/__init__.py").write_text('__version__ = "9.9"\n')
    done = subprocess.run(
        [installed / "bin" / "python", "-m", "ops_wasm32", "build", "my.toml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 2 == done.returncode
    assert "the compiler is version 9.9, this package" in done.stderr


def test_a_user_with_the_wheels_alone(compiler: Path) -> None:
    """What `doit users` does with packages of a registry, with those at hand."""
    script = "tests/users/python_compiler.py"
    words: list[str | Path] = [
        sys.executable,
        script,
        "--linked",
        "--dist",
        compiler.parent,
    ]
    out = run(words, cwd=ROOT)
    assert out.endswith("a right answer from the packages alone\n")


def test_a_wrong_source_date_epoch_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "today")
    with pytest.raises(PackageError, match="SOURCE_DATE_EPOCH is 'today'; give sec"):
        write_sdk(FOLDERS, tmp_path / "x.tar.gz")


def test_targets_that_differ_are_refused(tmp_path: Path) -> None:
    shutil.copytree(FOLDERS["mvp"] / "include", tmp_path / "mvp" / "include")
    (tmp_path / "mvp" / "include" / "ops_kernels.h").write_text("")
    folders = {"simd128": FOLDERS["simd128"], "mvp": tmp_path / "mvp"}
    with pytest.raises(PackageError, match="differs from the header of simd128"):
        write_sdk(folders, tmp_path / "x.tar.gz")


def test_packages_of_a_profile_are_refused(tmp_path: Path) -> None:
    profile = tmp_path / "small.toml"
    profile.write_text('operators = ["add"]\n')
    done = subprocess.run(
        [sys.executable, "-m", "doit", "package", f"profile={profile}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    text = done.stdout + done.stderr
    assert "packages are made of the full library, not of profile" in text
    assert "Traceback" not in text


def test_wheel_lists_and_runs_where_it_is_installed(installed: Path) -> None:
    code, out, err = command(installed, "list")
    assert (0, "") == (code, err)
    assert "operator" == out.split()[0]
    words = ("run", "-o", "Add", "-d", "FP32", "-I", "[1, 2]", "-I", "[3, 4]")
    assert (0, "[4.0, 6.0]\n", "") == command(installed, *words)


def test_wheel_holds_its_own_modules(installed: Path) -> None:
    words = ("-I", "-c", "import ops_wasm32; print(ops_wasm32.load().path)")
    out = run([installed / "bin" / "python", *words], cwd=installed)
    assert Path(out.strip()).is_relative_to(installed)
    module = Path(out.strip())
    assert (0, "") == command(installed, "info", str(module))[::2]
    built = FOLDERS["relaxed-simd"] / "ops_wasm32.wasm"
    assert built.read_bytes() == module.read_bytes()


def test_wheel_without_its_modules_says_so(installed: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    site = next((installed / "lib").glob("python*/site-packages"))
    shutil.copytree(site, copy, symlinks=True)
    shutil.rmtree(copy / "ops_wasm32" / "wasm")
    done = subprocess.run(
        [installed / "bin" / "python", "-m", "ops_wasm32", "list"],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (2, "") == (done.returncode, done.stdout)
    assert "install the wheel anew, or give a path" in done.stderr
