"""What documents show: their blocks, and a copy of the project to run them in."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from toolchain.profile import ROOT

DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "embed" / "python" / "README.md",
    ROOT / "embed" / "js" / "README.md",
]
LANGUAGES = ("sh", "console", "text", "diff", "python", "js", "c", "cpp", "toml")
# What a reader of a package's README has beside it: a model of their own.
PREPARED = """\
.venv/bin/doit model --file models/lenet.onnx --out net
cp net/lenet.wasm net.wasm
cp models/lenet.onnx net.onnx
"""
# The npm package, without npm, which machines without Node lack.
INSTALL = (
    "{ [ -e dist ] || .venv/bin/doit package; } && "
    "mkdir node_modules && tar -xf dist/ops-wasm32-*.tgz -C node_modules && "
    "mv node_modules/package node_modules/ops-wasm32"
)
PREPARED_JS = f"{PREPARED}{INSTALL}\n"
# What a document's command is replaced by where it needs minutes, a network or a fresh
# machine, and what runs the command itself.
STAND_INS = {
    "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && "
    ".venv/bin/doit build": ".venv/bin/doit build",  # .ci/run
    ".venv/bin/pip install -e '.[bench]'": "grep -q '^bench = ' pyproject.toml",
    ".venv/bin/doit test": ".venv/bin/doit test -o add",  # .ci/run
    ".venv/bin/doit package": "true",  # test_package.py, and the next one
    "pip install --find-links dist 'ops-wasm32[compiler]'": "true",  # doit users
    ".venv/bin/doit bench": "true",  # measures for minutes; see test_bench.py
    ".venv/bin/doit bench matmul exp": "true",
    ".venv/bin/doit bench models": "true",
    ".venv/bin/doit bench models lenet": "true",
    ".venv/bin/python -m bench.quantized": "true",
    ".venv/bin/doit bench_sizes": "true",  # npm and a network
    ".venv/bin/doit bench_table": "true",  # needs a measurement
    ".ci/run": "bash -n .ci/run",
    "npm install dist/ops-wasm32-*.tgz": INSTALL,  # tests/users has npm
    ".venv/bin/doit package && npm install dist/ops-wasm32-*.tgz": (
        f".venv/bin/doit package && {INSTALL}"
    ),
    ".venv/bin/doit one_node": ".venv/bin/doit one_node -o add",  # test_one_node.py
}

# Readers share what zig compiles of its own: its C library takes a minute or two.
ZIG = {"ZIG_GLOBAL_CACHE_DIR": str(ROOT / "build" / ".zig")}


@dataclass(frozen=True)
class Block:
    """A fenced block. file: what the sentence before it names as the file it is."""

    where: str
    language: str
    text: str
    file: str


def blocks(path: Path) -> Iterator[Block]:
    """The blocks of a document, in their order."""
    lines = path.read_text().splitlines()
    paragraph, at = "", 0
    while at < len(lines):
        if fence := re.fullmatch(r"```(\w*)", lines[at]):
            end = lines.index("```", at + 1)
            named = re.search(r"`([\w./-]+)`:$", paragraph)
            text = "\n".join([*lines[at + 1 : end], ""])
            where = f"{path.name}:{at + 1}"
            yield Block(where, fence[1], text, named[1] if named else "")
            paragraph, at = "", end
        elif lines[at]:
            before = paragraph if lines[at - 1] else ""
            paragraph = f"{before}\n{lines[at]}"
        at += 1


def copy_of_all(folder: Path) -> Path:
    """The whole project with its build and its environment, to run documents in."""
    skipped = (".git", ".venv", "build", "dist", ".*_cache", "__pycache__")
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*skipped))
    (folder / ".venv").symlink_to(sys.prefix)
    # With what other tests are writing: `.<number of a process>.<name>`.
    skipped = ("bench", "profiles", "files", ".lock*", ".zig", ".[0-9]*")
    ignored = shutil.ignore_patterns(*skipped)
    # Outputs are replaced whole, never written into, so that links are safe.
    shutil.copytree(
        ROOT / "build", folder / "build", ignore=ignored, copy_function=_link_or_copy
    )
    return folder


def _link_or_copy(source: str, target: str) -> None:
    """A second name for a file; a copy where that lies on another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@dataclass(frozen=True)
class Reader:
    """Somebody who does in a copy of the project what a document shows.

    left_out: blocks that need Node where it is not installed.
    """

    folder: Path
    left_out: list[str] = field(default_factory=list)

    def follow(self, document: Path) -> None:
        """Write each file, run each program and each command."""
        said: str | None = ""
        for block in blocks(document):
            assert block.language in LANGUAGES, f"{block.where}: nothing runs this"
            if block.file:
                file = self.folder / block.file
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(block.text)
            elif block.language == "text":
                assert said is None or shown(block.text, said), (
                    f"{block.where}: it printed\n{said}"
                )
            elif block.language == "console":
                self.talk(block)
            else:
                said = self.run(block)

    def talk(self, block: Block) -> None:
        """Run each command after a $, and compare with the lines below it."""
        for part in re.split(r"^\$ ", block.text, flags=re.M)[1:]:
            command, _, expected = part.partition("\n")
            _, text = self.shell(command)
            assert shown(expected, text), f"{block.where}: it printed\n{text}"

    def run(self, block: Block) -> str | None:
        """Run a program or the lines of a shell, or apply a change; what is printed.

        None for JavaScript without Node.
        """
        if block.language == "js" and shutil.which("node") is None:
            self.left_out.append(block.where)
            return None
        if block.language == "diff":
            (self.folder / "change.diff").write_text(block.text)
            command = "git apply --recount --unidiff-zero change.diff"
        elif block.language == "sh":
            command = "\n".join(stand_in(line) for line in joined(block.text))
        else:
            kind = {"python": (".venv/bin/python", "py"), "js": ("node", "mjs")}
            assert block.language in kind, f"{block.where}: name the file before it"
            program, suffix = kind[block.language]
            (self.folder / f"snippet.{suffix}").write_text(block.text)
            command = f"{program} snippet.{suffix}"
        code, text = self.shell(f"set -e\n{command}")
        assert code == 0, f"{block.where}: exit code {code}\n{text}"
        return text

    def shell(self, command: str) -> tuple[int, str]:
        """Exit code and output of a text for the shell."""
        paths = os.pathsep.join([str(self.folder), str(self.folder / "embed/python")])
        tools = os.pathsep.join([str(Path(sys.prefix) / "bin"), os.environ["PATH"]])
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env={**os.environ, **ZIG, "PYTHONPATH": paths, "PATH": tools},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout


def joined(text: str) -> list[str]:
    """Lines of a shell; a line that ends with a backslash is joined with the next."""
    return text.replace("\\\n", " ").splitlines()


def stand_in(line: str) -> str:
    """The command that a test runs for a line."""
    command = re.sub(r"(^|\s+)#.*", "", line)
    return STAND_INS.get(command, line)


def shown(expected: str, text: str) -> bool:
    """Whether a text is what a document shows; a line `...` stands for any lines."""
    lines = [
        r"(?:.*\n)*?" if line == "..." else re.escape(line) + r"\n"
        for line in expected.strip().splitlines()
    ]
    return re.fullmatch("".join(lines), f"{text.strip()}\n") is not None
