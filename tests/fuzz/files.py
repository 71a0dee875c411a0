"""Model files with changes: each is read, or refused by a text."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from toolchain.frontends.mindir_schema import model_class
from toolchain.graph.emit import emit_model
from toolchain.graph.passes import optimise
from toolchain.link.module import ModuleError
from toolchain.model.build import Options, read_program
from toolchain.model.open import read_graph_of
from toolchain.process.command import ToolError
from toolchain.profile import ROOT
from toolchain.spec import SpecError

SECONDS = 60  # for a file
LONGEST = 8000  # characters of a text
WORDS = ("", "a\nb", "../../x", "é", "x" * 5000, "__proto__", "a\0b", "%s%n", "If")
NUMBERS = (0, 1, -1, 2, 7, 13, 100, 2**31 - 1, -(2**31), 2**32, 2**62, -(2**63))
FLOATS = (0.0, -1.0, 1e38, float("inf"), float("nan"))
# Cases of the ONNX package whose operators have code of their own here.
CASES = (
    *("conv", "gemm_all", "lstm_defaults", "if", "loop", "resize_down", "reshape_"),
    *("slice", "split_e", "gather_0", "pad", "softmax_axis", "qlinear", "matmul"),
    *("layer_norm", "einsum", "topk", "cast_FLOAT", "scan", "concat_1d", "tile"),
)
# Kinds of fields of a message, as google.protobuf.descriptor has them.
_TEXT, _MESSAGE, _BYTES, _ENUM, _BOOL = 9, 11, 12, 14, 8
_FLOATS, _WIDE, _UNSIGNED = (1, 2), (3, 16, 18), (4, 6, 7, 13)


def run(seeds: Iterable[int], build: Path) -> Iterator[tuple[int, str]]:
    """Read a changed file for each seed, in a process of its own."""
    del build
    import tvm.relax.frontend.onnx  # noqa: F401  # before the forks, once

    with tempfile.TemporaryDirectory() as name:
        for seed in seeds:
            rng = random.Random(seed)
            source = rng.choice(_sources())
            path = Path(name) / f"case{source.suffix}"
            path.write_bytes(_changed(source, rng))
            if text := _read(path):
                yield seed, f"{source.parent.name}/{source.name}: {text}"


@cache
def _sources() -> list[Path]:
    import onnx

    nodes = Path(onnx.__file__).parent / "backend" / "test" / "data" / "node"
    found = [
        path
        for path in sorted(nodes.glob("test_*/model.onnx"))
        if any(word in path.parent.name for word in CASES)
    ]
    own = [p for p in sorted((ROOT / "models").iterdir()) if p.suffix != ".py"]
    own = [p for p in own if p.suffix in (".onnx", ".mindir")]
    return found + own * (len(found) // len(own) + 1)


def _read(path: Path) -> str:
    """What is wrong with how a file is read; nothing where it is right."""
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        os.close(reading)
        os.setsid()  # whatever it starts ends with it
        os.write(writing, _outcome(path).encode()[:LONGEST])
        os._exit(0)
    os.close(writing)
    end = time.monotonic() + SECONDS
    while not (done := os.waitpid(process, os.WNOHANG))[0]:
        if time.monotonic() > end:
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
            os.close(reading)
            return f"takes more than {SECONDS} s"
        time.sleep(0.01)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read().decode(errors="replace")
    return f"ends with status {done[1]}" if done[1] else text


def _outcome(path: Path) -> str:
    try:
        options = Options("simd128", timeout=SECONDS / 2)
        if path.suffix == ".onnx":
            read_program(path, options, lambda text: None)
        else:
            model, _ = read_graph_of(path, options)
            optimise(model.graph)
            emit_model(model.graph)
    except (ToolError, SpecError, ModuleError) as error:
        return _fault(str(error))
    except OSError as error:
        return "" if error.filename else f"OSError: {error}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"[:LONGEST]
    return ""


def _fault(text: str) -> str:
    """What a text should not be."""
    if not text.strip():
        return "an error without a text"
    if "Traceback" in text or '  File "' in text:
        return f"a traceback: {text[:500]}"
    return f"a text of {len(text)} characters" if len(text) > LONGEST else ""


# Changes


def _changed(source: Path, rng: random.Random) -> bytes:
    data = source.read_bytes()
    if rng.random() < 0.3:
        return _bytes_changed(bytearray(data), rng)
    import onnx

    message = onnx.ModelProto() if source.suffix == ".onnx" else model_class()()
    message.ParseFromString(data)
    fields = _fields(message, 0)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        owner, field = rng.choice(fields)
        # A value that the field does not take leaves it as it is.
        with contextlib.suppress(TypeError, ValueError, IndexError):
            _change_field(owner, field, rng)
    return bytes(message.SerializeToString())


Field = tuple[Message, FieldDescriptor]  # a message and a field of it


def _fields(message: Message, depth: int) -> list[Field]:
    """Each field that is set, of a message and of those inside."""
    found: list[Field] = []
    for field, value in message.ListFields():
        found.append((message, field))
        if field.type == _MESSAGE and depth < 12:
            for inner in value if field.is_repeated else [value]:
                found += _fields(inner, depth + 1)
    return found


def _change_field(owner: Message, field: FieldDescriptor, rng: random.Random) -> None:
    name = field.name
    if rng.random() < 0.12:
        owner.ClearField(name)
    elif field.is_repeated:
        _change_list(getattr(owner, name), field, rng)
    elif field.type == _MESSAGE:
        getattr(owner, name).Clear()
    elif field.type == _BYTES:
        data = getattr(owner, name)
        cut = rng.choice((data[: len(data) // 2], data + bytes(7), b"", data[:-1]))
        setattr(owner, name, cut)
    else:
        setattr(owner, name, _value(field, rng))


def _change_list(values: Any, field: FieldDescriptor, rng: random.Random) -> None:
    i, message = rng.randrange(len(values)), field.type == _MESSAGE
    changes: list[Callable[[], object]] = [lambda: values.__delitem__(i)]
    if message:
        changes += [lambda: values.add().CopyFrom(values[i]), lambda: values[i].Clear()]
    else:
        changes += [
            lambda: values.append(values[i]),
            lambda: values.__setitem__(i, values[rng.randrange(len(values))]),
            lambda: values.__setitem__(i, _value(field, rng)),
        ]
    rng.choice(changes)()


def _value(field: FieldDescriptor, rng: random.Random) -> object:
    if field.type == _TEXT:
        return rng.choice(WORDS)
    if field.type == _BYTES:
        return rng.randbytes(rng.randrange(64))
    if field.type in _FLOATS:
        return rng.choice(FLOATS)
    if field.type == _BOOL:
        return rng.random() < 0.5
    if field.type == _ENUM:
        return rng.randrange(24)
    value = rng.choice(NUMBERS)
    if field.type in _WIDE:
        return value
    if field.type in _UNSIGNED:
        return abs(value)
    return max(-(2**31), min(2**31 - 1, value))


def _bytes_changed(data: bytearray, rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        if not data:
            break
        # Half of them among the first, which say more.
        at = rng.randrange(len(data) if rng.random() < 0.5 else min(len(data), 600))
        kind = rng.randrange(5)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at] = rng.choice((0, 255, 127, 128, rng.randrange(256)))
        elif kind == 2:
            del data[at : at + rng.choice((1, 2, 10, 1000))]
        elif kind == 3:
            data[at:at] = rng.randbytes(rng.choice((1, 2, 10)))
        elif rng.random() < 0.3:
            del data[at:]
    return bytes(data)
