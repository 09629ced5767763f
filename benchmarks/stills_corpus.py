"""One CelebV-HQ-shaped folder out of `stills_in_motion`, whose train and val are two.

    python benchmarks/stills_corpus.py STILLS OUT

STILLS holds `train/`, `val/`, `annotations_train.json` and `annotations_val.json`. OUT gets `annotations.json`, where
every clip names its split, and `videos/` with links to all clips, for `favchat prepare` with

    data.source.kind=celebv_hq data.source.path=OUT/videos data.source.annotations=OUT/annotations.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

SPLITS = ("train", "val")


def main() -> None:
    """Merge the annotations and link the clips."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("stills", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    stills, videos = arguments.stills.resolve(), arguments.out / "videos"
    videos.mkdir(parents=True, exist_ok=True)
    merged: dict[str, dict] = {"meta_info": {}, "clips": {}}
    for split in SPLITS:
        annotations = json.loads((stills / f"annotations_{split}.json").read_text())
        merged["meta_info"] = annotations["meta_info"]  # the same in both
        for clip, entry in annotations["clips"].items():
            if clip in merged["clips"]:
                raise SystemExit(f"clip {clip} is in both splits")
            merged["clips"][clip] = {**entry, "split": split}
            link = videos / f"{clip}.mp4"
            if not link.is_symlink():
                link.symlink_to(stills / split / link.name)
    (arguments.out / "annotations.json").write_text(json.dumps(merged))
    print(f"{len(merged['clips'])} clips -> {arguments.out}")


if __name__ == "__main__":
    main()
