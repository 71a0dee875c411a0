"""Names of micro-kernels: the grammar by which they are built and parsed.

A name is a contract between a loop nest, which calls it, and the family that emits its
body (toolchain/micro): it says the operation, the dtype, the layout of the operands and
the tile. What the name does not say follows from the target. This is the only place
that knows how names are spelled; other texts are refused.

In a form `<a|b>` is one of the words, `<#rows>` a number; `[_dense]` may be absent.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from toolchain.spec import SpecError

Value = str | int | bool
_FIELD = re.compile(r"<(?:#\w+|[\w|]+)>|\[\w+\]")


def _pattern(field: str) -> str:
    """Regular expression, with one group, of a field of a form."""
    inside = field[1:-1]
    if field.startswith("["):
        return f"({inside})?"
    return r"(0|[1-9]\d*)" if inside.startswith("#") else f"({inside})"


def _value(field: str, text: str | None) -> Value:
    """What a field's text stands for."""
    if text is None or field.startswith("["):
        return text is not None
    return int(text) if text.isdigit() else text


class Form:
    """The names that one or several forms spell, of the same fields.

    Called with a value for each field it gives the name: a word, a number, or whether
    an optional part is there. Errors: SpecError where no form has such a name.
    """

    def __init__(self, *texts: str) -> None:
        self.texts = texts

    @property
    def shown(self) -> str:
        """The forms, for people."""
        return " or ".join(
            re.sub(r"<(\w+)>", r"\1", text).replace("#", "") for text in self.texts
        )

    def __call__(self, *values: Value) -> str:
        """The name with these values of its fields."""
        for text in self.texts:
            name = _spelled(text, values)
            if name is not None and self.parse(name) == values:
                return name
        given = ", ".join(map(repr, values))
        raise SpecError(f"no micro-kernel is named by ({given}); use {self.shown}")

    def parse(self, name: str) -> tuple[Value, ...] | None:
        """Values of the fields; None where it is no name of these forms."""
        for text in self.texts:
            fields = _FIELD.findall(text)
            match = re.fullmatch(_FIELD.sub(lambda m: _pattern(m[0]), text), name)
            if match:
                return tuple(map(_value, fields, match.groups()))
        return None


def _spelled(text: str, values: Sequence[Value]) -> str | None:
    """The form with values in its fields; None where it has others."""
    ends = [m.span() for m in _FIELD.finditer(text)]
    if len(ends) != len(values):
        return None
    places = [(0, 0), *ends, (len(text), len(text))]
    literals = [text[end:start] for (_, end), (start, _) in pairwise(places)]
    fields = [
        text[start + 1 : end - 1] * bool(value) if text[start] == "[" else str(value)
        for (start, end), value in zip(ends, values, strict=True)
    ]
    return "".join(a + b for a, b in zip(literals, [*fields, ""], strict=True))


# Products of float32 and int32: a tile of the result, by how a row of the left factor
# reaches every lane; dense: rows of the right panel are contiguous.
GEMM = Form("micro_gemm_<f32|i32>_<splat|shuffle|load|rows>_<#rows>x<#columns>[_dense]")
# Packing of 1, 2 or 4 rows into a panel of that width; the same with each element
# splat over a register.
PACK = Form("micro_pack_<1|2|4>_<#width>")
SPLAT = Form("micro_splat_<#rows>")
# Products of 8-bit integers: packing of rows and of columns for a tile, and the tile.
DOT = Form("micro_dot_<rows|columns|tile>_<#rows>x<#columns>")
# Depthwise convolution: a tile over any table of taps; 3 x 3 taps by their stride down
# the rows (even: stride 2 both ways); reading ahead.
FOLD = Form("micro_fold_<#rows>x<#columns>")
SLIDE = Form("micro_slide_<1|2|even>")
TOUCH = Form("micro_touch")
# Winograd's transforms of an image's tile and of the products.
WINOGRAD = Form("micro_winograd_<input|output>")
# Pooling: windows of any size; windows of 3 x 3 that halve a plane.
POOL = Form("micro_pool_<max>_<f32|i8|u8>", "micro_pool_<sum>_<f32>")
HALVE = Form("micro_halve_max")
# Upsampling of a plane by 2.
DOUBLE = Form("micro_double_rows")
# Transposition of a matrix with elements of so many bits, by blocks; a tile's copy.
TRANSPOSE = Form("micro_transpose_<8|16|32|64>_<#rows>x<#columns>")
COPY = Form("micro_copy_rows")
# Reductions of rows and of columns.
ROWS = Form(
    "micro_rows_<sum|product|max>_<f32|i8|i32|i64>",
    "micro_rows_<squares|deviations|min>_<f32>",
)
COLUMNS = Form(
    "micro_columns_<sum|product|max>_<f32|i8|i32|i64>",
    "micro_columns_<squares|deviations|min>_<f32>",
)
# Arg reductions: of columns; of rows in one pass; the index of a value in a row.
ARG_COLUMNS = Form("micro_arg_<max>_<f32|i8|i32|i64>", "micro_arg_<min>_<f32>")
ARG_ROWS = Form("micro_arg_first_<max|min>_f32")
ARG_FIND = Form("micro_arg_find_<f32|i8|i32|i64>")
# The last pass of a normalization of rows.
NORMALIZE = Form("micro_normalize_<scaled|centred>")
# Reductions, and normalized rows, that left float32 on the way: again in float64.
WIDE = Form("micro_wide_<sum|product|norm>")
WIDE_NORMALIZATION = Form("micro_wide_normalization")
