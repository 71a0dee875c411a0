"""Header: C declarations of every kernel of a library."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from toolchain.link.clang import RUNTIME
from toolchain.link.cpp import write_cpp
from toolchain.link.description import (
    DescribedAttribute,
    DescribedKernel,
    Description,
)
from toolchain.records.replace import write

_HEAD = """\
/* ops_kernels.h: generated; every operator of this library.
 *
 * ops_<kernel> is the operator; a program that names it links its kernel, and
 * only its. ops_run_<kernel> calls it with tensors and attributes as they are;
 * NULL stands for an optional tensor that is absent.
 */
#ifndef OPS_KERNELS_H_
#define OPS_KERNELS_H_

#include "ops_wasm32.h"

#ifdef __cplusplus
extern "C" {
#endif

static inline TVMFFIAny ops_arg(int32_t kind) {
  TVMFFIAny arg;
  arg.type_index = kind;
  arg.zero_padding = 0;
  arg.v_int64 = 0;
  return arg;
}

static inline TVMFFIAny ops_arg_tensor(DLTensor *tensor) {
  TVMFFIAny arg = ops_arg(tensor ? OPS_KIND_TENSOR : OPS_KIND_NONE);
  arg.v_ptr = tensor;
  return arg;
}

static inline TVMFFIAny ops_arg_int(int64_t value) {
  TVMFFIAny arg = ops_arg(OPS_KIND_INT);
  arg.v_int64 = value;
  return arg;
}

static inline TVMFFIAny ops_arg_float(double value) {
  TVMFFIAny arg = ops_arg(OPS_KIND_FLOAT);
  arg.v_float64 = value;
  return arg;
}
"""
_TAIL = """
#ifdef __cplusplus
}
#endif
#endif /* OPS_KERNELS_H_ */
"""
_C_TYPES = {"int": "int64_t", "float": "double"}


def write_headers(descriptions: Mapping[str, Description], folder: Path) -> None:
    """Write ops_wasm32.h, ops_kernels.h and ops_wasm32.hpp into a folder."""
    write(folder / "ops_wasm32.h", (RUNTIME / "ops_wasm32.h").read_bytes())
    parts = [_HEAD]
    for description in descriptions.values():
        parts.append(f"\n/* {description['operator']}: {description['formula']} */\n")
        for kernel, tensors in description["kernels"].items():
            parts.append(_declaration(kernel, tensors, description["attributes"]))
    write(folder / "ops_kernels.h", "".join([*parts, _TAIL]).encode())
    write_cpp(descriptions, folder)


def _declaration(
    kernel: str, tensors: DescribedKernel, attributes: list[DescribedAttribute]
) -> str:
    declared = f"extern const ops_operator ops_{kernel};\n"
    both = [*tensors["inputs"], *tensors["outputs"]]
    if any(t["variadic"] for t in both) or any(a["per_unit"] for a in attributes):
        return declared  # its number of arguments varies: ops_call_operator
    parameters = [f"DLTensor *{t['name']}" for t in both]
    parameters += [f"{_C_TYPES[a['kind']]} {a['name']}" for a in attributes]
    values = [f"ops_arg_tensor({t['name']})" for t in both]
    values += [f"ops_arg_{a['kind']}({a['name']})" for a in attributes]
    signature = ",\n    ".join(parameters)
    listed = ",\n      ".join(values)
    return (
        f"{declared}static inline int32_t ops_run_{kernel}(\n    {signature}) {{\n"
        f"  const TVMFFIAny args[] = {{\n      {listed}}};\n"
        f"  return ops_call_operator(&ops_{kernel}, args, {len(values)});\n}}\n"
    )
