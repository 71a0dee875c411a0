"""Compiled modules that the host keeps, and libraries in threads and processes."""

from __future__ import annotations

import os
import pickle
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import ops_wasm32
import pytest
import wasmtime
from ops_wasm32 import cache

from toolchain.profile import ROOT

MODULE = ROOT / "build" / "mvp" / "ops_wasm32.wasm"
X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """A module that was written long ago."""
    path = tmp_path / "ops.wasm"
    shutil.copy(MODULE, path)
    os.utime(path, ns=(0, 0))
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache's folder, and a clock that has every file written long ago."""
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(time, "time_ns", lambda: 1 << 62)
    return tmp_path / "cache" / "modules"


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How the engine was asked for modules: "compiled", or "kept"."""
    asked: list[str] = []
    compiled, kept = wasmtime.Module.__init__, wasmtime.Module.deserialize_file

    def compile_it(self: wasmtime.Module, *arguments: object) -> None:
        asked.append("compiled")
        compiled(self, *arguments)  # type: ignore[arg-type]

    def take_it(*arguments: object) -> wasmtime.Module:
        asked.append("kept")
        return kept(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(wasmtime.Module, "__init__", compile_it)
    monkeypatch.setattr(wasmtime.Module, "deserialize_file", take_it)
    return asked


def answers(path: Path) -> bool:
    """Whether the module at a path calls add rightly."""
    found = ops_wasm32.load(path).call("add", X, X)
    return bool((found == X + X).all())


def test_a_second_start_compiles_nothing(
    module: Path, folder: Path, engine: list[str]
) -> None:
    assert answers(module)
    assert answers(module)
    assert ["compiled", "kept"] == engine
    shutil.copy(module, module.with_name("copy.wasm"))
    assert answers(module.with_name("copy.wasm"))  # by its content
    assert ["compiled", "kept", "kept"] == engine
    (compiled,) = folder.glob("*.cwasm")
    assert 0o600 == compiled.stat().st_mode & 0o777


def test_a_file_that_was_written_is_read_again(
    module: Path, folder: Path, engine: list[str]
) -> None:
    assert answers(module)
    other = ROOT / "build" / "simd128" / "ops_wasm32.wasm"
    module.write_bytes(other.read_bytes())
    os.utime(module, ns=(0, 0))
    assert "simd128" == ops_wasm32.load(module).target
    assert answers(module)
    assert ["compiled", "compiled", "kept"] == engine


@pytest.mark.usefixtures("folder")
def test_a_file_written_just_now_is_not_known_by_its_state(
    module: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert answers(module)
    assert [] == list(folder.glob("*.sha256"))


@pytest.mark.parametrize("given", ["off", ""])
def test_it_can_be_switched_off(
    module: Path, given: str, engine: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cache.VARIABLE, given)
    monkeypatch.chdir(module.parent)
    assert answers(module)
    assert answers(module)
    assert ["compiled"] * 2 == engine
    assert [module] == list(module.parent.iterdir())


def test_what_others_could_have_written_is_not_run(
    module: Path, folder: Path, engine: list[str]
) -> None:
    assert answers(module)
    (compiled,) = folder.glob("*.cwasm")
    compiled.chmod(0o622)
    assert answers(module)
    compiled.chmod(0o600)
    for path in (folder, folder.parent):
        path.chmod(0o777)
        assert answers(module)
        path.chmod(0o700)
    target = compiled.with_name("elsewhere")
    compiled.rename(target)
    compiled.symlink_to(target)
    assert answers(module)
    assert ["compiled"] * 5 == engine


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_another_users_code_is_not_run(
    module: Path, folder: Path, engine: list[str]
) -> None:
    assert answers(module)
    (compiled,) = folder.glob("*.cwasm")
    os.chown(compiled, 65534, 65534)
    assert answers(module)
    os.chown(folder, 65534, 65534)
    assert answers(module)
    assert ["compiled"] * 3 == engine


def test_what_the_engine_refuses_is_made_anew(
    module: Path, folder: Path, engine: list[str]
) -> None:
    assert answers(module)
    (compiled,) = folder.glob("*.cwasm")
    whole = compiled.read_bytes()
    compiled.write_bytes(b"of another version")
    assert answers(module)
    assert ["compiled", "kept", "compiled"] == engine
    assert whole == compiled.read_bytes()


def test_a_folder_that_cannot_be_written_costs_only_time(
    module: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cache.VARIABLE, str(module / "no folder"))
    assert answers(module)


def test_what_was_not_used_for_longest_goes(
    module: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert answers(module)
    (first,) = folder.glob("*.cwasm")
    os.utime(first, ns=(0, 0))
    monkeypatch.setattr(cache, "_LIMIT", first.stat().st_size + 4096)
    assert answers(ROOT / "build" / "simd128" / "ops_wasm32.wasm")
    assert not first.exists()
    assert 1 == len(list(folder.glob("*.cwasm")))


def test_the_folder_follows_the_platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(cache.VARIABLE, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for platform, expected in (
        ("linux", tmp_path / ".cache" / "ops-wasm32"),
        ("darwin", tmp_path / "Library" / "Caches" / "ops-wasm32"),
        ("win32", tmp_path / "Local" / "ops-wasm32"),
    ):
        monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "Local"))
        monkeypatch.setattr(sys, "platform", platform)
        assert expected == cache.cache_folder()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert tmp_path / "x" / "ops-wasm32" == cache.cache_folder()
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache.cache_folder() is None


def test_clones_have_memory_of_their_own() -> None:
    library = ops_wasm32.load()
    clones = [library, *(library.clone() for _ in range(3))]

    def work(number: int) -> bool:
        x = np.full((64, 256), number, np.float32)
        calls = [clones[number % 4].call("add", x, x) for _ in range(20)]
        return all((y == 2 * number).all() for y in calls)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(8)))
    assert 4 == len({id(clone._instance) for clone in clones})


def test_threads_may_share_a_library() -> None:
    library = ops_wasm32.load()

    def work(number: int) -> bool:
        x = np.full((number + 1, 256), number, np.float32)
        return all((library.call("add", x, x) == 2 * number).all() for _ in range(50))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(8)))


def test_a_clone_of_a_model() -> None:
    net = ops_wasm32.load(ROOT / "build" / "models/lenet/simd128/lenet.wasm")
    image = np.ones((1, 1, 28, 28), np.float32)
    wanted = net(image)
    assert (net.clone()(image) == wanted).all()
    again = pickle.loads(pickle.dumps(net))
    assert net.path.absolute() == again.path
    assert (again(image) == wanted).all()


def test_a_bundled_library_is_pickled_by_its_target() -> None:
    library = ops_wasm32.load(target="mvp")
    assert str(ROOT).encode() not in pickle.dumps(library)
    assert "mvp" == pickle.loads(pickle.dumps(library)).target


def test_a_pickled_path_that_is_gone(module: Path) -> None:
    data = pickle.dumps(ops_wasm32.load(module))
    module.unlink()
    with pytest.raises(ops_wasm32.ModuleError, match="cannot be read"):
        pickle.loads(data)
