"""Tables that this package shares with its modules.

Written by `doit tables` from toolchain/; do not edit.
"""

VERSION = "0.1.0"  # of this package, and of the compiler's
# Code of DLPack and bits of each dtype, by numpy's name; and what the command calls it.
DTYPES = {
    "float32": (2, 32),
    "int32": (0, 32),
    "int8": (0, 8),
    "uint8": (1, 8),
    "int64": (0, 64),
    "bool": (6, 8),
    "float16": (2, 16),
    "float64": (2, 64),
}
SHORT_DTYPES = {
    "FP32": "float32",
    "INT32": "int32",
    "INT8": "int8",
    "UINT8": "uint8",
    "INT64": "int64",
    "BOOL": "bool",
    "FP16": "float16",
    "FP64": "float64",
}
# Targets, best first.
TARGETS = (
    "relaxed-simd",
    "relaxed-simd-v8",
    "simd128",
    "mvp",
)
# Of libraries and of models whose sizes are known; of models with open sizes.
ABI_VERSION = 1
ABI_VERSION_OPEN = 2
MAX_RANK = 8
MAX_SIZE = 2147483647  # of an axis
ALIGNMENT = 64  # bytes, of what ops_alloc gives
PAGE = 65536  # bytes of linear memory
MAX_MEMORY = 4294967296  # bytes that wasm32 can address
MANIFEST = "ops_wasm32.manifest"  # custom section of a module
# Functions of a module and how many arguments each has; all are i32, results too.
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
# TVMFFIAny.type_index, and what a function returns that is out of memory.
KIND_NONE = 0
KIND_INT = 1
KIND_BOOL = 2
KIND_FLOAT = 3
KIND_TENSOR = 7
ERROR_MEMORY = 7
# For struct: TVMFFIAny with an int64, and DLTensor.
ARGUMENT = "<iIq"
TENSOR = "<IiiiBBHII4xQ"
