"""HMDB51 as a source (Kuehne et al., ICCV 2011): 6,766 clips of 51 actions, mostly from films."""

from __future__ import annotations

from favchat.config import ConfigError, SourceConfig
from favchat.data.corpus.clip import Clip
from favchat.data.listing.entries import Entries, Entry, Listing
from favchat.data.listing.video_files import clip_ids, dataset_folder, is_video
from favchat.labels.attributes import ACTION

ACTIONS = frozenset({"chew", "drink", "eat", "kiss", "laugh", "smile", "smoke", "talk"})
"""The classes that are actions of ours too. ``turn`` is not: the body turns round, not the head."""


def hmdb51_clips(source: SourceConfig) -> Listing:
    """One clip per video in a class folder, ordered by class and name; its class is the only known action label.

    The identity is the film in the clip's name, so that no film is in two splits.

    Raises:
        ConfigError: The folder does not exist, or its class folders hold no videos.
    """
    folder = dataset_folder(source, "<class>/*.avi")
    videos = [
        (kind.name, video)
        for kind in sorted(folder.iterdir())
        if kind.is_dir() and not kind.name.startswith(".")
        for video in sorted(kind.iterdir())
        if is_video(video.name) and not video.name.startswith(".")
    ]
    if not videos:
        raise ConfigError(f"data.source.path: no video in the folders of {folder}; expected <class>/*.avi")
    ids = clip_ids([f"{kind}/{video.name}" for kind, video in videos])
    found = Entries(str(folder))
    for clip_id, (kind, video) in zip(ids, videos, strict=True):
        entry = Entry(ascii(f"{kind}/{video.name}"))
        clip = Clip(
            id=clip_id,
            video=str(video),
            identity=_film(video.stem, kind),
            action=[1 if kind.lower() in ACTIONS and action.name == kind.lower() else None for action in ACTION],
        )
        try:
            found.add(entry, clip)
        except ValueError:
            found.reject(entry, "the file's name is no UTF-8; rename it", name=clip_id, video=str(video))
    return found.listing(absent=False)


def _film(stem: str, kind: str) -> str | None:
    """``Alpha_Dog_laugh_h_nm_np1_fr_med_0``, ``laugh`` -> ``Alpha_Dog``; None if the name has another form."""
    film, sign, _ = stem.partition(f"_{kind}_")
    return film if film and sign else None


SOURCE = hmdb51_clips
