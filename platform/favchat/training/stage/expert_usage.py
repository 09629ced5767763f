"""Expert usage of the adapter's routers, by stream: counts, entropy, heat map."""

from __future__ import annotations

import io
import math
from typing import Any

import torch
from torch import Tensor

STREAMS = ("general", "face")


def count_choices(router_logits: tuple[Tensor, ...], adapter: Any) -> Tensor:
    """Count how often each expert was among a token's top k.

    Args:
        router_logits: For each expert layer `(N, E)`, of each frame the general tokens first, then the face tokens.
        adapter: The adapter's configuration.

    Returns:
        `(layers, 2, E)` int64: general stream, face stream.
    """
    general, face = adapter.vision_grid**2, adapter.face_grid**2
    counts = []
    for logits_NE in router_logits:
        chosen_NK = logits_NE.detach().topk(adapter.num_experts_per_tok, dim=-1).indices
        frames = chosen_NK.unflatten(0, (-1, general + face))  # (V T, G + F, K)
        streams = (frames[:, :general], frames[:, general:])
        counts.append(
            torch.stack([torch.bincount(s.flatten(), minlength=adapter.num_experts) for s in streams])  # (2, E)
        )
    return torch.stack(counts)


def usage_entropy(counts: Tensor) -> float:
    """Normalised entropy of expert usage over both streams, averaged over the layers.

    Args:
        counts: `(layers, 2, E)`, see :func:`count_choices`.

    Returns:
        1 for uniform usage, 0 if only one expert is used or exists.
    """
    totals = counts.sum(dim=1).double()  # (layers, E)
    shares = totals / totals.sum(dim=-1, keepdim=True).clamp(min=1)
    entropy = -torch.special.xlogy(shares, shares).sum(dim=-1).mean().item()
    return entropy / math.log(counts.shape[-1]) if counts.shape[-1] > 1 else 0.0


def usage_picture(counts: Tensor, title: str) -> bytes:
    """Draw a heat map of each expert's share of the choices, with one row per layer and stream.

    Args:
        counts: `(layers, 2, E)`, see :func:`count_choices`.
        title: Title of the plot.

    Returns:
        A PNG.
    """
    # Imported here: only rank 0 draws, and rarely.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    layers, _, experts = counts.shape
    rows = counts.flatten(0, 1).double().cpu()  # (layers 2, E)
    shares = (rows / rows.sum(dim=-1, keepdim=True).clamp(min=1)).numpy()
    figure = Figure(figsize=(2.2 + 0.6 * max(experts, 4), 1.3 + 0.45 * len(shares)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="viridis", vmin=0, vmax=max(shares.max(), 1e-9), aspect="auto")
    axes.set_xticks(range(experts), [str(expert + 1) for expert in range(experts)])
    labels = [f"layer {layer + 1}, {stream}" if layers > 1 else stream for layer in range(layers) for stream in STREAMS]
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("expert")
    axes.set_title(title, fontsize=10)
    if experts <= 16:
        for (row, column), share in ((place, shares[place]) for place in _places(shares)):
            colour = "white" if share < 0.6 * shares.max() else "black"
            axes.text(column, row, f"{share:.2f}", ha="center", va="center", color=colour, fontsize=8)
    figure.colorbar(image, ax=axes, label="share of the choices")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _places(shares: Any) -> list[tuple[int, int]]:
    return [(row, column) for row in range(shares.shape[0]) for column in range(shares.shape[1])]
