"""Write a trained model as a directory for others."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from favchat.io.files import expanded


class Exported(NamedTuple):
    """A directory and what it holds."""

    place: Path
    files: int
    size: int
    """Bytes of all files."""

    def summary(self) -> str:
        """One line for a person."""
        return f"exported {self.files} files, {self.size / 1e6:.1f} MB -> {self.place}"


def run(
    model: str,
    out: str,
    *,
    to: Literal["model", "hub-folder"] = "model",
    merge: bool = False,
    precision: Literal["fp32", "fp16", "bf16"] | None = None,
) -> Exported:
    """Export a model; see :func:`favchat.training.export.export`.

    Raises:
        ConfigError: There is no model, or something lies in `out`.
        OSError: `out` cannot be written.
    """
    from favchat.training.export import export

    place = export(expanded(model), expanded(out), to=to, merge=merge, precision=precision)
    sizes = [file.stat().st_size for file in place.rglob("*") if file.is_file()]
    return Exported(place, len(sizes), sum(sizes))
