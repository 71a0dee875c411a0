"""Leaves the batch of an ONNX file open: open_batch.py net.onnx open.onnx.

The first axis of every input and output becomes a size that each call decides.
"""

import sys

import onnx


def main() -> None:
    """Read the file, give its first axes a name, write the other file."""
    source, out = sys.argv[1:]
    proto = onnx.load(source)
    for tensor in (*proto.graph.input, *proto.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.save(proto, out)


if __name__ == "__main__":
    main()
