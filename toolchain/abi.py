"""The ABI: numbers, names and structs that toolchain, runtime and hosts share.

C has them in runtime_stub/*.h; `doit tables`, which every build runs first, holds those
headers against this file and writes what the hosts in Python and JavaScript have.
"""

from __future__ import annotations

from enum import IntEnum

# Of libraries and of models whose sizes are known; of models with open sizes.
ABI_VERSION = 1
ABI_VERSION_OPEN = 2
# Axes of a tensor; tensors of a call of an operator, and of a model.
MAX_RANK = 8
MAX_TENSORS = 64
MAX_MODEL_TENSORS = 4096
# Of a call: attribute values, lists included, and attributes.
MAX_VALUES = 64
MAX_ATTRIBUTES = 16
MAX_SIZE = (1 << 31) - 1  # of an axis
MAX_AXES = 6  # of a tensor in its canonical rank
MAX_SYMBOLS = 32  # sizes that a kernel gets
MAX_SIZES = 64  # canonical sizes of all outputs
MAX_SLOTS = 64  # of a kernel: pointers, sizes, values
MAX_NAME = 1024  # bytes of a kernel's name, with the zero at its end
MAX_INPUTS = 4  # of an elementwise operator
MAX_OUTPUTS = 8  # of an operator along rows
SLOT_BYTES = 8  # an argument of a kernel: a pointer, an int64 or a double
ALIGNMENT = 64  # bytes: of what ops_alloc gives; a cache line
PAGE = 65536  # bytes of linear memory
MAX_MEMORY = 1 << 32  # bytes that wasm32 can address
MANIFEST = "ops_wasm32.manifest"  # custom section of a module
# What a module writes, which the tensors of a call follow: runtime_stub/state.h.
STATE_BYTES, CHECKED_TENSOR_BYTES = 11704, 64
# Of a model of any shape: runtime_stub/graph.h. A value that is none; bytes of the
# memory for a value that is computed early, for a result, and for a value's place.
NO_VALUE, EARLY_BYTES, GRAPH_RESULT_BYTES, GRAPH_PLACE_BYTES = 0xFFFF, 64, 72, 8
# What a module exports beside its memory: functions, and how many arguments each has.
# All are i32, and each gives one.
FUNCTIONS = {
    "ops_abi_version": 0,
    "ops_alloc": 1,
    "ops_call": 3,
    "ops_count": 0,
    "ops_find": 1,
    "ops_free": 1,
    "ops_infer": 3,
    "ops_last_error": 0,
    "ops_name": 1,
    "ops_signature": 1,
}


# What objects call of the runtime: the result and the arguments, in LLVM's types.
CALLS = {
    "TVMBackendAllocWorkspace": ("ptr", ("i32", "i32", "i64", "i32", "i32")),
    "TVMBackendFreeWorkspace": ("i32", ("i32", "i32", "ptr")),
    "ops_check_attributes": ("i32", ("ptr", "ptr")),
    "ops_indices_inside": ("i32", ("ptr", "ptr", "i32", "i32", "i32", "i32")),
    "ops_fill": ("i64", ("ptr", "ptr")),
    "ops_graph_widen": ("i32", ("ptr",)),
    "ops_run_node": ("i32", ("ptr", "ptr")),
    "ops_step_control": ("i32", ("ptr", "ptr")),
    "ops_windows_fold": ("i32", ("ptr", "ptr", "ptr", "ptr", "i32")),
    "ops_windows_plain": ("i32", ("ptr",)),
}


def declaration(name: str) -> str:
    """LLVM IR that declares one of CALLS."""
    result, arguments = CALLS[name]
    return f"declare {result} @{name}({', '.join(arguments)})"


class Kind(IntEnum):
    """What an argument is: TVMFFIAny.type_index."""

    NONE = 0
    INT = 1
    BOOL = 2
    FLOAT = 3
    TENSOR = 7


class Error(IntEnum):
    """What a function returns that fails."""

    OPERATOR = 1
    ARGUMENT = 2
    DTYPE = 3
    SHAPE = 4
    POINTER = 5
    ATTRIBUTE = 6
    MEMORY = 7


class Param(IntEnum):
    """Flags of a tensor parameter."""

    OPTIONAL = 1
    VARIADIC = 2
    LATE = 4
    OPEN = 8


class Attr(IntEnum):
    """What kind an attribute is of; the names are as in operator files."""

    INT = 0
    FLOAT = 1


class AttrFlag(IntEnum):
    """Flags of an attribute."""

    REQUIRED = 1
    RAW = 2


class Windows(IntEnum):
    """What ops_windows_fold does: runtime_stub/windows.h."""

    MAX = 0
    SUM = 1
    MAX_INT8 = 2
    MAX_UINT8 = 3


class Step(IntEnum):
    """What a step of a model of any shape is: runtime_stub/graph.h."""

    CALL = 0
    SHAPE = 1
    RESHAPE = 2
    SQUEEZE = 3
    UNSQUEEZE = 4
    FLATTEN = 5
    IF = 6
    LOOP = 7


class StepFlag(IntEnum):
    """Flags of a step."""

    EARLY = 1
    LATE = 2


# With what their names start in C.
ENUMS: tuple[tuple[str, type[IntEnum]], ...] = (
    ("OPS_KIND_", Kind),
    ("OPS_ERROR_", Error),
    ("OPS_PARAM_", Param),
    ("OPS_ATTR_", Attr),
    ("OPS_ATTR_", AttrFlag),
    ("OPS_WINDOWS_", Windows),
    ("OPS_STEP_", Step),
    ("OPS_STEP_", StepFlag),
)
# The numbers as expressions of C.
NUMBERS = {
    "OPS_ABI_VERSION": ABI_VERSION,
    "OPS_ABI_VERSION_OPEN": ABI_VERSION_OPEN,
    "OPS_MAX_RANK": MAX_RANK,
    "OPS_MAX_TENSORS": MAX_TENSORS,
    "OPS_MAX_MODEL_TENSORS": MAX_MODEL_TENSORS,
    "INT32_MAX": MAX_SIZE,
    "OPS_MAX_VALUES": MAX_VALUES,
    "OPS_MAX_ATTRIBUTES": MAX_ATTRIBUTES,
    "OPS_MAX_AXES": MAX_AXES,
    "OPS_MAX_SYMBOLS": MAX_SYMBOLS,
    "OPS_MAX_SIZES": MAX_SIZES,
    "OPS_MAX_SLOTS": MAX_SLOTS,
    "OPS_MAX_NAME": MAX_NAME,
    "OPS_MAX_INPUTS": MAX_INPUTS,
    "OPS_MAX_OUTPUTS": MAX_OUTPUTS,
    "OPS_ALIGNMENT": ALIGNMENT,
    "OPS_PAGE": PAGE,
    "sizeof(ops_slot)": SLOT_BYTES,
    "sizeof(struct ops_state)": STATE_BYTES,
    "sizeof(ops_tensor)": CHECKED_TENSOR_BYTES,
    "OPS_NO_VALUE": NO_VALUE,
    "OPS_EARLY_BYTES": EARLY_BYTES,
    "sizeof(ops_graph_result)": GRAPH_RESULT_BYTES,
    "sizeof(ops_graph_place)": GRAPH_PLACE_BYTES,
}
