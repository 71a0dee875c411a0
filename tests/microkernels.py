"""Micro-kernels by themselves: modules of nothing else, over arrays that are watched.

A call is made twice, with other bytes around the arrays, and another array at the very
end of memory, where reading past it traps; from call to call they take turns. Every
byte outside the outputs must stay as it was, and no result may depend on them.
"""

from __future__ import annotations

import ctypes
import re
import tempfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wasmtime
from ops_wasm32.convert import Array

from toolchain.codegen.child import Job, in_children
from toolchain.codegen.llvm import emit
from toolchain.link.clang import RUNTIME, compile_c
from toolchain.link.module import interface
from toolchain.micro.registry import micro_kernel
from toolchain.process.command import run, tool
from toolchain.records.replace import write
from toolchain.targets import TARGETS

MEMORY = 16 << 20  # bytes
BETWEEN = 76  # bytes from an array to the next; no multiple of a register's
# Bytes around the arrays: as numbers NaN or -1, and 1.5e13 or 1431655765.
FILLS = (0xFF, 0x55)
FUEL = 1 << 32  # instructions of a call, so that none hangs
TIMEOUT = 60.0  # seconds, of a compilation
_LINKAGE = "define linkonce_odr hidden "


@dataclass(eq=False)
class In:
    """An array that a micro-kernel reads."""

    before: Array


@dataclass(eq=False)
class Out:
    """An array that a micro-kernel writes: what it holds before, and is to hold then.

    free: elements that may become anything. bound: how far elements may be from what
    they are to be; a number or one for each. NaN is equal to NaN, -0 to 0.
    """

    before: Array
    want: Array
    free: Array | None = None
    bound: Array | float = 0.0

    def fault(self, got: Array) -> str | None:
        """Which element is not what it is to be, if any."""
        with np.errstate(invalid="ignore", over="ignore"):
            want = self.want.astype(self.before.dtype)
            right = (got == want) | ((got != got) & (want != want))
            if np.any(self.bound):
                difference = got.astype("float64") - self.want.astype("float64")
                right |= np.abs(difference) <= self.bound
        if self.free is not None:
            right |= self.free
        if right.all():
            return None
        at = tuple(int(i) for i in np.argwhere(~right)[0])
        return f"element {at} is {got[at]!r}, not {want[at]!r}"


@dataclass(frozen=True)
class At:
    """A place in an array, elements from its start, for a pointer to it."""

    array: In | Out
    first: int


@dataclass(frozen=True)
class Suite:
    """The micro-kernels of a family, by whether the target has SIMD.

    unroll: what operators that call them tell codegen.emit.
    """

    simd: tuple[str, ...]
    scalar: tuple[str, ...] = ()
    unroll: bool = True

    def names(self, target: str) -> tuple[str, ...]:
        """Those of a target."""
        return self.simd if TARGETS[target].has("simd128") else self.scalar

    def each(self, pattern: str = "") -> pytest.MarkDecorator:
        """Parameters `kernel`: each name that begins so, for each target."""
        kernels = [
            Kernel(self, name, target)
            for target in TARGETS
            for name in self.names(target)
            if re.match(pattern, name)
        ]
        return pytest.mark.parametrize("kernel", kernels, ids=str)


@dataclass(frozen=True)
class Kernel:
    """A micro-kernel for a target."""

    suite: Suite
    name: str
    target: str

    def __str__(self) -> str:
        return f"{self.name}-{self.target}"

    @property
    def lanes(self) -> int:
        """Elements of 4 bytes in a register."""
        return TARGETS[self.target].lanes()

    @property
    def rng(self) -> np.random.Generator:
        """Random numbers, the same in every run."""
        return np.random.default_rng(zlib.crc32(self.name.encode()))

    def check(self, *arguments: Any, code: int | None = 0) -> int:
        """Call it with arrays and numbers, and compare; what it returned.

        The same In or Out twice is one array. code: what it is to return, if one
        thing.
        """
        module = _module(self.suite, self.target)
        places = [At(a, 0) if isinstance(a, In | Out) else a for a in arguments]
        found = [p.array for p in places if isinstance(p, At)]
        arrays = list({id(a): a for a in found}.values())
        shown = [p.array.before.shape if isinstance(p, At) else p for p in places]
        where = f"{self}{tuple(shown)}"
        returned = 0
        for fill in FILLS:
            module.calls += 1
            last = module.calls % len(arrays) + 1
            memory = Memory(module, arrays[last:] + arrays[:last], fill)
            returned = memory.call(self.name, places, where)
            assert code in (None, returned), f"{where}: returned {returned}, not {code}"
            memory.compare(where)
        return returned


class Memory:
    """Arrays in a module's memory, one behind the other up to its end."""

    def __init__(self, module: Module, arrays: list[In | Out], fill: int) -> None:
        self.module, self.arrays = module, arrays
        self.at: dict[int, int] = {}
        end = MEMORY
        for a in reversed(arrays):
            end -= a.before.nbytes
            end -= end % max(a.before.itemsize, 1)
            self.at[id(a)] = end
            end -= BETWEEN
        self.start = end
        self.bytes = module.bytes[self.start :]
        self.bytes[:] = fill
        for a in arrays:
            self._view(a)[:] = np.ascontiguousarray(a.before).view("uint8").reshape(-1)
        self.before = self.bytes.copy()

    def _view(self, a: In | Out) -> Array:
        first = self.at[id(a)] - self.start
        return self.bytes[first : first + a.before.nbytes]

    def _address(self, place: At) -> int:
        offset = place.first * place.array.before.itemsize
        return self.at[id(place.array)] + int(offset)

    def call(self, name: str, arguments: list[Any], where: str) -> int:
        """Call a micro-kernel."""
        values = [
            self._address(a)
            if isinstance(a, At)
            else (a if isinstance(a, float) else int(a))
            for a in arguments
        ]
        self.module.store.set_fuel(FUEL)
        try:
            result: int = self.module.functions[name](self.module.store, *values)
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            last = self.arrays[-1].before.shape if self.arrays else ()
            pytest.fail(f"{where}: trap, {last} at the end of memory: {error}")
        return result

    def compare(self, where: str) -> None:
        """Compare the outputs; all other bytes must be what they were."""
        for a in self.arrays:
            view = self._view(a)
            if isinstance(a, Out):
                got = view.copy().view(a.before.dtype).reshape(a.before.shape)
                fault = a.fault(got)
                assert fault is None, f"{where}: {fault}"
                first = self.at[id(a)] - self.start
                self.before[first : first + a.before.nbytes] = view
        if not np.array_equal(self.bytes, self.before):
            at = int(np.argmax(self.bytes != self.before)) + self.start
            near = [(p, a.before.shape) for a in self.arrays if (p := self.at[id(a)])]
            pytest.fail(f"{where}: wrote byte {at}; arrays are at {near}")


class Module:
    """An instance of a module that has the micro-kernels of a suite for a target."""

    def __init__(self, data: bytes) -> None:
        self.calls = 0
        config = wasmtime.Config()
        config.consume_fuel = True
        engine = wasmtime.Engine(config)
        self.store = wasmtime.Store(engine)
        module = wasmtime.Module(engine, data)
        exports = wasmtime.Instance(self.store, module, []).exports(self.store)
        self.functions: dict[str, Any] = {
            e.name: exports[e.name] for e in module.exports
        }
        self.memory: Any = exports["memory"]

    @cached_property
    def bytes(self) -> Array:
        """Its memory."""
        address = ctypes.addressof(self.memory.data_ptr(self.store).contents)
        return np.ctypeslib.as_array((ctypes.c_ubyte * MEMORY).from_address(address))


@cache
def _module(suite: Suite, target: str) -> Module:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        out, wasm = folder / "kernels.o", folder / "kernels.wasm"
        # In a child: LLVM's own options are set once in a process.
        action = partial(_compile, suite, target, out)
        ((_, reason),) = in_children([Job(out, action, TIMEOUT)], 1)
        assert reason is None, reason
        objects = [out]
        if any(i.endswith(" func") for i in interface(out.read_bytes()).imports):
            objects.append(folder / "bytes.o")
            compile_c(RUNTIME / "bytes.c", TARGETS[target], objects[-1])
        options = ["--no-entry", "--gc-sections", f"--initial-memory={MEMORY}"]
        options += [f"--export={n}" for n in suite.names(target)]
        run([*tool("WASM_LD"), *options, *objects, "-o", wasm])
        return Module(wasm.read_bytes())


def _compile(suite: Suite, target: str, out: Path) -> None:
    texts = [micro_kernel(n, TARGETS[target]) for n in suite.names(target)]
    texts = [t.replace(_LINKAGE, "define weak_odr ") for t in texts]
    write(out, emit(texts, TARGETS[target], suite.unroll))


def integers(rng: np.random.Generator, shape: int | Sequence[int], dtype: str) -> Array:
    """Elements of a dtype's whole range, its ends among them."""
    info = np.iinfo(dtype)
    x = rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    ends = rng.random(shape)
    return np.where(ends < 0.1, info.min, np.where(ends > 0.9, info.max, x)).astype(
        dtype
    )


def whole(rng: np.random.Generator, shape: int | Sequence[int], most: int = 8) -> Array:
    """float32 with integers from -most to most: sums and products are exact."""
    return np.asarray(rng.integers(-most, most, shape, endpoint=True), "float32")


def mixed(
    rng: np.random.Generator, shape: int | Sequence[int], *values: float
) -> Array:
    """Normally distributed float32, a fifth of them replaced by `values`."""
    x = rng.normal(size=shape).astype("float32")
    chosen = rng.choice(np.array(values, "float32"), size=shape)
    return np.asarray(np.where(rng.random(shape) < 0.2, chosen, x), "float32")


def rounding(values: Array | float) -> Array:
    """Half an ULP of float32 at each value; near 0, half the smallest denormal."""
    return np.asarray(np.abs(values) * 2.0**-24 + 2.0**-150)


def around(*sizes: int, least: int = 1) -> list[int]:
    """Each size, one less and one more, in order."""
    found = {n + d for n in sizes for d in (-1, 0, 1)} | {least}
    return sorted(n for n in found if n >= least)


def in_turn(cases: Iterable[Any], *others: Iterable[Any]) -> Iterable[tuple[Any, ...]]:
    """Each case with an item of every other list; the lists repeat from their start."""
    lists = [list(o) for o in others]
    for i, case in enumerate(cases):
        yield (case, *(found[i % len(found)] for found in lists))
