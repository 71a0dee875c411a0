"""Nodes: ONNX nodes as operators of the library, a rule for each ONNX operator."""
