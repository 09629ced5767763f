"""What 60,000 and 10 million clips take: hours of cores and GPUs, storage, network, by cluster, from measured figures.

    python benchmarks/cost_model.py [--clips 60000 10000000] [NAME=VALUE ...] [--out FILE]

Prints its inputs with where each comes from, then what follows from them. Any input can be replaced by its name, such
as `prepare_core_s=0.9`; what was never measured here is marked as assumed, and prices are whatever one puts in.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

SCALING = "results/2026-11-28-2core-cpu-scaling.md"
PREPARE = "results/2026-11-24-2core-cpu-prepare.md"
TRAINING = "results/2026-11-27-2core-cpu-training.md"


@dataclass(frozen=True)
class Input:
    """A figure that the model rests on."""

    value: float
    unit: str
    source: str
    """The result that holds it, or that it is assumed."""


INPUTS = {
    "video_mb": Input(1.0, "MB a clip", "assumed; the 24 sample clips, small ones, have 0.08"),
    "shard_mb": Input(0.54, "MB a clip", "docs/choices.md, JPEG at 95, 28 frames"),
    "ledger_bytes": Input(115, "bytes a clip", SCALING),
    "annotation_bytes": Input(390, "bytes a clip", "the template writer on 600 clips with three of five labels"),
    "feature_mb": Input(0.29, "MB a clip", TRAINING),
    "plan_core_s": Input(0.00007, "core s a clip", SCALING),
    "prepare_core_s": Input(0.51, "core s a clip", PREPARE + ": 3.92 clips/s on 2 cores, 16 frames"),
    "dedup_core_s": Input(0.00004, "core s a clip at a million", "docs/choices.md: 38 s of banding"),
    "annotate_core_s": Input(0.006, "core s a clip", "docs/annotation.md: 40 + 380 us a row, to write and to select"),
    "feature_core_s": Input(0.0885, "core s a clip", TRAINING),
    "samples_a_clip": Input(7, "trained on a clip", "docs/annotation.md: half of about 14 rows"),
    "train_core_s": Input(0.23, "core s a sample, nano", TRAINING + ": 920 ms a step of 8 on 2 threads"),
    "tokens_a_sample": Input(400, "tokens, packed, 8B", "assumed: a clip's 8 frames and a question's share of them"),
    "model_billions": Input(8.2, "billion parameters", "assumed: Qwen3-8B"),
    "flops_a_token": Input(4, "FLOP a parameter", "assumed: forward and backward through frozen weights with LoRA"),
    "gpu_tflops": Input(989, "TFLOP/s bf16", "assumed: an H100's data sheet"),
    "gpu_share": Input(0.3, "of that", "assumed"),
    "epochs": Input(1, "epochs", "assumed"),
    "core_price": Input(0.04, "per core hour", "assumed"),
    "gpu_price": Input(2.5, "per GPU hour", "assumed"),
    "storage_price": Input(0.023, "per GB month", "assumed"),
}


@dataclass(frozen=True)
class Cluster:
    """Machines that fit a size."""

    name: str
    cores: int
    gbit: float
    """Network to the storage, all machines together."""
    gpus: int


CLUSTERS = (Cluster("1 machine", 16, 10, 1), Cluster("4 machines", 256, 100, 8), Cluster("16 machines", 1024, 400, 64))


@dataclass(frozen=True)
class Step:
    """What a step takes for some clips."""

    name: str
    core_hours: float
    gpu_hours: float
    read_gb: float
    written_gb: float
    alone: bool = False
    """Whether it runs on few cores, whatever the cluster has."""

    def hours(self, cluster: Cluster) -> tuple[float, str]:
        """How long it takes on a cluster, and what limits it."""
        cores = min(cluster.cores, 16) if self.alone else cluster.cores
        limits = {
            "cores": self.core_hours / cores,
            "network": 8 * (self.read_gb + self.written_gb) / cluster.gbit / 3600,
            "GPUs": self.gpu_hours / cluster.gpus,
        }
        name = max(limits, key=lambda limit: limits[limit])
        return limits[name], name


def steps(clips: int, at: dict[str, float]) -> list[Step]:
    """The steps of the road for so many clips."""
    million = clips / 1e6
    # Banding compares about as many bands as log2(clips) asks for, see favchat.data.prepare.near_hashes.
    from favchat.data.prepare.near_hashes import band_bits, band_count

    bands = band_count(clips) * band_bits(clips) / (band_count(1_000_000) * band_bits(1_000_000))
    videos, shards, features = (clips * at[name] / 1e3 for name in ("video_mb", "shard_mb", "feature_mb"))
    ledger, texts = clips * at["ledger_bytes"] / 1e9, clips * at["annotation_bytes"] / 1e9
    samples = clips * at["samples_a_clip"] * at["epochs"]
    flops = samples * at["tokens_a_sample"] * at["model_billions"] * 1e9 * at["flops_a_token"]
    gpu = flops / (at["gpu_tflops"] * 1e12 * at["gpu_share"]) / 3600
    core = {name: clips * at[f"{name}_core_s"] / 3600 for name in ("plan", "prepare", "dedup", "annotate", "feature")}
    return [
        Step("plan", core["plan"], 0, 2 * ledger, ledger),
        Step("prepare", core["prepare"], 0, videos, shards + ledger),
        Step("near-duplicates", core["dedup"] * bands, 0, ledger * (1 + million / 1e3), ledger, alone=True),
        Step("annotate (templates)", core["annotate"], 0, ledger, texts),
        Step("features, once", core["feature"], 0, shards, features),
        Step("train nano", samples * at["train_core_s"] / 3600, 0, features * at["epochs"] + texts, 0),
        Step("train 8b", 0, gpu, features * at["epochs"] + texts, 0),
    ]


def tables(sizes: list[int], at: dict[str, float]) -> list[str]:
    """The inputs and what follows, as Markdown."""
    lines = ["| input | value | unit | from |", "|---|---|---|---|"]
    for name, known in INPUTS.items():
        source = known.source if at[name] == known.value else "given on the command line"
        lines.append(f"| `{name}` | {at[name]:g} | {known.unit} | {source} |")
    for clips in sizes:
        road = steps(clips, at)
        lines += ["", f"**{clips:,} clips**", ""]
        heads = "".join(f" {one.name}: {one.cores} cores, {one.gbit:g} Gbit/s, {one.gpus} GPU |" for one in CLUSTERS)
        lines += [
            f"| step | core hours | GPU hours | read GB | written GB |{heads}",
            f"|---|---|---|---|---|{'---|' * 3}",
        ]
        for step in road:
            sizes_of = [f"{value:,.3g}" for value in (step.core_hours, step.gpu_hours, step.read_gb, step.written_gb)]
            spans = [f"{span(hours)}, {limit}" for hours, limit in map(step.hours, CLUSTERS)]
            lines.append(f"| {' | '.join([step.name, *sizes_of, *spans])} |")
        kept = (
            clips * (at["shard_mb"] + at["feature_mb"]) / 1e3
            + clips * (at["ledger_bytes"] + at["annotation_bytes"]) / 1e9
        )
        cpu = sum(step.core_hours for step in road if step.name != "train nano")
        gpu = sum(step.gpu_hours for step in road)
        lines += [
            "",
            f"Kept: {kept:,.0f} GB ({kept * at['storage_price']:,.0f} a month at the prices above). The road to 8b: "
            f"{cpu:,.0f} core hours ({cpu * at['core_price']:,.0f}) and {gpu:,.0f} GPU hours "
            f"({gpu * at['gpu_price']:,.0f}).",
        ]
    return lines


def span(hours: float) -> str:
    """Hours in words."""
    if hours < 1 / 60:
        return "below 1 min"
    if hours < 1:
        return f"{60 * hours:.2g} min"
    return f"{hours:.2g} h" if hours < 100 else f"{hours / 24:,.0f} days"


def main() -> None:
    """Print the inputs and what follows from them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("inputs", nargs="*", help="NAME=VALUE of inputs to replace")
    parser.add_argument("--clips", nargs="+", type=int, default=[60_000, 10_000_000])
    parser.add_argument("--out", type=Path, help="also write the tables to this file")
    arguments = parser.parse_args()
    at = {name: known.value for name, known in INPUTS.items()}
    for word in arguments.inputs:
        name, _, value = word.partition("=")
        if name not in at:
            raise SystemExit(f"{name} is none of the inputs {', '.join(at)}")
        try:
            at[name] = float(value)
        except ValueError:
            raise SystemExit(f"{word}: {value!r} is no number") from None
    lines = tables(arguments.clips, at)
    print("\n".join(lines))
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
