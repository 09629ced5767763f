"""Runs every benchmark at a tiny size: whether it still runs, not how fast.

    python benchmarks/smoke.py [NAME...] [--keep FOLDER]

`make bench-smoke` runs all. The sample clips are prepared, annotated and trained on with the `tiny` preset first; a
benchmark that needs a folder gets these. Each runs in a process of its own, and its output is shown where it fails.
What needs more than this machine and the package hold (`serving_load faults` wants a small file system) runs in part.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from jobs.quickstart import SAMPLE

HERE = Path(__file__).parent
TIMEOUT_S = 900

BENCHMARKS: dict[str, list[str]] = {
    "ablations": [
        "{corpus}",
        "tiny",
        "--seeds",
        "0",
        "--steps",
        "2",
        "--variants",
        "full",
        "--runs",
        "{out}/ablations",
        "--set",
        "evaluation.split=val",
        "evaluation.max_clips=2",
    ],
    "adapter": ["--presets", "tiny", "--clips", "2", "--passes", "1"],
    "annotate": ["--clips", "20"],
    "ask": ["{model}", "--rounds", "1"],
    "cost_model": [],
    "decode": ["{clips}/franck_0.mp4"],
    "detector_variants": ["{clips}/franck_0.mp4", "--every", "1"],
    "encoders": ["tiny", "--clips", "2", "--rounds", "1", "--random"],
    "encoding": ["{clips}/franck_0.mp4", "--quality", "90"],
    "evaluation": [
        "{corpus}",
        "--model",
        "{model}",
        "--clips",
        "2",
        "--questions",
        "2",
        "--generated",
        "2",
        "--tokens",
        "4",
    ],
    "everyday": ["{model}", "{corpus}", "--clips", "2", "--few", "1", "--out", "{out}/everyday.md"],
    "experts": [
        "{corpus}",
        "{out}/experts",
        "--config",
        "tiny",
        "--set",
        "training.stages=[{{name: attributes, task: attributes, steps: 2, batch_size: 4}}]",
        "model.adapter.attributes=[nod,smile]",
        "tune.metric=celebv_hq_attributes/scores/all/uar",
        "tune.num_experts=[2]",
        "tune.top_k=[1]",
        "evaluation.resamples=100",
    ],
    "footprint": ["tiny", "--parts", "train", "prepare", "--rounds", "1"],
    "judged_answers": ["ask", "{model}", "{clips}/franck_0.mp4", "--out", "{out}/judged"],
    "growth": ["tiny", "--repeats", "1"],
    "long_videos": ["--minutes", "0.5", "--repeats", "1"],
    "node_faults": ["{out}/nodes", "prepare"],
    "pipeline_kills": ["{out}/kills", "--kills", "1"],
    "page": ["tiny", "serve.model={model}"],
    "prefill": ["{model}", "--sizes", "128", "--words", "200"],
    "prepare": ["tiny", "--clips", "24", "--naive", "1"],
    "prepare_outcome": ["{corpus}", "{corpus}"],
    "scaling": ["--rows", "200", "--steps", "plan", "dedup", "--work", "{out}/scaling"],
    "serving": ["tiny", "serve.model={model}", "--tokens", "4", "--requests", "2"],
    "serving_load": ["overload", "tiny", "serve.model={model}", "--minutes", "0.1", "--tokens", "4"],
    "serving_precision": ["{corpus}", "{model}", "--questions", "4"],
    "stills_baselines": ["{corpus}", "{corpus}", "--frames", "2", "--resamples", "10"],
    "stills_corpus": ["{stills}", "{out}/stills"],
    "sweeps": [
        "{corpus}",
        "--config",
        "tiny",
        "--set",
        "training.stages=[{{name: attributes, task: attributes, steps: 2, batch_size: 4}}]",
        "model.adapter.attributes=[nod,smile]",
        "tune.num_experts=[2]",
        "tune.top_k=[1]",
    ],
    "training": ["tiny", "--stage", "questions", "--steps", "6", "--rounds", "1", "--samples", "2"],
    "training_profile": ["tiny", "--stage", "questions", "--samples", "2", "--steps", "1"],
    "first_token": ["{model}", "--pages", "16"],
    "why": ["{clips}", "{model}", "--limit", "1", "--words", "1"],
    "training_curves": ["{run}", "{out}/curves.png"],
}
"""Benchmark -> its arguments."""


def favchat(command: str, *arguments: str) -> None:
    """Run one command of the package."""
    subprocess.run([sys.executable, "-m", "jobs.cli", command, *arguments], check=True)


def prepared(folder: Path) -> dict[str, str]:
    """Make what benchmarks need; the values of the placeholders."""
    corpus, run = folder / "corpus", folder / "run"
    source = ["data.source.kind=celebv_hq", f"data.source.path={SAMPLE / 'clips'}"]
    source.append(f"data.source.annotations={SAMPLE / 'annotations.json'}")
    favchat("prepare", "tiny", *source, f"data.out={corpus}")
    favchat("annotate", "tiny", f"data.out={corpus}")
    favchat("train", "tiny", f"data.out={corpus}", f"training.out={run}")
    return {
        "clips": str(SAMPLE / "clips"),
        "corpus": str(corpus),
        "run": str(run),
        "model": str(run / "model"),
        "stills": str(stills(folder / "stills_in_motion")),
        "out": str(folder),
    }


def stills(folder: Path) -> Path:
    """The sample clips, laid out as a set of two splits."""
    listed = json.loads((SAMPLE / "annotations.json").read_text(encoding="utf-8"))
    for split in ("train", "val"):
        (folder / split).mkdir(parents=True)
        clips = {name: entry for name, entry in listed["clips"].items() if entry.get("split", "train") == split}
        for name in clips:
            shutil.copy(SAMPLE / "clips" / f"{name}.mp4", folder / split)
        (folder / f"annotations_{split}.json").write_text(json.dumps({**listed, "clips": clips}), encoding="utf-8")
    return folder


def run(name: str, values: dict[str, str]) -> bool:
    """Run one benchmark and say how it went."""
    words = [word.format(**values) for word in BENCHMARKS[name]]
    began = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, str(HERE / f"{name}.py"), *words], capture_output=True, text=True, timeout=TIMEOUT_S
        )
        fault = f"ended with status {done.returncode}:\n{done.stdout}\n{done.stderr}" if done.returncode else ""
    except subprocess.TimeoutExpired:
        fault = f"took more than {TIMEOUT_S} s"
    print(f"{name:17} {f'FAILED: {fault}' if fault else 'runs'} ({time.monotonic() - began:.0f} s)", flush=True)
    return not fault


def main() -> None:
    """Run them; status 1 if any fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", metavar="NAME", help="which, by default all")
    parser.add_argument("--keep", type=Path, help="a folder for what they need and write, which is gone on with")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - BENCHMARKS.keys()
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.keep or Path(temporary)).absolute()
        known = folder / "smoke.json"
        if not known.exists():
            folder.mkdir(parents=True, exist_ok=True)
            known.write_text(json.dumps(prepared(folder)), encoding="utf-8")
        values = json.loads(known.read_text(encoding="utf-8"))
        failed = [name for name in arguments.names or BENCHMARKS if not run(name, values)]
    if failed:
        raise SystemExit(f"{len(failed)} of {len(BENCHMARKS)} benchmarks failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
