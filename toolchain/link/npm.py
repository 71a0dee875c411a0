"""The npm package: the modules of embed/js as one file, declarations, every .wasm."""

from __future__ import annotations

import json
from pathlib import Path

from toolchain.link.artifacts import MANIFEST, MODULE
from toolchain.link.bundle import FOLDER, loader
from toolchain.link.description import LibraryManifest
from toolchain.link.package import NPM_NAME, PackageError, project, write_tar
from toolchain.link.typescript import operators_text
from toolchain.profile import ROOT

# Modules that the package has beside the loader, which is one of all the others.
_ALONE = ("worker.mjs", "worker_thread.mjs", "workerd.mjs")


def write_npm(targets: dict[str, Path], out: Path) -> None:
    """Write the npm package. targets: folder of artifacts by name of the target."""
    manifests = {
        name: json.loads((folder / MANIFEST).read_text())
        for name, folder in targets.items()
    }
    files = {
        "package.json": json.dumps(_description(list(targets)), indent=2) + "\n",
        "ops_wasm32.mjs": loader("./wasm/{target}.wasm"),
        "operators.d.mts": _operators(manifests),
        **{name: (FOLDER / name).read_text() for name in _ALONE},
        **{path.name: path.read_text() for path in FOLDER.glob("*.d.mts")},
        "README.md": (FOLDER / "README.md").read_text(),
        "LICENSE": (ROOT / "LICENSE").read_text(),
    }
    content = {f"package/{name}": text.encode() for name, text in files.items()}
    for name, folder in targets.items():
        content[f"package/wasm/{name}.wasm"] = (folder / MODULE).read_bytes()
    write_tar(content, out)


def _operators(manifests: dict[str, LibraryManifest]) -> str:
    """Declarations of the operators, which must be the same for every target."""
    texts = {name: operators_text(manifest) for name, manifest in manifests.items()}
    if len(set(texts.values())) > 1:
        raise PackageError(
            f"the operators of {', '.join(texts)} differ; build every operator for "
            "each target: doit build"
        )
    return next(iter(texts.values()))


def _description(targets: list[str]) -> dict[str, object]:
    """The package's package.json."""
    about = project()
    modules = {
        f"./{name}.wasm": {"types": "./module.d.mts", "default": f"./wasm/{name}.wasm"}
        for name in targets
    }
    return {
        "name": NPM_NAME,
        "version": about["version"],
        "description": about["description"],
        "license": about["license"],
        "type": "module",
        "sideEffects": False,
        "engines": {"node": ">=20"},
        "exports": {
            ".": {
                "types": "./ops_wasm32.d.mts",
                "workerd": "./workerd.mjs",
                "default": "./ops_wasm32.mjs",
            },
            "./worker": {"types": "./worker.d.mts", "default": "./worker.mjs"},
            **modules,
            "./package.json": "./package.json",
        },
    }
