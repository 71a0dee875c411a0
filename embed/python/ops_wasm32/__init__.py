"""ops_wasm32: machine-learning operators in WebAssembly, called with numpy arrays.

Use:
    import ops_wasm32
    library = ops_wasm32.load()
    library.call("softmax", x, axis=-1)
"""

from ops_wasm32.errors import ArgumentError, ModuleError, OpsError
from ops_wasm32.library import Library
from ops_wasm32.locate import load
from ops_wasm32.tables import TARGETS

__all__ = ["TARGETS", "ArgumentError", "Library", "ModuleError", "OpsError", "load"]
