"""Quantize LeNet by ONNX Runtime: writes lenet_int8.onnx from lenet.onnx.

Run once, by hand: `pip install scikit-learn && python -m models._quantize_lenet`.
Static quantization in ONNX's QDQ form, calibrated on images of the training: int8 for
weights, with a scale for each output channel, and for what lies between the layers.
"""

from typing import Any

import numpy as np
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

from models._train_lenet import FOLDER, digits

IMAGES = 200  # to calibrate on


class Images(CalibrationDataReader):  # type: ignore[misc]  # untyped
    """The first images that LeNet was trained on."""

    def __init__(self) -> None:
        images, _ = digits()
        order = np.random.default_rng(0).permutation(len(images))  # as in the training
        self.left = iter(images[order[:IMAGES]])

    def get_next(self) -> dict[str, Any] | None:
        """One image."""
        image = next(self.left, None)
        return None if image is None else {"image": image[None]}


def main() -> None:
    """Quantize."""
    quantize_static(
        FOLDER / "lenet.onnx",
        FOLDER / "lenet_int8.onnx",
        Images(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
    )


if __name__ == "__main__":
    main()
