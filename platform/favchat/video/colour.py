"""Converts decoded frames to RGB of ITU-R BT.709, with tone mapping of HDR.

FFmpeg's scaler converts colour range and matrix, but neither transfer functions nor primaries: HDR video becomes grey.
The rest is done here, with the formulas of ITU-R BT.2100 and the steps of FFmpeg's usual filters: `zscale` to linear
light with `npl=100`, `zscale` to the primaries of BT.709, `tonemap`, `zscale` to the transfer function of BT.709.
PyAV's FFmpeg has no `zscale`, and the tone mapping of its scaler darkens faces by a quarter (docs/choices.md).
"""

from __future__ import annotations

import threading
from functools import cache

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

PQ, HLG = 16, 18
"""Transfer functions of HDR, by their numbers in ITU-T H.273, which are FFmpeg's."""
BT2020 = 9
"""Number of the primaries of ITU-R BT.2020 and BT.2100."""

WHITE = 100.0
"""Luminance in cd/m2 that becomes the white of BT.709, zscale's default."""
HLG_PEAK = 1000.0
"""Luminance in cd/m2 of the display that HLG is shown on."""
HLG_GAMMA = 1.2
"""The system gamma there. BT.2100 applies it to the luminance; here, as in zscale, to each colour by itself."""
SDR_GAMMA = 2.4
"""ITU-R BT.1886: how a screen of BT.709 turns signals to light."""

KNEE = 0.7
"""Share of the white up to which light is kept as it is. Faces lie below, highlights above are squeezed."""
PEAK = 10.0
"""Light, in whites, that becomes white: 1000 cd/m2, the peak of most HDR video."""

TO_709 = np.asarray(
    [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]],
    dtype=np.float32,
)
"""Linear RGB of BT.2020 to that of BT.709 (ITU-R BT.2087)."""

_SCALERS = threading.local()
"""FFmpeg's scaler of each thread."""


def is_wide(frame: VideoFrame) -> bool:
    """Whether a frame has other transfer functions or primaries than BT.709, which the scaler does not convert."""
    return int(frame.color_trc) in (PQ, HLG) or int(frame.color_primaries) == BT2020


def to_rgb(frame: VideoFrame, width: int, height: int, *, interpolation: str = "BICUBIC") -> NDArray[np.uint8]:
    """Convert a frame to (height, width, 3) uint8 RGB, tone-mapping HDR; the orientation is not applied."""
    wide = is_wide(frame)
    # A frame's own scaler would be made anew for each frame, which takes up to ten times as long as scaling it.
    scaler = _SCALERS.__dict__.setdefault("scaler", VideoReformatter())
    scaled = scaler.reformat(
        frame, width, height, format="rgb48le" if wide else "rgb24", interpolation=interpolation, threads=1
    )
    image = scaled.to_ndarray()
    if not wide:
        return np.asarray(image, dtype=np.uint8)
    light = _light_of_signal(int(frame.color_trc))[image]
    if int(frame.color_primaries) == BT2020:
        light = light @ TO_709.T
    shown = np.clip(tone_map(light), 0.0, 1.0) ** np.float32(1 / SDR_GAMMA)
    return np.rint(shown * 255).astype(np.uint8)


def tone_map(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compress highlights: FFmpeg's `tonemap=mobius:param=0.7:peak=10:desat=0`.

    Values up to `KNEE` are unchanged, higher ones up to `PEAK` are mapped by a hyperbola to at most 1, with continuous
    derivative. All channels of a pixel are scaled by the factor of the largest one, which preserves hues.

    Args:
        light: (..., 3) linear RGB, 1 is white.

    Returns:
        The same shape; 0..1 for inputs in 0..`PEAK`.
    """
    strongest = np.maximum(light.max(axis=-1, keepdims=True), np.float32(1e-6))
    a = -KNEE * KNEE * (PEAK - 1) / (KNEE * KNEE - 2 * KNEE + PEAK)
    b = (KNEE * KNEE - 2 * KNEE * PEAK + PEAK) / (PEAK - 1)
    factor = (b * b + 2 * b * KNEE + KNEE * KNEE) / (b - a)
    squeezed = np.float32(factor) * (strongest + np.float32(a)) / (strongest + np.float32(b))
    return light * np.where(strongest > KNEE, squeezed / strongest, np.float32(1.0))


@cache
def _light_of_signal(transfer: int) -> NDArray[np.float32]:
    """(65536,) float32 lookup table: display light for each signal value of one channel, 1 is `WHITE`."""
    signal = np.linspace(0.0, 1.0, 65536)
    if transfer == PQ:
        power = signal ** (1 / (2523 / 4096 * 128))
        light = np.maximum(power - 3424 / 4096, 0.0) / (2413 / 4096 * 32 - 2392 / 4096 * 32 * power)
        light = 10000.0 / WHITE * light ** (1 / (2610 / 16384))
    elif transfer == HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
        light = HLG_PEAK / WHITE * scene**HLG_GAMMA
    else:
        light = signal**SDR_GAMMA
    return light.astype(np.float32)
