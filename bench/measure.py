"""Measuring a row: results of all participants are compared, then timed in rounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import ops_wasm32
from ops_wasm32.convert import Array

from bench import ceilings, loops
from bench.ceilings import Ceilings
from bench.errors import BuildError, MismatchError
from bench.library import Call, Node, NodeProcess, Wasmtime, make_call
from bench.models import Numpy, OnnxRuntimeNative
from bench.peers import OnnxRuntimeWeb, TensorFlowJs
from bench.records import Measured, Rounds
from bench.row import ENGINES, TARGETS, Case, Row, fuses
from toolchain.targets import simd_families

ROUNDS = 11
_TURN = 0.015  # seconds that one participant is timed for in a round
_WARM = 0.25  # seconds at most until V8 has compiled an operator
# Libraries that are tried in turn for a target in Node; wasmtime takes the target's.
NODE_LIBRARIES = {
    family[0].name: tuple(
        target.name for target in sorted(family, key=lambda t: not t.accumulating)
    )
    for family in simd_families()
}


class Peer(Protocol):
    """A library that computes rows too."""

    name: str

    def prepare(self, case: Case) -> bool:
        """Make the row ready; whether the peer has it."""

    def result(self) -> Array:
        """The result, in the layout of ours."""

    def run(self, n: int) -> float:
        """Seconds of n operators."""


@dataclass
class Participant:
    """A participant's timing. run: seconds of n calls; work: of a call, in its unit."""

    run: Callable[[int], float]
    work: float
    n: int = 1
    seconds: list[float] = field(default_factory=list)


class Bench:
    """All participants, started once."""

    def __init__(self, build: Path, node: list[str], peers: Path) -> None:
        self.node = NodeProcess(node, "library.mjs")
        self.libraries: dict[tuple[str, str], ops_wasm32.Library] = {}
        self.hosts: dict[tuple[str, str], Wasmtime | Node] = {}
        self.ceilings = {"wasmtime": Ceilings(), "node": Ceilings(self.node)}
        for target in TARGETS:
            wasm = build / target / "ops_wasm32.wasm"
            if not wasm.exists():
                raise BuildError(f"{wasm} is missing; run doit build")
            self._add("wasmtime", target, wasm, Wasmtime(wasm))
            tried = (build / t / wasm.name for t in NODE_LIBRARIES[target])
            best = next(path for path in tried if path.exists())
            self._add("node", target, best, Node(self.node, best.resolve()))
        self.web = OnnxRuntimeWeb(node, peers)
        self.tfjs = TensorFlowJs(node, peers)
        self.native = OnnxRuntimeNative()
        self.peers: dict[str, Peer] = {
            f"node/{self.web.name}": self.web,
            f"node/{self.tfjs.name}": self.tfjs,
            "native/onnxruntime": self.native,
            "native/numpy": Numpy(),
        }

    def _add(self, engine: str, target: str, wasm: Path, host: Wasmtime | Node) -> None:
        self.hosts[engine, target] = host
        self.libraries[engine, target] = ops_wasm32.load(wasm)

    def close(self) -> None:
        """End the Node processes."""
        for process in (self.node, self.web.process, self.tfjs.process):
            process.close()

    def row(self, row: Row) -> Measured:
        """Measure a row: {"missing": ...}, or {"rounds": ..., "notes": ...}."""
        case = row.make()
        try:
            calls = {k: make_call(v, case.ours) for k, v in self.libraries.items()}
        except ops_wasm32.ArgumentError as error:
            return {"missing": str(error).split(";")[0]}
        peers, notes = self._prepare_peers(case)
        self._compare_ours(row, case, calls)
        parts = {
            f"{engine}/{target}": Participant(host.run, row.work)
            for (engine, target), host in self.hosts.items()
        }
        parts |= {name: Participant(p.run, row.work) for name, p in peers.items()}
        for engine, maker in self.ceilings.items():
            for name, loop in self._row_ceilings(maker, row).items():
                parts[f"{engine}/{name}"] = loop
        timed(list(parts.values()))
        return {"rounds": rounds(parts), "notes": notes}

    def _row_ceilings(self, maker: Ceilings, row: Row) -> dict[str, Participant]:
        found: dict[str, Participant] = {}
        if row.unit != "byte":
            for name in ceilings.INT8 if row.unit == "int8" else ceilings.FLOAT:
                found[name] = loop_participant(*maker.rate(name))
        if row.stream:
            found["stream"] = loop_participant(*maker.stream(*row.stream))
        return found

    def _prepare_peers(self, case: Case) -> tuple[dict[str, Peer], list[str]]:
        """Peers that have the row and compute what the reference does."""
        self.reference = case.reference() if case.reference else None
        found: dict[str, Peer] = {}
        notes: list[str] = []
        order = sorted(self.peers, key=lambda name: name != "native/onnxruntime")
        for name in order:
            peer = self.peers[name]
            try:
                if not peer.prepare(case):
                    continue
                result = peer.result()
            except Exception as error:
                # A peer's own exceptions are of many classes; the row goes on.
                notes.append(f"{name}: {str(error).splitlines()[0]}")
                continue
            if self.reference is None:
                self.reference = result
            if reason := difference(result, self.reference, case.tolerance):
                notes.append(f"{name}: left out, its result is another: {reason}")
                continue
            found[name] = peer
        return found, notes

    def _compare_ours(
        self, row: Row, case: Case, calls: dict[tuple[str, str], Call]
    ) -> None:
        if self.reference is None:
            raise MismatchError(f"{row.name}: no peer gives a result to compare with")
        wanted, call = [self.reference], calls.__getitem__
        compare(row.name, self.hosts, call, wanted, case.tolerance)

    def levels(self) -> dict[str, Rounds]:
        """Rounds of all ceilings: rates, and streams at each level."""
        found: dict[str, Participant] = {}
        for engine, maker in self.ceilings.items():
            parts = {n: loop_participant(*maker.rate(n)) for n in loops.RATES}
            timed(list(parts.values()))
            for level, size in ceilings.LEVELS.items():
                for kind in loops.STREAMS:
                    # One at a time: their memories are large.
                    part = loop_participant(*maker.stream(kind, size))
                    timed([part])
                    parts[f"{kind}, {level}"] = part
            found |= {f"{engine}/{name}": part for name, part in parts.items()}
        return rounds(found)


def loop_participant(
    loop: ceilings.Loop, arguments: tuple[int, ...], work: float
) -> Participant:
    """A ceiling as a participant."""
    return Participant(lambda n: loop.run(*arguments, n), work)


def compare(
    name: str,
    hosts: Mapping[tuple[str, str], Wasmtime | Node],
    call: Callable[[tuple[str, str]], Call],
    wanted: list[Array],
    tolerance: float,
) -> None:
    """Run a row once in every host, by engine and target.

    Errors: MismatchError for a result that is not the wanted one, or whose bits differ
    between engines, where the target fuses no multiply-adds.
    """
    results = {}
    for key, host in hosts.items():
        host.prepare(call(key))
        results[key] = host.results()[: len(wanted)]
        for got, want in zip(results[key], wanted, strict=True):
            if reason := difference(got, want, tolerance):
                raise MismatchError(f"{name}: {' '.join(key)}: {reason}")
    for target in (t for t in TARGETS if not fuses(t)):
        both = (results[engine, target] for engine in ENGINES)
        for first, second in zip(*both, strict=True):
            same_bits(name, target, first, second)


def difference(got: Array, want: Array, tolerance: float) -> str:
    """Why two results are not the same; empty where they are."""
    if got.size != want.size:
        return f"shape {got.shape} against {want.shape}"
    want = want.astype(np.float64).reshape(got.shape)
    error = float(np.abs(got.astype(np.float64) - want).max())
    scale = float(np.abs(want).max())
    if error <= tolerance * scale:  # false for NaN too
        return ""
    return f"differs by {error:.3g} of {scale:.3g}; allowed are {tolerance:g} of it"


def same_bits(name: str, target: str, wasmtime: Array, node: Array) -> None:
    """Raise MismatchError where results of a target differ in a bit."""
    first, second = (x.reshape(-1).view(np.uint8) for x in (wasmtime, node))
    if first.tobytes() != second.tobytes():
        raise MismatchError(
            f"{name}: {target} has other bits in Node than in wasmtime; "
            f"first difference at byte {int(np.argmax(first != second))}"
        )


def timed(parts: list[Participant], warm: float = _WARM) -> None:
    """Time participants in rounds, one after the other in each.

    warm: seconds at most that each warms up.
    """
    for part in parts:
        part.n = calibrated(part.run, warm)
    for _ in range(ROUNDS):
        for part in parts:
            part.seconds.append(part.run(part.n) / part.n)


def calibrated(run: Callable[[int], float], warm: float = _WARM) -> int:
    """Warm up; how often to run in a round.

    V8 replaces code by better code while it runs, so warming up ends when a run is
    no faster than the one before.
    """
    n, spent, before = 1, 0.0, float("inf")
    while True:
        seconds = run(n)
        spent += max(seconds, 0.0)
        if seconds < _TURN / 3:
            n *= 4 if seconds > _TURN / 30 else 10
            if n < 1 << 30:
                continue
        steady = seconds / n > 0.97 * before
        if (steady and spent > warm / 3) or spent > warm:
            return max(1, round(n * _TURN / max(seconds, 1e-9)))
        before = seconds / n


def rounds(parts: dict[str, Participant]) -> dict[str, Rounds]:
    """Participants as JSON: seconds of a call, round by round, and its work."""
    return {
        name: {"seconds": p.seconds, "work": p.work, "repeated": p.n}
        for name, p in parts.items()
    }
