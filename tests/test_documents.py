"""What documents and texts say holds: tables are fresh, and commands work."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from documents import (
    DOCUMENTS,
    PREPARED,
    PREPARED_JS,
    STAND_INS,
    Reader,
    blocks,
    copy_of_all,
    joined,
)

from bench.errors import TableError
from bench.picture import MODELS, OPERATORS, picture
from toolchain.profile import ROOT, load_profile
from toolchain.spec import (
    COLLAPSES,
    Attribute,
    Bound,
    Case,
    Input,
    Operator,
    Output,
)
from toolchain.targets import TARGETS
from toolchain.tasks import model_files, models, traces
from toolchain.tasks.matrix import operators_page, with_primitives

# What stands for a word of the user's.
PLACEHOLDERS = {"NAME": "add", "profile=my.toml": "profile=bench/matmul_alone.toml"}
# Runs doit up to the tasks themselves, for each command line of the argument.
DRY = """
import json, sys
from doit.cmd_run import Run
from doit.control import TaskControl
from doit.doit_cmd import DoitMain
Run._execute = lambda self: 0
process = TaskControl.process
for words in json.loads(sys.argv[1]):
    sys.argv[1:] = words
    sys.modules.pop("dodo", None)
    TaskControl.process = process
    if DoitMain().run(list(words)):
        print("REFUSED", words)
"""


RUN = [path for path in DOCUMENTS if any(blocks(path))]


@pytest.mark.parametrize("document", RUN, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_reader_can_follow(document: Path, tmp_path: Path) -> None:
    """Every file, program and command of a document, in its order."""
    reader = Reader(copy_of_all(tmp_path / "project"))
    if "embed" in document.parts:
        prepared = PREPARED_JS if "js" in document.parts else PREPARED
        assert reader.shell(prepared)[0] == 0
    reader.follow(document)
    if reader.left_out:
        pytest.skip(f"Node is not installed: {', '.join(reader.left_out)} did not run")


def test_every_stand_in_stands_for_a_command() -> None:
    lines = {
        line.partition(" #")[0].strip()
        for path in DOCUMENTS
        for block in blocks(path)
        if block.language == "sh"
        for line in joined(block.text)
    }
    assert set(STAND_INS) - lines == set()


def test_a_block_that_does_not_work_fails(tmp_path: Path) -> None:
    """The reader notices a wrong exit code, other words, and a language unknown."""
    reader = Reader(tmp_path)
    page = tmp_path / "page.md"
    for text, reason in (
        ("```sh\nfalse\ntrue\n```\n", "page.md:1: exit code 1"),
        ("```sh\necho a\n```\n\n```text\nb\n```\n", "page.md:5: it printed\na"),
        ("```console\n$ echo a b\na\n```\n", "page.md:1: it printed\na b"),
        ("One.\n\n```rust\nlet x\n```\n", "page.md:3: nothing runs this"),
        ("```c\nint x;\n```\n", "page.md:1: name the file before it"),
    ):
        page.write_text(text)
        with pytest.raises(AssertionError, match=re.escape(reason)):
            reader.follow(page)
    page.write_text("As `a/b.txt`:\n\n```c\nx\n```\n\n```sh\ncat a/b.txt\n```\n")
    reader.follow(page)
    page.write_text("```sh\nseq 9\n```\n\n```text\n1\n...\n8\n9\n```\n")
    reader.follow(page)


VOCABULARY = ROOT / "docs" / "operator_files.md"


def test_every_word_of_an_operator_file_has_an_example() -> None:
    """Fields of the vocabulary's classes, as examples give them; all collapses."""
    missing = {f"{c.__name__}.{f}" for c in WORDS for f in fields_of(c)}
    missing.remove("Operator.models_source")  # as source, which has one
    for block in blocks(VOCABULARY):
        if block.language == "python":
            for node in ast.walk(ast.parse(block.text)):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    missing -= said(node, node.func.id)
    assert set() == missing
    rules = {f"{name}.{rule}" for name, all_ in COLLAPSES.items() for rule in all_}
    text = VOCABULARY.read_text()
    assert set() == {rule for rule in rules if f"`{rule}`" not in text}
    words = {f for c in WORDS for f in fields_of(c)}
    assert set() == {word for word in words if f"`{word}`" not in text}


WORDS = (Operator, Input, Output, Attribute, Bound, Case)


def fields_of(kind: type) -> list[str]:
    return [f.name for f in dataclasses.fields(kind)]


def said(node: ast.Call, name: str) -> set[str]:
    """The fields that a call of one of the vocabulary's classes gives."""
    kind = {c.__name__: c for c in WORDS}.get(name)
    given = fields_of(kind)[: len(node.args)] if kind else []
    return {f"{name}.{f}" for f in (*given, *(k.arg for k in node.keywords))}


def test_the_abi_lists_every_function() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "abi.md").read_text(), re.M)
    interface = (ROOT / "runtime_stub" / "interface.txt").read_text()
    exports = re.findall(r"^export (\w+) func$", interface, re.M)
    assert sorted(exports) == sorted(listed)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200


def test_lists_are_fresh() -> None:
    page = ROOT / "docs" / "mindir.md"
    assert (ROOT / "docs" / "operators.md").read_text() == operators_page()
    assert with_primitives(page.read_text()) == page.read_text(), "run `doit matrix`"


def test_the_picture_shows_the_tables() -> None:
    page = (ROOT / "docs" / "speed.md").read_text()
    assert (ROOT / "docs" / "speed.svg").read_text() == picture(page)
    drawn = ElementTree.fromstring(picture(page))
    texts = ["".join(e.itertext()) for e in drawn.iter() if e.tag.endswith("text")]
    assert {*MODELS, *OPERATORS} <= set(texts)
    with pytest.raises(TableError, match="has no row 'LeNet'"):
        picture(page.replace("| LeNet |", "| Le Net |"))


def test_paths_are_there() -> None:
    """Files that documents name in code, from the top of the project."""
    tops = "bench|embed|examples|kernels|models|runtime_stub|tests|toolchain|docs"
    made = {b.file for path in DOCUMENTS for b in blocks(path)}
    made |= {"docs/", "models/<name>.py"}
    for path in [*DOCUMENTS, ROOT / "ARCHITECTURE.md"]:
        for name in re.findall(rf"`((?:{tops})/[\w./-]*)`", path.read_text()):
            assert name in made or (ROOT / name).exists(), f"{path.name}: {name}"


def test_the_glossary_is_short() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text().partition("## Glossary")[2]
    terms = re.findall(r"^\| ([\w -]+) \|", text, re.M)[1:]
    assert terms == sorted(set(terms), key=str.lower)
    assert len(terms) <= 25


def test_links_lead_somewhere() -> None:
    """Files that documents link to, and headings in them."""
    for path in [*DOCUMENTS, ROOT / "ARCHITECTURE.md", ROOT / "CHANGELOG.md"]:
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
            file, _, heading = target.partition("#")
            if not target.startswith("http"):
                found = path.parent / file if file else path
                assert found.exists(), f"{path.name}: {target}"
                assert not heading or heading in headings(found), f"{path}: {target}"


def headings(path: Path) -> set[str]:
    """What links call the headings of a document."""
    lines = re.findall(r"^#+ (.*)$", path.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", x).lower().replace(" ", "-") for x in lines}


def commands(program: str) -> list[str]:
    """Commands of a program that no reader runs: in sentences, or with a stand-in."""
    found = []
    for path in [*DOCUMENTS, ROOT / "CHANGELOG.md"]:
        text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.M | re.S)
        lines = [" ".join(x.split()) for x in re.findall(r"`([^`]+)`", text)]
        for part in (x for line in [*lines, *STAND_INS] for x in line.split(" && ")):
            words = part.strip().removeprefix(".venv/bin/")
            if words.startswith(f"{program} "):
                found.append(words.removeprefix(program).strip())
    return list(dict.fromkeys(found))


def test_doit_takes_what_documents_show() -> None:
    found = commands("doit")
    assert {"build", "test", "bench models lenet", "model --archive"} <= {*found}
    words = [
        [PLACEHOLDERS.get(w, w) for w in shlex.split(line)]
        for line in found
        if not line.startswith(("list", "clean", "help"))  # doit's own
    ]
    done = subprocess.run(
        [sys.executable, "-c", DRY, json.dumps(words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "REFUSED" not in done.stdout


def texts(folders: tuple[str, ...]) -> Iterator[tuple[Path, str]]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path, path.read_text()


def test_texts_name_tasks_that_there_are() -> None:
    """In messages and docstrings: the word after doit."""
    tasks = set(re.findall(r"^def task_(\w+)", (ROOT / "dodo.py").read_text(), re.M))
    known = tasks | {"list", "clean", "help"}
    for path, text in texts(("toolchain", "bench", "embed/python", "kernels")):
        for name in re.findall(r"(?:`|run )doit ([a-z_]+)", text):
            assert name in known, path


@pytest.mark.parametrize("folder", ["toolchain/frontends", "toolchain/model"])
def test_texts_name_options_that_there_are(folder: str) -> None:
    """Of doit model, in messages about models."""
    given = (*model_files.OPTIONS, traces.AT)
    options = {option["name"] for option in given}
    assert {"file", "shape", "dim", "value", "timeout"} <= options
    for path, text in texts((folder,)):
        for name in re.findall(r"--([a-z]+)", text):
            assert name in options, path


@pytest.mark.parametrize("name", ["README.md", "embed/c/README.md.in"])
def test_documents_name_every_target(name: str) -> None:
    named = set(re.findall(r"`([\w-]+)`", (ROOT / name).read_text()))
    assert set(TARGETS) - named == set()


def test_files_of_users_lie_apart() -> None:
    """A user's lenet.onnx does not replace what `build` made of models/lenet.onnx."""
    own = model_files.folder_of(Path("models/lenet.onnx"), TARGETS["simd128"].name)
    assert ROOT / "build" / "files" / "lenet" / "simd128" == own
    said = {o["name"]: o["help"] for o in model_files.OPTIONS}["out"]
    assert "(build/files/<name>/<target>)" in said
    profile = load_profile(None)
    for task in models.model_tasks(profile, heavy=False):
        for path in task["targets"]:
            assert model_files.FILES not in Path(path).parents, path
