"""The part of MindIR's protobuf schema that inference needs, as message classes.

Fields that are not listed here (layouts over devices, preprocessing, hash tables) are
skipped when a file is read. Numbers and names are those of MindSpore 2.10, whose
versions only ever add fields.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from toolchain import dtypes

PACKAGE = "mind_ir"
# Of ModelProto.mind_ir_version, up to MindSpore 2.10.
NEWEST = 3

# message -> field -> number and type; [] marks repeated ones. A type that is no
# scalar of protobuf is a message of this table.
MESSAGES = {
    "ModelProto": """
        ir_version=1 string, producer_name=2 string, producer_version=3 string,
        model_version=5 string, graph=7 GraphProto, functions=8 GraphProto[],
        little_endian=10 bool, primitives=12 PrimitiveProto[],
        mind_ir_version=13 int64""",
    "GraphProto": """
        node=1 NodeProto[], name=2 string, parameter=3 TensorProto[],
        input=5 ValueInfoProto[], output=6 ValueInfoProto[]""",
    "NodeProto": """
        input=1 string[], output=2 string[], name=3 string, op_type=4 string,
        attribute=5 AttributeProto[], domain=7 string""",
    "PrimitiveProto": """
        name=1 string, op_type=2 string, attribute=3 AttributeProto[],
        instance_name=4 string""",
    "ValueInfoProto": """
        name=1 string, tensor=2 TensorProto[], denotation=4 string,
        attr_info=5 AttributeProto""",
    "AttributeProto": """
        name=1 string, f=2 float, i=3 int64, d=4 double, s=5 bytes, t=6 TensorProto,
        floats=8 float[], doubles=9 double[], ints=10 int64[], strings=11 bytes[],
        tensors=12 TensorProto[], ref_attr_name=15 string, type=16 int32,
        values=17 AttributeProto[]""",
    "TensorProto": """
        dims=1 int64[], data_type=2 int32, float_data=3 float[], int32_data=4 int32[],
        int64_data=6 int64[], name=7 string, raw_data=9 bytes, double_data=10 double[],
        uint64_data=11 uint64[], external_data=12 ExternalDataProto,
        compression_type=16 int32""",
    "ExternalDataProto": "location=1 string, offset=2 int64, length=3 int64",
}

# TensorProto.data_type as numpy's types: ONNX's numbers, and those that tensors of
# modules cannot have.
DTYPES = {
    **{dtype.onnx: dtype.name for dtype in dtypes.DTYPES.values()},
    4: "uint16",
    5: "int16",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    17: "float64",
}

# AttributeProto.type: which field holds the value.
FLOAT, STRING, BOOL, DOUBLE, TENSOR, TENSORS, NONE = 1, 8, 9, 11, 17, 19, 25
INTEGERS = (2, 3, 4, 5, 6, 7, 12, 13)
SEQUENCES = (20, 21)
MONADS = (23, 24)
TYPE_NULL = 36
EMPTY = (NONE, *MONADS, TYPE_NULL)  # of what has no value


@cache
def model_class() -> Any:
    """The class of a whole file: ModelProto."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="ops_wasm32/mind_ir.proto", package=PACKAGE, syntax="proto2"
    )
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for text in fields.split(","):
            key, kind = text.split()
            label, number = key.split("=")
            entry = message.field.add(name=label, number=int(number))
            many = kind.endswith("[]")
            entry.label = field.LABEL_REPEATED if many else field.LABEL_OPTIONAL
            kind = kind.removesuffix("[]")
            if kind in MESSAGES:
                entry.type, entry.type_name = field.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
            else:
                entry.type = field.Type.Value(f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName(f"{PACKAGE}.ModelProto")
    return message_factory.GetMessageClass(found)
