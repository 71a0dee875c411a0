"""Verification: a built kernel's result against its reference, in ULP."""

from __future__ import annotations

import inspect
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import FunctionType

import numpy as np
from ops_wasm32.convert import Array

from toolchain.codegen.operators import load_operator
from toolchain.profile import Profile
from toolchain.spec import Case, Operator, kernel_name, tensor_dtype
from toolchain.spec.cases_extremes import every_case


@dataclass(frozen=True)
class Cell:
    """One case of one kernel for one target."""

    operator: str
    kernel: str
    dtypes: tuple[str, ...]
    target: str
    case: Case

    def __str__(self) -> str:
        return f"{self.kernel}-{self.case.name}-{self.target}"


@dataclass
class Worst:
    """The worst error seen per operator and target, with the number of cells."""

    ulp: dict[tuple[str, str], float] = field(default_factory=dict)
    cells: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, operator: str, target: str, ulp: float) -> None:
        """Count a cell."""
        key = (operator, target)
        self.ulp[key] = max(ulp, self.ulp.get(key, 0.0))
        self.cells[key] = self.cells.get(key, 0) + 1

    def lines(self) -> Iterator[str]:
        """A line per operator and target, and the number of cells of each target."""
        for (operator, target), ulp in sorted(self.ulp.items()):
            count = self.cells[operator, target]
            yield f"{operator:24} {target:13} {count:5} cells  worst {ulp:8.3g} ULP"
        for target in sorted({t for _, t in self.cells}):
            total = sum(n for (_, t), n in self.cells.items() if t == target)
            yield f"{target}: {total} cells verified"


def cells(profile: Profile, only: str = "") -> Iterator[Cell]:
    """The matrix operator x dtype x case x target of a build."""
    for name, path in profile.operators.items():
        if only and name != only:
            continue
        operator, wanted = load_operator(path), profile.dtypes[name]
        for dtypes in operator.variants():
            if wanted is not None and dtypes[0] not in wanted:
                continue
            kernel = kernel_name(name, dtypes)
            rng = np.random.default_rng(zlib.crc32(kernel.encode()))
            for case in every_case(operator, dtypes, rng):
                for target in profile.targets:
                    yield Cell(name, kernel, dtypes, target, case)


def _wide(value: Array | None) -> Array | None:
    if value is None or value.dtype != np.float32:
        return value
    return value.astype(np.float64)


def expected(
    operator: Operator,
    case: Case,
    reference: Callable[..., Array | list[Array] | tuple[Array, ...]],
    dtypes: tuple[str, ...],
) -> list[Array]:
    """What a reference gives, as a list; floats in float64.

    A reference with a parameter `dtypes` gets the variant's.
    """
    defaults = {a.name: a.default for a in operator.attributes if not a.per_unit}
    named = {
        a.name: a.choices[int(a.default)]
        for a in operator.attributes
        if a.choices and a.default is not None and not a.per_unit
    }
    given = defaults | named | dict(case.attributes)
    plain = isinstance(reference, FunctionType)  # a numpy function has no signature
    if plain and "dtypes" in inspect.signature(reference).parameters:
        given["dtypes"] = dtypes
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # "Mean of empty slice"
        wide = [
            [_wide(v) for v in value] if isinstance(value, list) else _wide(value)
            for value in case.inputs
        ]
        result = reference(*wide, **given)
    return list(result) if isinstance(result, (list, tuple)) else [result]


def error_ulp(got: Array, want: Array, scale: Array | None, absolute: float) -> float:
    """The largest difference, in ULP of float32 at the magnitude of the result.

    NaN must meet NaN, infinity the same infinity, zero the same sign; otherwise
    the error is infinite. scale: magnitudes that count where they are larger.
    """
    with np.errstate(all="ignore"):
        rounded = want.astype(np.float32)
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    if scale is None:
        same &= (got != 0) | (rounded != 0) | (np.signbit(got) == np.signbit(rounded))
    if same.all():
        return 0.0
    with np.errstate(all="ignore"):
        magnitude = (
            np.abs(rounded) if scale is None else np.maximum(np.abs(rounded), scale)
        )
        capped = np.minimum(magnitude, np.finfo(np.float32).max).astype(np.float32)
        unit = np.spacing(capped).astype(np.float64)
        # float32 has no result between its largest value and infinity.
        difference = np.abs(got.astype(np.float64) - want.astype(np.float64)) / unit
        close = np.abs(got.astype(np.float64) - want) <= absolute
    signs = (got == 0) & (rounded == 0) & ~same
    difference = np.where(same | close, 0.0, np.where(signs, np.inf, difference))
    finite = np.isfinite(difference)
    return float(difference.max()) if finite.all() else float("inf")


def check(cell: Cell, operator: Operator, results: list[Array]) -> float:
    """Compare results with the reference; the worst error, or AssertionError."""
    wants = expected(operator, cell.case, operator.reference, cell.dtypes)
    scales: Sequence[Array | None] = [None] * len(wants)
    if operator.reference_scale is not None:
        reference = operator.reference_scale
        scales = expected(operator, cell.case, reference, cell.dtypes)
    assert len(wants) == len(results)
    worst = 0.0
    variadic = operator.outputs[0].variadic
    for i, (want, got, scale) in enumerate(zip(wants, results, scales, strict=True)):
        tensor = operator.outputs[0 if variadic else i]
        dtype = tensor_dtype(tensor, cell.dtypes)
        want = np.asarray(want)
        assert str(got.dtype) == dtype
        assert got.shape == want.shape
        if dtype == "float32":
            ulp = error_ulp(got, want, scale, operator.bound.absolute)
            assert ulp <= operator.bound.ulp, _miss(got, want, ulp)
            worst = max(worst, ulp)
        else:
            np.testing.assert_array_equal(got, want.astype(dtype))
    return worst


def _miss(got: Array, want: Array, ulp: float) -> str:
    with np.errstate(all="ignore"):
        distance = np.abs(got.astype(np.float64) - want)
        odd = np.isnan(got) != np.isnan(want)
    at = np.unravel_index(
        np.argmax(np.where(odd, np.inf, np.nan_to_num(distance))), got.shape
    )
    return f"{ulp:g} ULP off; at {at} got {got[at]!r}, want {want[at]!r}"
