"""out[n, f, k] = sum_j signal[n, f * step + j] * window[j] * exp(-2 pi i j k / length)

Shapes: signal [N, length, 1] (real) or [N, length, 2] (complex), window [frame_length]
or absent; out [N, frames, frame_length, 2], with onesided=1 frame_length // 2 + 1.
Attributes: frame_step; frame_length (0: that of the window).
Dtypes: computed in float64.
Edges: a NaN or an infinity makes all of its transform NaN.
Source: ONNX STFT-17, whose frame_step and frame_length are tensors.
"""

import numpy as np

from toolchain.spec import Attribute, Bound, Case, Input, Operator
from toolchain.spec.cases import values


def frames(signal, window, frame_step, frame_length):
    length = frame_length or len(window)
    x = signal[..., 0] + (1j * signal[..., 1] if signal.shape[-1] == 2 else 0j)
    count = 1 + (x.shape[1] - length) // frame_step
    parts = [x[:, f * frame_step : f * frame_step + length] for f in range(count)]
    return np.stack(parts, 1) * (1 if window is None else window)


def reference(signal, window, frame_step, frame_length, onesided):
    parts = frames(signal, window, frame_step, frame_length)
    finite = np.isfinite(parts).all(-1, keepdims=True)
    found = np.where(finite, np.fft.fft(parts, axis=-1), complex(np.nan, np.nan))
    found = found[..., : parts.shape[-1] // 2 + 1] if onesided else found
    return np.stack([found.real, found.imag], -1)


def scale(signal, window, frame_step, frame_length, onesided):
    shape = reference(signal, window, frame_step, frame_length, onesided).shape
    total = np.sum(np.abs(frames(signal, window, frame_step, frame_length)), -1)
    return np.broadcast_to(total[..., None, None], shape)


def cases(dtypes, rng):
    for length, frame, step in ((16, 16, 1), (128, 16, 8), (50, 17, 5), (3, 1, 1)):
        for parts in (1, 2):
            signal = values(rng, (2, length, parts), "float32")
            window = values(rng, (frame,), "float32", 0, 1)
            for onesided in (0, 1)[: 3 - parts]:
                given = {"frame_step": step, "onesided": onesided}
                name = f"{length}-{frame}-{step}-{parts}-{onesided}"
                yield Case(name, (signal, window), given)
                more = {**given, "frame_length": frame}
                yield Case(f"{name}-plain", (signal, None), more)
    given = {"frame_step": 2, "frame_length": 4}
    yield Case("none", (np.zeros((0, 8, 1), "f4"), None), given)


def shapes(call):
    signal, window = call.shape(0) or (None,) * 3, None
    if not call.absent(1):
        window = call.shape(1) or (None,)
    length, step = call.number("frame_length"), call.number("frame_step")
    if length == 0 and window is not None:
        length = window[0]
    if None in (length, step) or call.integer("onesided") is None:
        return [(signal[0], None, None, 2)]
    frames = None if signal[1] is None else (signal[1] - length) // step + 1
    bins = length // 2 + 1 if call.integer("onesided") else length
    return [(signal[0], frames, bins, 2)]


KERNEL = Operator(
    collapse="own.plain",
    shapes=shapes,
    inputs=(Input("signal", ""), Input("window", "", optional=True)),
    attributes=(
        Attribute("frame_step", minimum=1),
        Attribute("frame_length", default=0, minimum=0),
        Attribute("onesided", default=1, minimum=0, maximum=1),
    ),
    dtypes=("float32",),
    source="stft.c",
    reference=reference,
    reference_scale=scale,
    cases=cases,
    narrow="sums of the largest numbers leave float32",
    bound=Bound(ulp=1, why="one rounding of float64, of the sum of magnitudes"),
)
