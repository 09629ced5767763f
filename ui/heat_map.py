"""Expert usage as heat maps: tables whose cells are coloured, so that they can be read aloud as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

SCALE = ((0xF3, 0xF6, 0xF9), (0xBF, 0xD7, 0xE6), (0x6F, 0xA8, 0xC9), (0x2B, 0x6E, 0x9E), (0x0B, 0x2F, 0x55))
"""From share 0 to 1, evenly spaced. One hue from light to dark: readable with any colour vision and in grey."""
DARK, LIGHT = (0x00, 0x00, 0x00), (0xFF, 0xFF, 0xFF)
"""Text on light and on dark cells. Only pure black and white reach 4.5 on every colour between."""
STREAMS = {"face": "Face tokens", "general": "Scene tokens"}
"""The API's name of a stream and the page's."""

Colour = tuple[int, int, int]


def expert_usage(video: dict[str, Any]) -> str:
    """A heat map of experts by frames for each layer and stream, with a legend.

    Args:
        video: What ``GET /v1/videos/{id}`` answers.

    Returns:
        HTML that needs nothing from elsewhere; its looks are in ``page.css``.
    """
    experts = video["experts"]
    layers, times = experts["layers"], experts["timestamps"]
    top_k = round(sum(layers[0]["general"][0])) if layers and times else 0
    maps = "".join(
        heat_map(f"{title}{f' · layer {number}' if len(layers) > 1 else ''}", layer[stream], times)
        for number, layer in enumerate(layers, 1)
        for stream, title in STREAMS.items()
    )
    ramp = ", ".join(_css(colour) for colour in SCALE)
    return (
        '<section class="fc-card"><header><h2>Expert usage</h2>'
        f"<p>each token goes to {top_k} of {experts['num_experts']} experts</p></header>"
        f'<div class="fc-maps">{maps}</div>'
        '<p class="fc-legend-ramp"><span>0 %</span>'
        f'<span class="fc-ramp" style="background:linear-gradient(90deg, {ramp})"></span><span>100 %</span>'
        "<span>of a frame's tokens went to this expert</span></p></section>"
    )


def heat_map(title: str, shares: Sequence[Sequence[float]], times: Sequence[float]) -> str:
    """One heat map, an expert a row and a frame a column.

    Args:
        title: What it shows.
        shares: For each frame, the share (0 to 1) of its tokens that each expert got.
        times: Seconds of the frames, as many as ``shares``.
    """
    head = "".join(f'<th scope="col">{seconds:.1f}<span> s</span></th>' for seconds in times)
    rows = "".join(
        f'<tr><th scope="row"><span>Expert </span>{number}</th>'
        + "".join(_cell(share, number, seconds) for share, seconds in zip(row, times, strict=True))
        + "</tr>"
        for number, row in enumerate(zip(*shares, strict=True), 1)
    )
    return f"<table><caption>{title}</caption><thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table>"


def colour_of(share: float) -> Colour:
    """The colour of a share between 0 and 1 on ``SCALE``, red, green and blue of 0 to 255."""
    place = min(max(share, 0.0), 1.0) * (len(SCALE) - 1)
    index = min(int(place), len(SCALE) - 2)
    low, high, rest = SCALE[index], SCALE[index + 1], place - index
    red, green, blue = (round(a + (b - a) * rest) for a, b in zip(low, high, strict=True))
    return red, green, blue


def text_colour(background: Colour) -> Colour:
    """Dark or light, whichever stands out more."""
    return max(DARK, LIGHT, key=lambda colour: contrast(colour, background))


def contrast(first: Colour, second: Colour) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.2, "contrast ratio"); text needs 4.5."""
    low, high = sorted((_luminance(first), _luminance(second)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: Colour) -> float:
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in _unit(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _unit(colour: Colour) -> list[float]:
    return [value / 255 for value in colour]


def _cell(share: float, number: int, seconds: float) -> str:
    background = colour_of(share)
    style = f"background:{_css(background)};color:{_css(text_colour(background))}"
    title = f"expert {number}, {seconds:.2f} s: {share:.0%} of the tokens"
    return f'<td style="{style}" title="{title}">{share * 100:.0f}</td>'


def _css(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
