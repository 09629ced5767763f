"""Which clips are too poor to keep."""

from __future__ import annotations

from dataclasses import asdict

from favchat.config import Bounds, FilterConfig
from favchat.video import Quality


def first_violation(quality: Quality, filters: FilterConfig) -> str | None:
    """The first measure, in the order of ``Quality``, that lies outside its bounds, in a sentence; None: all is well.

    A value on a bound is inside.
    """
    for name, value in asdict(quality).items():
        bounds: Bounds = getattr(filters, name)
        # Shares and scores want more digits than pixels; a value just outside must not read like the bound.
        if bounds.min is not None and value < bounds.min:
            return f"{name} {value:.6g} is below data.filters.{name}.min = {bounds.min:g}"
        if bounds.max is not None and value > bounds.max:
            return f"{name} {value:.6g} is above data.filters.{name}.max = {bounds.max:g}"
    return None
