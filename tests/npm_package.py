"""The npm package as npm installs it, and scripts that use it in Node."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from toolchain.link.npm import write_npm
from toolchain.profile import ROOT
from toolchain.targets import TARGETS

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
FOLDERS = {name: ROOT / "build" / name for name in TARGETS}


def install(folder: Path) -> Path:
    """Where the package lies in the node_modules of a folder."""
    archive, modules = folder / "package.tgz", folder / "node_modules"
    write_npm(FOLDERS, archive)
    with tarfile.open(archive) as tar:
        tar.extractall(modules, filter="data")
    return (modules / "package").rename(modules / "ops-wasm32")


def node(package: Path, script: str, *flags: str, **values: object) -> Any:
    """What a script shows; it has the package, the values, and `failed(call)`."""
    given = "".join(f"const {k} = {json.dumps(v)};\n" for k, v in values.items())
    text = f"""
import * as all from "{(package / "ops_wasm32.mjs").as_uri()}";
const {{ loadLibrary, loadModel, openLibrary, openModel, OpsError }} = all;
const failed = async (call) => {{
  try {{
    return await call();
  }} catch (error) {{
    const isOurs = error instanceof OpsError && error.text === error.message;
    return [isOurs ? error.code : error.name, error.message];
  }}
}};
const show = (value) => console.log(JSON.stringify(value));
{given}{script}"""
    done = subprocess.run(
        ["node", *flags, "--input-type=module", "-e", text],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (0, "") == (done.returncode, done.stderr), done.stderr
    return json.loads(done.stdout)
