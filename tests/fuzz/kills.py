"""Builds that are killed at random moments: the next one is right."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from project import Project, copy_project

PROFILE = 'targets = ["mvp"]\n[operators]\nrelu = true\nadd = ["float32"]\n'
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
EDIT = ("kernels/relu.py", "tir.const(0, k.dtype)", "tir.const(5, k.dtype)")
# What a build may find damaged or gone, in build/profiles/small.
GONE = (
    ("mvp",),
    ("mvp/obj/add.json", "mvp/runtime/check.o"),
    ("mvp/libops_wasm32.a", "mvp/runtime/text.o", "mvp/runtime/view.o"),
    ("mvp/obj", "mvp/ops_wasm32.wasm"),
    (),
)


def run(seeds: Iterable[int], build: Path) -> Iterator[tuple[int, str]]:
    """Kill a build for each seed; the next build of the same sources must succeed."""
    del build
    with tempfile.TemporaryDirectory() as name:
        project = copy_project(Path(name) / "project")
        word = project.profile(PROFILE)
        start = time.monotonic()
        done = project.doit("build", word)
        whole = time.monotonic() - start
        if done.code:
            raise SystemExit(f"kills: the build itself fails:\n{done.text}")
        wanted = project.artifacts()
        for seed in seeds:
            if text := _killed(project, word, wanted, whole, random.Random(seed)):
                yield seed, text


def _killed(
    project: Project,
    word: str,
    wanted: dict[str, bytes],
    whole: float,
    rng: random.Random,
) -> str:
    """What is wrong after a killed build and another one; nothing where it is right."""
    top = project.folder / "build" / "profiles" / "small"
    gone = rng.choice(GONE)
    for name in gone:
        path = top / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    file, old, new = EDIT
    edits = not gone or rng.random() < 0.5
    if edits:
        project.edit(file, old, new)
    sent, after = rng.choice(SIGNALS), rng.uniform(0.2, whole)
    workers = f"-n{rng.choice((1, 2))}"
    words = [sys.executable, "-m", "doit", workers, "build", word]
    with subprocess.Popen(
        words,
        cwd=project.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as running:
        try:
            running.wait(after)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, sent)
    if edits:
        project.edit(file, new, old)
    done = project.doit("build", word)
    case = f"{sent.name} after {after:.1f} s, gone {gone}, edited {edits}"
    if done.code:
        return f"{case}: the next build fails: {done.text[-300:]}"
    found = project.artifacts()
    wrong = [n for n in {*wanted, *found} if wanted.get(n) != found.get(n)]
    return f"{case}: {sorted(wrong)} are others" if wrong else ""
