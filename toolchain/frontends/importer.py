"""Importer: an ONNX graph with known input shapes becomes Relax.

What depends on constants and shapes alone is computed here, node by node, so that
shapes that a graph computes (Shape, Gather, Concat, Reshape) are constants when a
converter sees them. Nodes become Relax by our own converters (converters.py) or by
those of TVM's importer.
"""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Sequence
from functools import cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.frontends import Places, plain, standard
from toolchain.frontends.definitions import definition
from toolchain.frontends.load import array, dense, name_of, subgraphs
from toolchain.frontends.refusals import Unsupported, reason_of, refuse
from toolchain.frontends.standard import excess, schema_of, size_of, type_of
from toolchain.frontends.suggestions import numbers
from toolchain.process import confined
from toolchain.spec import SpecError

DATA_DEPENDENT = ("Compress", "NonMaxSuppression", "NonZero", "Unique")
# TVM converts these, and has kernels for none of them.
WITHOUT_KERNEL = ("TopK",)
# Not computed by numpy here: slow, random, or wanted in the graph as they are.
KEPT = (
    *("Conv", "ConvInteger", "ConvTranspose", "Einsum", "Gemm", "MatMul"),
    *("MatMulInteger", "QLinearConv", "QLinearMatMul", "LSTM", "GRU", "RNN"),
    *("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike"),
    *("RandomUniform", "RandomUniformLike", "DequantizeLinear", "If", "Loop", "Scan"),
)
# Schemas' own definitions are used for these although TVM has a converter: those of
# the same name in another domain, or of an older standard.
BY_DEFINITION = ("Attention", "AffineGrid", "MeanVarianceNormalization")
# TVM's converters for these are of sequences, which the graph does not have.
SEQUENCES = ("Sequence", "Optional", "ConcatFromSequence", "SplitToSequence")
# Operators of whose outputs TVM's converter makes the first; the others are fillers.
FIRST_ONLY = (
    *("Attention", "EmbedLayerNormalization", "LayerNormalization"),
    "SkipLayerNormalization",
)
# Inputs that the shape of a result depends on, by their place.
_AXES = {1: "axes"}
SETTINGS: dict[str, dict[int, str]] = {
    "ConstantOfShape": {0: "shape"},
    "Expand": {1: "shape"},
    "Pad": {1: "pads", 3: "axes"},
    "Range": {0: "start", 1: "limit", 2: "delta"},
    "Reshape": {1: "shape"},
    "Slice": {1: "starts", 2: "ends", 3: "axes", 4: "steps"},
    "Split": {1: "split"},
    "Squeeze": _AXES,
    "Tile": {1: "repeats"},
    "Unsqueeze": _AXES,
    **{
        f"Reduce{name}": _AXES
        for name in (
            *("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod"),
            *("Sum", "SumSquare"),
        )
    },
}
INNER = ("float64", "int16", "uint16", "uint32", "uint64")  # dtypes inside a model
# Bytes of computed constants, at most: light_vgg19 of the onnx package has 575 million
# from a few; and so many more for each byte of weights.
CONSTANTS = 1 << 30
GROWTH = 8
_LATEST = 1 << 16  # an opset above all that there are
MAX_STEPS = 4096  # of a loop, which is unrolled

Array = NDArray[Any]


def prepared(model: Any, where: str) -> Any:
    """The model with functions replaced by what they are made of.

    Errors: SpecError with every operator that nothing here converts.
    """
    from onnx import inliner

    if model.functions:
        model = inliner.inline_local_functions(model)
    refuse(unsupported(model.graph, set()), where)
    return model


def _domain(node: Any) -> str:
    return "" if node.domain == "ai.onnx" else str(node.domain)


def _is_function(domain: str, name: str) -> bool:
    """Whether the standard defines the operator by others."""
    schema = schema_of(name, domain, _LATEST)
    return schema is not None and bool(
        schema.has_function or schema.has_context_dependent_function
    )


def _converted(domain: str, name: str) -> bool:
    """Whether a converter is there."""
    from toolchain.frontends.converters import converters

    if (domain, name) in converters() or (not domain and name in CONTROL):
        return True
    if domain not in ("", "com.microsoft") or name.startswith(SEQUENCES):
        return False
    if name in (*DATA_DEPENDENT, *WITHOUT_KERNEL):
        return False
    if not domain and name in BY_DEFINITION:
        return False
    return name in _tvm_converters()


@cache
def _tvm_converters() -> Any:
    """TVM's own, by operator."""
    from tvm.relax.frontend.onnx import onnx_frontend

    return onnx_frontend._get_convert_map()


def unsupported(
    graph: Any, outer: set[str], path: str = "", chosen: bool = False
) -> list[Unsupported]:
    """Each node that cannot be converted, inside subgraphs too.

    outer: names of constants around the graph. path: of the nodes that hold it.
    """
    known = outer | {w.name for w in graph.initializer} | {""}
    known |= {w.values.name for w in graph.sparse_initializer}
    found = []
    for i, node in enumerate(graph.node):
        domain, name = _domain(node), node.op_type
        inner = subgraphs(node)
        constant = name in ("Constant", "Shape", "Size")
        if name not in KEPT and known.issuperset(node.input) and not inner:
            constant = True
        if constant:
            known.update(node.output)
        at = f"{path}{name_of(node, i)}"
        for part in inner:
            found += unsupported(part, known, f"{at}/", chosen or name == "If")
        if (constant and not domain) or _converted(domain, name):
            continue
        if not _is_function(domain, name):
            reason = reason_of(name, domain)
            if name in DATA_DEPENDENT:
                reason = "the shape of its result depends on its input's elements"
            operator = name + (f" (domain {domain})" if domain else "")
            reason = f": {reason}" if reason else ""
            found.append(Unsupported(operator, at, reason, chosen))
    return found


CONTROL = ("Constant", "If", "Loop", "Scan", "Shape", "Size")


class Call:
    """What a converter gets: inputs (numpy where constant), attributes, outputs."""

    def __init__(self, importer: Importer, node: Any, inputs: list[Any]) -> None:
        from onnx import helper

        self.importer, self.node, self.inputs = importer, node, inputs
        self.attributes: dict[str, Any] = {
            a.name: _decoded(helper.get_attribute_value(a)) for a in node.attribute
        }
        self.opset = importer.opsets.get(_domain(node), 1)

    def __getitem__(self, index: int) -> Any:
        """An input in Relax; None where it is absent."""
        value = self.value(index)
        return None if value is None else self.importer.expression(value)

    def value(self, index: int) -> Any:
        """An input as it is: numpy, Relax, or None."""
        return self.inputs[index] if index < len(self.inputs) else None

    def constant(self, index: int, name: str) -> Array | None:
        """An input that must be constant; None where it is absent."""
        value = self.value(index)
        if value is None or isinstance(value, np.ndarray):
            return value
        raise SpecError(
            f"its {name} must be known when the model is compiled, and "
            + self.importer.cause([value])
        )

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        return self.attributes.get(name, default)

    def shape(self, index: int) -> tuple[int, ...]:
        """Sizes of an input."""
        return self.importer.shape(self.inputs[index])

    def is_weight(self, index: int) -> bool:
        """Whether an input depends on constants alone."""
        return not self.importer.origins_of(self.inputs[index : index + 1])

    def emit(self, expression: Any) -> Any:
        """The expression's value under a name, with its type."""
        return self.importer.builder.emit(expression)


def _decoded(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return [_decoded(v) for v in value] if isinstance(value, list) else value


class Importer:
    """Converts one model. where: what errors call it."""

    def __init__(self, model: Any, where: str) -> None:
        from tvm import relax

        self.relax, self.where, self.model = relax, where, model
        self.opsets = {
            "" if o.domain == "ai.onnx" else o.domain: o.version
            for o in model.opset_import
        }
        self.builder = relax.BlockBuilder()
        self.values: dict[str, Any] = {}
        self.places = Places()
        # Bytes that constants computed here may take.
        self.room = CONSTANTS
        # Inputs of the model whose elements a value depends on.
        self.origins: dict[Any, frozenset[str]] = {}
        # Inputs that a user may hold constant.
        self.settings: dict[str, Any] = {}
        self.node: Any = None  # the node that is being converted
        self.makers: dict[str, str] = {}  # nodes by the values that they make
        self.notes: list[str] = []  # what the user should know of the file

    def module(self) -> Any:
        """The Relax module."""
        relax, build, graph = self.relax, self.builder, self.model.graph
        self._initialize(graph)
        weights = sum(v.nbytes for v in self.values.values())
        self.room += GROWTH * weights
        parameters = []
        for value in graph.input:
            if value.name not in self.values:
                parameters.append(relax.Var(plain(value.name), _type_of(value)))
                self.values[value.name] = parameters[-1]
                self.origins[parameters[-1]] = frozenset([value.name])
                if _is_setting(value):
                    self.settings[value.name] = parameters[-1]
        failed = None
        with build.function("main", parameters):
            with build.dataflow():
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        self._nodes(graph, "")
                    results = [self._result(o) for o in graph.output]
                except SpecError as error:  # a builder must come to its end
                    results, failed = [relax.const(0)], error
                outputs = [build.emit_output(r) for r in results]
            build.emit_func_output(
                outputs[0] if len(outputs) == 1 else relax.Tuple(outputs)
            )
        if failed is not None:
            raise failed
        return build.get()

    def _result(self, output: Any) -> Any:
        value = self.expression(self.values[output.name])
        wanted = _type_of(output).dtype
        if str(value.ty.dtype) != str(wanted):
            raise SpecError(
                f"{self.where}: output {output.name!r} is declared {wanted} and "
                f"computed {value.ty.dtype}; export the model again"
            )
        self._note_shape(output, value)
        return value

    def _note_shape(self, output: Any, value: Any) -> None:
        """Note a declared shape that is not the result's, as ONNX Runtime warns."""
        kind, found = output.type.tensor_type, list(self.shape(value))
        declared = [
            d.dim_value if d.HasField("dim_value") else d.dim_param or "?"
            for d in kind.shape.dim
        ]
        same = len(declared) == len(found) and all(
            not isinstance(n, int) or n == m
            for n, m in zip(declared, found, strict=True)
        )
        if kind.HasField("shape") and not same:
            texts = [", ".join(map(str, sizes)) for sizes in (declared, found)]
            self.notes.append(
                f"warning: {self.makers.get(output.name, 'the graph')}: output "
                f"{output.name!r} is declared as [{texts[0]}], and is [{texts[1]}]"
            )

    def _initialize(self, graph: Any) -> None:
        try:
            for tensor in graph.initializer:
                self.values[tensor.name] = array(tensor)
            for sparse in graph.sparse_initializer:
                self.values[sparse.values.name] = dense(sparse)
        except SpecError as error:
            raise SpecError(f"{self.where}: {error}") from None

    def expression(self, value: Any) -> Any:
        """A value in Relax."""
        if not isinstance(value, np.ndarray):
            return value
        if value.dtype.kind not in "fiub" or str(value.dtype) == "float16":
            raise SpecError(
                f"a constant has dtype {value.dtype}, which is not supported; export "
                "the model in float32"
            )
        data = np.ascontiguousarray(value).reshape(value.shape)
        return self.relax.const(data, str(value.dtype))

    def shape(self, value: Any) -> tuple[int, ...]:
        """Sizes of a value."""
        if isinstance(value, np.ndarray):
            return tuple(value.shape)
        return tuple(int(n) for n in value.ty.shape)

    def _nodes(self, graph: Any, path: str) -> None:
        for i, node in enumerate(graph.node):
            place = f"{node.op_type}, node {path}{name_of(node, i)}"
            confined.at(place)
            at = f"{self.where}: {place}"
            self.node = node
            try:
                inputs = [self.values[n] if n else None for n in node.input]
                made = self._check(node, inputs)
                if not all(v is None or _known(v) for v in inputs):
                    for _, dtype in made:
                        _check_dtype(dtype)
                inside = f"{path}{name_of(node, i)}/"
                results = self._convert(node, inputs, made, inside)
                self._keep(node, results, made, inputs, place)
                self.places.add(results, place)
            except SpecError as error:
                named = str(error).startswith(self.where)
                raise error if named else SpecError(f"{at}: {error}") from None
            except (MemoryError, RecursionError):
                raise
            except Exception as error:
                raise SpecError(
                    f"{at}: cannot be converted from {self._types(inputs)}; "
                    f"change or leave out this node{confined.words(str(error))}"
                ) from error

    def _types(self, values: Sequence[Any]) -> str:
        """The dtypes and shapes of values, as in float32[2, 3]."""
        texts = [f"{_dtype(v)}{list(self.shape(v))}" for v in values if v is not None]
        return ", ".join(texts) or "no inputs"

    def origins_of(self, values: Sequence[Any]) -> frozenset[str]:
        """Inputs of the model whose elements values depend on."""
        found = {
            self.origins.get(v, frozenset())
            for v in values
            if v is not None and not _known(v)
        }
        return frozenset[str]().union(*found)

    def cause(self, values: Sequence[Any]) -> str:
        """Why values are not constant, and what to do."""
        names = sorted(self.origins_of(values))
        if not names:
            return "is computed of weights alone; compute it before the export"
        given = f"{'inputs' if names[1:] else 'input'} {', '.join(names[:3])}"
        given += f" and {len(names) - 3} more" if names[3:] else ""
        if self.settings.keys() >= set(names):
            what = "them constants" if names[1:] else "that a constant"
            words = [w for n in names for w in ("--value", f"{n}={self._numbers(n)}")]
            return f"depends on {given}; make {what}, as in {shlex.join(words)}"
        return (
            f"depends on the elements of {given}, which differ from call to call; "
            "this is not supported"
        )

    def _numbers(self, name: str) -> str:
        """Elements that an input may have, as a constant."""
        value, node = self.settings[name], self.node
        given = [self.values[n] if n else None for n in node.input]
        place = next((i for i, v in enumerate(given) if v is value), -1)
        data = () if given[0] is None else self.shape(given[0])
        return numbers(self.shape(value), _dtype(value), node, place, data)

    def _check(self, node: Any, inputs: list[Any]) -> standard.Kinds:
        """What the standard says that a node makes. Errors: where it says no."""
        if subgraphs(node):
            return []
        given = [
            None
            if v is None
            else (type_of(self.shape(v), _dtype(v)), v if _known(v) else None)
            for v in inputs
        ]
        made = standard.kinds(node, given, self.opsets, _domain(node))
        for shape, dtype in made:
            wrong = excess(shape, dtype) if shape is not None else ""
            if wrong:
                raise SpecError(f"its result {wrong}")
        return made

    def _keep(
        self,
        node: Any,
        results: Sequence[Any],
        made: standard.Kinds,
        inputs: Sequence[Any],
        place: str,
    ) -> None:
        """Put results under their names, where they are what the standard says."""
        wanted = len([o for o in node.output if o])
        if len(results) < wanted:
            raise SpecError(
                f"only {len(results)} of its {len(node.output)} outputs are supported"
            )
        origins = self.origins_of(inputs)
        for i, (name, value) in enumerate(zip(node.output, results, strict=False)):
            if not name:
                continue
            self.values[name] = self._checked(value, inputs)
            self.makers[name] = place
            if value is None or _known(value):
                continue
            self.origins.setdefault(value, origins)
            self._compare(value, *(made[i] if i < len(made) else (None, "")))

    def _compare(self, value: Any, shape: Any, dtype: str) -> None:
        """Refuse a result that is not what the standard says."""
        found = self.shape(value)
        same = shape is None or (
            len(shape) == len(found)
            and all(n in (None, m) for n, m in zip(shape, found, strict=True))
        )
        if not same or dtype not in ("", _dtype(value)):
            raise SpecError(
                f"its result would be {self._types([value])}, where the ONNX standard "
                f"says {dtype}{list(shape or ())}; change or leave out this node, and "
                "report this"
            )

    def _checked(self, value: Any, inputs: Sequence[Any]) -> Any:
        relax = self.relax
        if isinstance(value, np.ndarray) or value is None:
            return value
        kind = value.ty
        if not isinstance(kind, relax.TensorType):
            raise SpecError(f"its result is no tensor but {kind}; leave it out")
        sizes = getattr(kind.shape, "values", None)
        if sizes is None or any(not hasattr(n, "value") for n in sizes):
            raise SpecError("the shape of its result " + self.cause(inputs[1:]))
        _check_dtype(str(kind.dtype))
        wrong = excess(self.shape(value), str(kind.dtype))
        if wrong:
            raise SpecError(f"its result {wrong}")
        return value

    def _convert(
        self, node: Any, inputs: list[Any], made: standard.Kinds, path: str
    ) -> Sequence[Any]:
        name = node.op_type
        if (nothing := _without_elements(node, made)) is not None:
            return nothing
        if not _domain(node):
            if name in ("Shape", "Size") and inputs[0] is not None:
                shape = self.shape(inputs[0])
                inputs = [np.broadcast_to(np.float32(0), shape)]
            known = all(i is None or isinstance(i, np.ndarray) for i in inputs)
            if known and name not in KEPT and not subgraphs(node):
                self._take(made)
                results = self._evaluate(node, inputs)
                if results is not None:
                    return results
        call = Call(self, node, inputs)
        if name in ("If", "Loop", "Scan"):
            return _CONTROL[name](self, call, path)
        return self._by_converter(call, path)

    def _take(self, made: standard.Kinds) -> None:
        """Take the bytes of computed constants from what they may have."""
        for shape, dtype in made:
            if shape and dtype and None not in shape:
                self.room -= size_of(shape, dtype)
        if self.room < 0:
            raise SpecError(
                "its result is constant, and all such results take over "
                f"{CONSTANTS >> 20} MiB and {GROWTH} times the weights; give smaller "
                "shapes, or compute it before the export"
            )

    def _evaluate(self, node: Any, inputs: list[Any]) -> list[Any] | None:
        """Results by ONNX's reference implementation; None where it has none."""
        from onnx.reference import ReferenceEvaluator

        pairs = zip(node.input, inputs, strict=True)
        feeds = {n: v for n, v in pairs if n}
        try:
            results = ReferenceEvaluator(node, opsets=self.opsets).run(None, feeds)
        except MemoryError:
            raise
        except Exception:  # whatever: a converter may know it, or reports why not
            return None
        good = all(isinstance(r, (np.ndarray, np.generic)) for r in results)
        return [np.asarray(r) for r in results] if good else None

    def _by_converter(self, call: Call, path: str) -> Sequence[Any]:
        from toolchain.frontends.converters import converters

        operator = (_domain(call.node), call.node.op_type)
        own = converters().get(operator)
        if own is not None:
            return self._emitted(own(call))
        several = any(call.node.output[1:])
        if several and call.node.op_type in FIRST_ONLY:
            if not _is_function(*operator):
                raise SpecError(
                    "only its first output is supported; take the file that ONNX "
                    "Runtime's optimiser was given"
                )
            return self._by_definition(call, path)
        if not _converted(*operator):
            return self._by_definition(call, path)
        for index, name in SETTINGS.get(call.node.op_type, {}).items():
            call.constant(index, name)
        return self._emitted(self.by_tvm(call))

    def by_tvm(self, call: Call) -> Any:
        """What TVM's converter makes of a node."""
        from tvm.relax.frontend.onnx import onnx_frontend

        inputs = onnx_frontend.onnx_input()
        inputs.extend(call[i] for i in range(len(call.inputs)))
        convert = _tvm_converters()[call.node.op_type].get_converter(call.opset)
        return convert(self.builder, inputs, _parsed(call), [{}, {}])

    def _by_definition(self, call: Call, path: str) -> list[Any]:
        """Results by the operators that the standard defines it by."""
        kinds = [self._kind(v) for v in call.inputs]
        body, opsets = definition(call.node, _domain(call.node), call.opset, kinds)
        names = [*body.input]
        given = dict(zip(names, [*call.inputs, *[None] * len(names)], strict=False))
        outer, outer_opsets = self.values, self.opsets
        try:
            self.values, self.opsets = given | {"": None}, opsets
            self._nodes(body, path)
            used = len(call.node.output)
            return [self.values.get(o) for o in body.output[:used]]
        finally:
            self.values, self.opsets = outer, outer_opsets

    def _kind(self, value: Any) -> bytes:
        """The type of a value as a TypeProto; nothing where it is absent."""
        from onnx import TypeProto

        kind = (
            TypeProto() if value is None else type_of(self.shape(value), _dtype(value))
        )
        return bytes(kind.SerializeToString())

    def _emitted(self, result: Any) -> list[Any]:
        """Results as a list of values under names."""
        relax = self.relax
        if isinstance(result, list):
            return [r for x in result for r in self._emitted(x)]
        if isinstance(result, np.ndarray) or result is None:
            return [result]
        if isinstance(result, relax.Tuple):
            return [r for x in result.fields for r in self._emitted(x)]
        if isinstance(result, relax.ShapeExpr):
            return [np.array([int(n) for n in result.values], "int64")]
        if hasattr(result, "value") and hasattr(result.value, "numpy"):
            return [result.value.numpy()]
        if not isinstance(result, relax.Var):
            result = self.builder.emit(result)
        if isinstance(result.ty, relax.TupleType):
            count = len(result.ty.fields)
            return [
                self.builder.emit(relax.TupleGetItem(result, i)) for i in range(count)
            ]
        return [result]

    def _inside(self, graph: Any, given: Sequence[Any], path: str) -> list[Any]:
        """Results of a subgraph over given inputs."""
        outer = dict(self.values)
        try:
            self._initialize(graph)
            names = [i.name for i in graph.input]
            self.values.update(zip(names, given, strict=True))
            self._nodes(graph, path)
            return [self.values[o.name] for o in graph.output]
        finally:
            self.values = outer

    def _if(self, call: Call, path: str) -> list[Any]:
        condition = call.constant(0, "condition")
        assert condition is not None
        branch = "then_branch" if condition.item() else "else_branch"
        body = call.attributes[branch]
        constants = {n for n, v in self.values.items() if v is None or _known(v)}
        refuse(unsupported(body, constants, path), self.where)
        return self._inside(body, [], path)

    def _loop(self, call: Call, path: str) -> list[Any]:
        """Unrolled: how often it runs must not depend on data."""
        limit, running = call.constant(0, "trip count"), call.value(1)
        state, body = list(call.inputs[2:]), call.attributes["body"]
        kept, step = len(state), 0
        scans: list[list[Any]] = [[] for _ in body.output[1 + kept :]]
        running = np.array(True) if running is None else running
        steps = MAX_STEPS if limit is None else limit.item()
        starts = _known(running) and bool(running.item())
        if steps > MAX_STEPS and starts and _never_ends(body):
            raise SpecError(
                f"it runs {steps} times; at most {MAX_STEPS} are unrolled: make it "
                "shorter"
            )
        while limit is None or step < limit.item():
            if not isinstance(running, np.ndarray):
                raise SpecError(
                    "its condition must be known when the model is compiled, and "
                    + self.cause([running])
                )
            if not running.item():
                break
            if step == MAX_STEPS:
                raise SpecError(f"it runs over {MAX_STEPS} times; make it shorter")
            results = self._inside(body, [np.array(step), running, *state], path)
            running, state = results[0], results[1 : 1 + kept]
            for scan, value in zip(scans, results[1 + kept :], strict=True):
                scan.append(value)
            step += 1
        if any(not s for s in scans):
            raise SpecError("it never runs, and its scan outputs have no shape")
        return [*state, *(self._stacked(s, 0) for s in scans)]

    def _stacked(self, values: list[Any], axis: int) -> Any:
        if all(isinstance(v, np.ndarray) for v in values):
            return np.stack(values, axis)
        parts = [self.expression(v) for v in values]
        wide = [self.builder.emit(self.relax.op.expand_dims(p, axis)) for p in parts]
        return self.builder.emit(self.relax.op.concat(wide, axis))

    def _scan(self, call: Call, path: str) -> list[Any]:
        """Unrolled; as of opset 9."""
        if call.opset < 9:
            raise SpecError("is supported from opset 9; convert the model")
        body, count = call.attributes["body"], call.attributes["num_scan_inputs"]
        kept = len(call.inputs) - count
        state, scanned = call.inputs[:kept], call.inputs[kept:]
        made = len(body.output) - kept
        axes = call.get("scan_input_axes", [0] * count)
        back = call.get("scan_input_directions", [0] * count)
        out_axes = call.get("scan_output_axes", [0] * made)
        out_back = call.get("scan_output_directions", [0] * made)
        shapes = [self.shape(v) for v in scanned]
        steps = shapes[0][axes[0]]
        if not 0 < steps <= MAX_STEPS:
            raise SpecError(f"runs {steps} times; use 1..{MAX_STEPS}")
        scans: list[list[Any]] = [[] for _ in range(made)]
        for i in range(steps):
            parts = [
                self._part(v, a, steps - 1 - i if b else i)
                for v, a, b in zip(scanned, axes, back, strict=True)
            ]
            results = self._inside(body, [*state, *parts], path)
            state = results[:kept]
            for scan, value in zip(scans, results[kept:], strict=True):
                scan.append(value)
        stacked = [
            self._stacked(s[::-1] if b else s, a if a >= 0 else a + self._rank(s) + 1)
            for s, a, b in zip(scans, out_axes, out_back, strict=True)
        ]
        return [*state, *stacked]

    def _rank(self, values: list[Any]) -> int:
        return len(self.shape(values[0]))

    def _part(self, value: Any, axis: int, index: int) -> Any:
        if isinstance(value, np.ndarray):
            return np.take(value, index, axis)
        index_of = self.relax.const(np.array(index, "int64"))
        return self.builder.emit(
            self.relax.op.take(value, index_of, axis % len(self.shape(value)))
        )


_CONTROL = {"If": Importer._if, "Loop": Importer._loop, "Scan": Importer._scan}


def _without_elements(node: Any, made: standard.Kinds) -> list[Array | None] | None:
    """A node's results where none has an element; None where one has, or may have."""
    if node.op_type == "Range":  # which may be wrong: see onnx_indices.py
        return None
    results: list[Array | None] = []
    for i, name in enumerate(node.output):
        shape, dtype = made[i] if i < len(made) else (None, "")
        sizes = [n for n in shape or () if n is not None]
        known = shape is not None and len(sizes) == len(shape) and dtype
        if name and (not known or 0 not in sizes):
            return None
        results.append(np.empty(sizes, dtype) if name else None)
    return results if any(node.output) else None


def _never_ends(body: Any) -> bool:
    """Whether a loop's body hands its condition on, or has a constant one."""
    makers = {name: n for n in body.node for name in n.output}
    name = body.output[0].name
    while name in makers and makers[name].op_type == "Identity":
        name = makers[name].input[0]
    constant = name in makers and makers[name].op_type == "Constant"
    return constant or name in (body.input[1].name, *(w.name for w in body.initializer))


def _type_of(value: Any) -> Any:
    from onnx import helper
    from tvm import relax

    kind = value.type.tensor_type
    dtype = str(helper.tensor_dtype_to_np_dtype(kind.elem_type))
    return relax.TensorType([d.dim_value for d in kind.shape.dim], dtype)


def _parsed(call: Call) -> dict[str, Any]:
    """Attributes as TVM's converters take them."""
    found: dict[str, Any] = {}
    for name, value in call.attributes.items():
        if isinstance(value, list):
            value = tuple(v.encode() if isinstance(v, str) else v for v in value)
        found[name] = value.encode() if isinstance(value, str) else value
    custom = {"name": call.node.name, "num_outputs": len(call.node.output)}
    return found | {"tvm_custom": custom}


def _check_dtype(dtype: str) -> None:
    """Refuse a dtype that no model may have inside; "" is one that nobody knows."""
    from toolchain.dtypes import NAMES

    if dtype not in ("", *NAMES, *INNER):
        raise SpecError(
            f"its result has dtype {dtype}, which is not supported; export the model "
            "in float32"
        )


def _is_setting(value: Any) -> bool:
    """Whether an input is a number or a few, such as a rate, a shape or a flag."""
    sizes = [d.dim_value for d in value.type.tensor_type.shape.dim]
    return len(sizes) < 2 and prod(sizes) <= standard.RANK


def _known(value: Any) -> bool:
    """Whether the elements of a value are known."""
    return isinstance(value, np.ndarray)


def _dtype(value: Any) -> str:
    return str(value.dtype if _known(value) else value.ty.dtype)
