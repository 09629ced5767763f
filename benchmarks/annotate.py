"""How many rows a second the template writer makes on one core.

    python benchmarks/annotate.py [--clips N] [--out RESULT.md]

Prints a Markdown table. Clips have random labels: all 83 attributes known, as in CelebV-HQ; a third known; and the
few of a corpus with emotion labels. Times are CPU seconds of this process (`time.process_time`), the best of three
runs, so that other work on the machine counts little. "rows" is labels in, rows as Python tuples out; "table" adds the
Arrow table that is written to disk.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from favchat.data.annotate.rows import Annotation, table_of
from favchat.data.annotate.template_writer import TemplateWriter, balanced
from favchat.data.corpus.clip import Clip, EmotionSegment
from favchat.labels.attributes import ACTION, APPEARANCE, EMOTION

PREVALENCE = 0.15
"""How often a known label is 1."""


def clips(count: int, known: float, random: Random) -> list[Clip]:
    """Clips with random labels, of which a share is known; every fifth one changes its emotion."""
    return [
        Clip(
            id=str(number),
            video="/v.mp4",
            split="train",
            appearance=[_label(known, random) for _ in APPEARANCE],
            action=[_label(known, random) for _ in ACTION],
            emotion=random.choice(EMOTION).name if number % 5 else None,
            emotion_segments=[] if number % 5 else [EmotionSegment("neutral", 0, 1.2), EmotionSegment("happy", 1.2, 3)],
        )
        for number in range(count)
    ]


def _label(known: float, random: Random) -> int | None:
    return int(random.random() < PREVALENCE) if random.random() < known else None


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of the fastest of three runs."""
    times = []
    for _ in range(3):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return min(times)


def measure(name: str, corpus: list[Clip]) -> str:
    """One line of the table."""
    writer = TemplateWriter()

    def rows() -> list[Annotation]:
        return [row for clip in corpus for row in writer.rows(clip)]

    made = rows()
    alone = seconds(rows)
    whole = seconds(lambda: table_of(balanced(rows(), 0)))
    return (
        f"| {name} | {len(corpus):,} | {len(made):,} | {len(made) / alone:,.0f} | {len(made) / whole:,.0f} "
        f"| {1e6 * alone / len(made):.1f} |"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clips", type=int, default=4000, help="clips a line")
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()

    lines = [
        "# The template writer on one core",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}. One process, CPU time, the best of three runs.",
        "",
        "| labels | clips | rows | rows/s | rows/s with balance and table | microseconds a row |",
        "|---|---|---|---|---|---|",
    ]
    print("\n".join(lines))
    for name, known in (("all 83 known", 1.0), ("a third known", 1 / 3), ("a few known", 0.05)):
        lines.append(measure(name, clips(arguments.clips, known, Random(0))))
        print(lines[-1], flush=True)
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
