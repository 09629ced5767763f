"""Filters clips by quality."""

from __future__ import annotations

from dataclasses import asdict

from favchat.config import Bounds, FilterConfig
from favchat.video import Quality


def first_violation(quality: Quality, filters: FilterConfig) -> str | None:
    """Describe the first measure, in the order of ``Quality``, that is out of its bounds; None: all are within.

    Bounds are inclusive.
    """
    for name, value in asdict(quality).items():
        bounds: Bounds = getattr(filters, name)
        # Fractions and scores get more digits than pixels: a value just out of bounds must not be printed as the bound.
        if bounds.min is not None and value < bounds.min:
            return f"{name} {value:.6g} is below data.filters.{name}.min = {bounds.min:g}"
        if bounds.max is not None and value > bounds.max:
            return f"{name} {value:.6g} is above data.filters.{name}.max = {bounds.max:g}"
    return None
