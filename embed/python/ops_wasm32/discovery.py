"""Discovery: what operators a module without a manifest says that it has.

Its functions must be run for that, and may do anything: they get so much fuel, in an
instance of their own. Fuel costs up to twice the time, so calls go without.
"""

from __future__ import annotations

import wasmtime

from ops_wasm32.errors import ModuleError, OpsError
from ops_wasm32.instance import Instance
from ops_wasm32.tables import ABI_VERSION, ABI_VERSION_OPEN

_FUEL = 100_000_000  # instructions; 370 signatures take 2 million
_LEAST_BYTES = 16  # of a file, for each operator: its name and its descriptor are more


def discover(data: bytes, what: str) -> list[str]:
    """Signatures of a module's operators, by index.

    Errors: ModuleError, where it answers wrongly or not at all.
    """
    config = wasmtime.Config()
    config.consume_fuel = True
    instance = Instance(data, what, wasmtime.Engine(config), fuel=_FUEL)
    try:
        check_version(instance.version(), what)
        count = instance.count()
        if count > len(data) // _LEAST_BYTES:
            raise ModuleError(
                f"{what}: claims {count} operators in a file of {len(data)} bytes; it "
                "was not built by ops-wasm32"
            )
        return [instance.signature(index) for index in range(count)]
    except OpsError as error:
        raise ModuleError(
            f"{what}: does not say which operators it has: {error.text}"
        ) from None


def check_version(version: object, what: str) -> None:
    """Raise ModuleError where a module speaks another ABI than this package."""
    if version not in (ABI_VERSION, ABI_VERSION_OPEN):
        raise ModuleError(
            f"{what}: has ABI version {version!r}, this package speaks {ABI_VERSION} "
            f"and {ABI_VERSION_OPEN}; build the module anew or update the package"
        )
