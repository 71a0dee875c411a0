"""ONNX models of one operator, and native ONNX Runtime and numpy, which run here."""

from __future__ import annotations

import time

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from ops_wasm32.convert import Array

from bench.row import Case, Onnx

FIRST_NODES = 8  # equal nodes beside the first, until their time is known
_SPAN = 4e-3  # seconds that the equal nodes should take together
_MOST_NODES = 512
_LEAST_NODES = 4  # of large tensors: copying them takes as long, and varies
_IR_VERSION = 10  # opsets to 23, and both runtimes read it


def model(form: Onnx, nodes: int) -> tuple[bytes, dict[str, Array]]:
    """A model of so many equal nodes, and what it is fed.

    Only the last node's output is an output of the model; runtimes compute the
    others all the same when optimisations are off, and reuse their memory.
    """
    names = [f"x{i}" if x.size else "" for i, x in enumerate(form.inputs)]
    constants = {names[i] for i in form.constants}
    given = dict(zip(names, form.inputs, strict=True))
    given.pop("", None)
    graph = helper.make_graph(
        [
            helper.make_node(
                form.op_type,
                names,
                ["y" if i == nodes - 1 else f"y{i}"],
                name=f"n{i}",
                **form.attributes,
            )
            for i in range(nodes)
        ],
        "bench",
        [
            helper.make_tensor_value_info(n, _type(x), x.shape)
            for n, x in given.items()
            if n not in constants
        ],
        [helper.make_empty_tensor_value_info("y")],
        [numpy_helper.from_array(x, n) for n, x in given.items() if n in constants],
    )
    made = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", form.opset)],
        ir_version=_IR_VERSION,
    )
    made = onnx.shape_inference.infer_shapes(made)
    feeds = {n: x for n, x in given.items() if n not in constants}
    return made.SerializeToString(), feeds


def enough_nodes(seconds: float) -> int:
    """How many equal nodes are needed to time one that takes so long."""
    if seconds <= 0:
        return _MOST_NODES
    return min(_MOST_NODES, max(_LEAST_NODES, round(_SPAN / seconds)))


def _type(x: Array) -> int:
    return int(helper.np_dtype_to_tensor_dtype(x.dtype))


class OnnxRuntimeNative:
    """ONNX Runtime for this machine, one thread."""

    name = "onnxruntime, native"

    def prepare(self, case: Case) -> bool:
        """Load the row's models; whether the peer has the row."""
        if case.onnx is None:
            return False
        self.onnx, self.nodes = case.onnx, FIRST_NODES
        self.one, self.many = (_session(case.onnx, n) for n in (1, 1 + FIRST_NODES))
        self._seconds(1)
        nodes = enough_nodes(self._seconds(1) / self.nodes)
        self.nodes, self.many = nodes, _session(case.onnx, 1 + nodes)
        return True

    def _seconds(self, n: int) -> float:
        """Seconds of n runs of the nodes that the second model has more."""
        times = []
        for session, feeds in (self.one, self.many):
            start = time.perf_counter()
            for _ in range(n):
                session.run(["y"], feeds)
            times.append(time.perf_counter() - start)
        return times[1] - times[0]

    def result(self) -> Array:
        """The result, in the layout of ours."""
        session, feeds = self.many
        y = np.asarray(session.run(["y"], feeds)[0])
        return y if self.onnx.perm is None else y.transpose(self.onnx.perm)

    def run(self, n: int) -> float:
        """Seconds of n operators."""
        runs = max(1, round(n / self.nodes))
        return self._seconds(runs) / self.nodes / runs * n


def _session(
    form: Onnx, nodes: int
) -> tuple[onnxruntime.InferenceSession, dict[str, Array]]:
    data, feeds = model(form, nodes)
    return inference_session(data, optimized=False), feeds


def inference_session(
    data: bytes | str, optimized: bool
) -> onnxruntime.InferenceSession:
    """A session of ONNX Runtime, one thread. data: a model or its path."""
    levels = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = (
        levels.ORT_ENABLE_ALL if optimized else levels.ORT_DISABLE_ALL
    )
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        data, options, providers=["CPUExecutionProvider"]
    )


class Numpy:
    """numpy, float32; one thread by the environment of the process."""

    name = "numpy, native"

    def prepare(self, case: Case) -> bool:
        """Take the row's formula; whether the row has a formula."""
        if case.numpy is None:
            return False
        self.function = case.numpy
        return True

    def result(self) -> Array:
        """The result."""
        return self.function()

    def run(self, n: int) -> float:
        """Seconds of n evaluations."""
        start = time.perf_counter()
        for _ in range(n):
            self.function()
        return time.perf_counter() - start
