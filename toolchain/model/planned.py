"""Planned: operators whose C has a collapse of its own, in models of known sizes.

Their collapse runs at each call, as in the library, over constant shapes.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from llvmlite import ir

from toolchain import layout
from toolchain.codegen.data import NULL, Data, struct_constant, struct_type
from toolchain.dtypes import number
from toolchain.micro.builder import I32, I64
from toolchain.spec import kernel_name
from toolchain.targets import Target


@dataclass(frozen=True)
class Tensor:
    """A tensor of a call. shape: None where an optional input is absent."""

    dtype: str
    shape: tuple[int, ...] | None


@dataclass(frozen=True)
class Planned:
    """A call of an operator's variant. tensors: inputs, then outputs.

    attributes: arguments as a caller would pass them (see record.arguments_of).
    """

    operator: str
    dtypes: tuple[str, ...]
    tensors: tuple[Tensor, ...]
    outputs: int
    attributes: bytes
    units: int

    @property
    def name(self) -> str:
        """A name that says the operator and, by its hash, the rest."""
        digest = hashlib.sha256(repr(self).encode()).hexdigest()[:10]
        return f"{self.operator}_{digest}"

    def texts(self, target: Target) -> list[str]:
        """IR with `i32 kernel_<name>(ptr slots)`; slots: tensors that are given."""
        del target
        data = Data(self.name)
        kind = struct_type(layout.OPERATOR)
        words = struct.unpack(f"<{len(self.attributes) // 8}q", self.attributes)
        rows = [self._tensor(data, i) for i in range(len(self.tensors))]
        node = struct_constant(
            layout.NODE,
            op=data.external(f"ops_{kernel_name(self.operator, self.dtypes)}", kind),
            tensors=data.array("tensors", struct_type(layout.NODE_TENSOR), rows),
            attributes=data.numbers("attributes", I64, words),
            inputs=len(self.tensors) - self.outputs,
            outputs=self.outputs,
            units=self.units,
        )
        data.private("node", node)
        data.called("ops_run_node")
        function = f"""
define i32 @kernel_{self.name}(ptr %slots) {{
  %code = call i32 @ops_run_node(ptr @".node", ptr %slots)
  ret i32 %code
}}
"""
        return [str(data.module) + function]

    def _tensor(self, data: Data, i: int) -> ir.Constant:
        tensor = self.tensors[i]
        sizes = tensor.shape or (0,)  # of a scalar nothing is read
        absent = tensor.shape is None
        return struct_constant(
            layout.NODE_TENSOR,
            shape=NULL if absent else data.numbers(f"shape{i}", I32, sizes),
            rank=0 if tensor.shape is None else len(tensor.shape),
            dtype=number(tensor.dtype),
        )
