"""Bundle: the modules of embed/js as one file that a page can load by itself."""

from __future__ import annotations

import json
import re
from pathlib import Path

from toolchain.link.artifacts import MODULE
from toolchain.profile import ROOT
from toolchain.targets import TARGETS

FOLDER = ROOT / "embed" / "js"
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w.]+)";\n', re.M)
_LIST = re.compile(r"^export \{([^}]*)\};\n", re.M)
_NAMED = re.compile(r"^export (?=(?:async )?(?:function|class|const) (\w+))", re.M)
_TOP = re.compile(r"^(?:async )?(?:function|class|const|let) (\w+)", re.M)


class BundleError(Exception):
    """Modules that do not fit into one file; the text says why."""


def loader(place: str) -> str:
    """The loader of modules as one file, which needs no other.

    place: where the modules of operators lie from there, {target} for a target's name.
    Errors: BundleError.
    """
    text = bundle(FOLDER / "ops_wasm32.mjs")
    for name in TARGETS:
        built = f'"../../build/{name}/{MODULE}"'
        if text.count(built) != 1:
            raise BundleError(f"the loader names {built} not once: run `doit tables`")
        text = text.replace(built, json.dumps(place.format(target=name)))
    return text


def bundle(entry: Path) -> str:
    """One module with what `entry` exports, and all that it imports from its folder.

    Each file stands once, after those that it imports. Errors: BundleError where two
    have a name in common, or where an import or export has another form.
    """
    parts = {path.name: path.read_text() for path in _ordered(entry)}
    exported = _exported(parts[entry.name])
    bodies = {name: _body(name, text) for name, text in parts.items()}
    owners: dict[str, str] = {}
    for file, body in bodies.items():
        for name in _TOP.findall(body):
            if owners.setdefault(name, file) != file:
                raise BundleError(f"{file}: {name} is a name of {owners[name]} too")
    comment, _, rest = bodies.pop(entry.name).partition("\n\n")
    exports = f"export {{ {', '.join(sorted(exported))} }};"
    texts = [comment, *bodies.values(), rest, exports]
    return "\n".join(f"{text.strip()}\n" for text in texts)


def _ordered(path: Path, above: tuple[Path, ...] = ()) -> list[Path]:
    """A file after those that it imports."""
    if path in above:
        raise BundleError(f"{path.name}: imports itself by way of {above[-1].name}")
    names = _IMPORT.findall(path.read_text())
    found = [p for n in names for p in _ordered(path.with_name(n), (*above, path))]
    return list(dict.fromkeys([*found, path]))


def _exported(text: str) -> list[str]:
    listed = [n.strip() for part in _LIST.findall(text) for n in part.split(",")]
    return [*_NAMED.findall(text), *filter(None, listed)]


def _body(name: str, text: str) -> str:
    """The text of a module without its imports and exports."""
    body = _NAMED.sub("", _LIST.sub("", _IMPORT.sub("", text)))
    if left := re.search(r"^(import|export)\b.*$", body, re.M):
        raise BundleError(f"{name}: cannot bundle {left[0]!r}")
    return body
