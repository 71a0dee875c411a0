"""Run a WASI program: python run_wasi.py main.wasm (any other WASI engine does too)."""

import sys

import wasmtime

engine = wasmtime.Engine()
linker, store = wasmtime.Linker(engine), wasmtime.Store(engine)
linker.define_wasi()
config = wasmtime.WasiConfig()
config.inherit_stdout()
config.inherit_stderr()
store.set_wasi(config)
program = wasmtime.Module.from_file(engine, sys.argv[1])
start = linker.instantiate(store, program).exports(store)["_start"]
assert isinstance(start, wasmtime.Func)
start(store)
