"""A Python user with the wheels of dist/ alone: a model and a library compiled and run.

Starts from an empty folder and a new virtual environment; ends with answers that
onnx's reference and numpy give too. `--linked` takes the dependencies from the
environment that runs this script, where the real user downloads them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROFILE = """\
targets = ["simd128"]
folders = ["mine"]

[operators]
softmax = true
"""
OPERATOR = '''\
"""out[i] = x[i]³."""

from toolchain.spec import Bound, Input, Operator, pointwise
from toolchain.spec.cases import unary

KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    dtypes=("float32",),
    compute=pointwise(lambda k, x: x * x * x),
    reference=lambda x: x * x * x,
    cases=unary(),
    bound=Bound(ulp=2, why="two roundings"),
)
'''
ANSWER = """
import sys
import numpy as np
import onnx
import onnx.reference
import ops_wasm32

image = np.random.default_rng(0).random((1, 1, 28, 28), np.float32)
found = ops_wasm32.load("lenet.wasm")(image)
reference = onnx.reference.ReferenceEvaluator(onnx.load("lenet.onnx"))
(wanted,) = reference.run(None, {reference.input_names[0]: image})
np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)

library = ops_wasm32.load("small/simd128/ops_wasm32.wasm")
x = np.array([[1, 2, 3]], np.float32)
assert library.operators() == ["cube", "softmax"], library.operators()
np.testing.assert_array_equal(library.call("cube", x), x**3)
wide = np.exp(x.astype(np.float64))
np.testing.assert_allclose(library.call("Softmax", x), wide / wide.sum(), rtol=1e-6)
print("digit", found.argmax())
"""


class User:
    """Somebody with an empty folder. linked: see above."""

    def __init__(self, folder: Path, dist: Path, linked: bool) -> None:
        self.folder = folder / "work"
        self.folder.mkdir()
        self.bin = folder / "venv" / "bin"
        home = folder / "home"
        home.mkdir()
        keep = ("PATH", "LANG", "TMPDIR")
        kept = (k for k in os.environ if k in keep or k.startswith("PIP_"))
        self.environment = {k: os.environ[k] for k in kept}
        self.environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
        for name in ("pip.conf", ".config/pip/pip.conf", ".pip/pip.conf"):
            if (given := Path.home() / name).exists():  # where packages come from here
                (home / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(given, home / name)
        venv.create(folder / "venv", with_pip=not linked)
        if linked:
            self._link(dist)
        else:
            words = ("install", "-q", "--find-links", str(dist))
            self.run(str(self.bin / "pip"), *words, "ops-wasm32[compiler]")
        self.site = next((folder / "venv" / "lib").glob("python*/site-packages"))

    def _link(self, dist: Path) -> None:
        """Install the wheels, and let them find this environment's packages."""
        python = str(self.bin / "python")
        wheels = map(str, sorted(dist.glob("*.whl")))
        pip = (sys.executable, "-m", "pip", "--python", python, "install", "-q")
        self.run(*pip, "--no-index", "--no-deps", *wheels)
        site = next(self.bin.parent.glob("lib/python*/site-packages"))
        others = [path for path in sys.path if path.endswith("site-packages")]
        (site / "linked.pth").write_text("\n".join([*others, ""]))

    def run(self, *words: str) -> str:
        """Run a program, print how long it took; what it printed."""
        start = time.monotonic()
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        shown = " ".join([Path(words[0]).name, *words[1:]]).splitlines()[0][:60]
        print(f"{time.monotonic() - start:6.1f} s  {shown}", flush=True)
        if done.returncode:
            sys.exit(f"{done.stdout}{done.stderr}\nexit code {done.returncode}")
        return done.stdout

    def command(self, *words: str) -> str:
        """Run ops-wasm32."""
        return self.run(str(self.bin / "ops-wasm32"), *words)


def files(folder: Path) -> Mapping[str, tuple[int, int]]:
    """Size and time of all files in a folder."""
    found = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in found}


def follow(user: User) -> None:
    """Compile, build and call."""
    own = files(user.site / "ops_wasm32"), files(user.site / "ops_wasm32_compiler")
    shutil.copy(ROOT / "models" / "lenet.onnx", user.folder)
    assert user.command("--version").strip()
    user.command("compile", "lenet.onnx", "-o", "lenet.wasm")
    info = json.loads(user.command("info", "lenet.wasm", "--json"))
    assert info["manifest"]["model"] == "lenet"
    (user.folder / "mine").mkdir()
    (user.folder / "mine" / "cube.py").write_text(OPERATOR)
    (user.folder / "small.toml").write_text(PROFILE)
    user.command("build", "small.toml")
    print(user.run(str(user.bin / "python"), "-c", ANSWER).strip())
    left = sorted(p.name for p in user.folder.iterdir())
    expected = {"lenet.onnx", "lenet.wasm", "lenet.manifest.json", "small.toml"}
    assert {*left} - {"__pycache__"} == expected | {"mine", "small"}, left
    now = files(user.site / "ops_wasm32"), files(user.site / "ops_wasm32_compiler")
    assert now == own, "a file of the installed packages was written"


def main() -> None:
    """Do it all in a folder that is removed at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dist", type=Path, default=ROOT / "dist")
    parser.add_argument("--linked", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        follow(User(Path(folder), options.dist.resolve(), options.linked))
    print("a right answer from the packages alone")


if __name__ == "__main__":
    main()
