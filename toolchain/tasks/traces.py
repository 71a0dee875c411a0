"""Traces: where time and memory of the model go that a command line names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from toolchain.profile import full_profile
from toolchain.records.places import BUILT
from toolchain.tasks.documents import draw_trace
from toolchain.tasks.library import current_objects, runtime_objects
from toolchain.tasks.making import Task, command, option
from toolchain.tasks.model_files import CACHE, OPTIONS, given_options, place_of

AT = option("at", [], "an open size to time the model at, as in seq=128")


def trace_task(after: Iterable[str]) -> Task:
    """Times the model file that the command line names."""
    return command(trace_file, after=after, options=(*OPTIONS, AT), reads=True)


def trace_file(
    file: str, target: str, out: str, at: Sequence[str] = (), **options: Any
) -> None:
    """Build the traced module of a model, time its steps and draw the page.

    It is the module that `doit model` makes with the same options. at: sizes that it
    leaves open, of the inputs to time it with.
    """
    from toolchain.frontends import OpenSizesError
    from toolchain.graph.build import Place
    from toolchain.model.build import Options
    from toolchain.model.trace import build_open_trace, build_trace
    from toolchain.process.confined import LimitError
    from toolchain.spec import SpecError

    path, folder = place_of(file, target, out)
    runtime = runtime_objects(BUILT / target)
    folder = folder if out else folder / "trace"
    how = Options(target, **given_options(**options))
    sizes = _sizes(at)

    def open_trace() -> None:
        ready = current_objects(full_profile(), target)
        place = Place(folder, CACHE / target, ready=ready)
        build_open_trace(path, how, sizes, place, runtime)

    def fixed_trace() -> None:
        build_trace(path, how, Place(folder, CACHE / target), list(runtime))

    if sizes:
        open_trace()
    else:
        try:
            fixed_trace()
        except LimitError:
            raise
        except SpecError as error:
            try:
                open_trace()
            except SpecError as other:
                raise (other if isinstance(error, OpenSizesError) else error) from None
    draw_trace(folder)


def _sizes(words: Sequence[str]) -> dict[str, int]:
    """Sizes by name, from texts such as seq=128. Errors: SpecError."""
    from toolchain.spec import SpecError

    found = {}
    for word in words:
        name, _, number = word.rpartition("=")
        if not name or not (number.isascii() and number.isdigit()):
            raise SpecError(f"--at {word!r} is no size; use a name, as in --at seq=128")
        found[name] = int(number)
    return found
