"""A folder of videos as a source: every video file below it is one clip, without labels."""

from __future__ import annotations

from favchat.config import ConfigError, SourceConfig
from favchat.data.corpus.clip import Clip
from favchat.data.listing.entries import Entries, Entry, Listing
from favchat.data.listing.video_files import KNOWN_SUFFIXES, clip_ids, is_video
from favchat.io import paths


def folder_clips(source: SourceConfig) -> Listing:
    """The videos below ``source.path``, at any depth, or those that it names; ordered by path.

    ``source.path`` is a folder, one video file, or a glob pattern (``*``, ``?``, ``[...]``, ``**`` for any depth),
    local or at any address that fsspec opens. Hidden files and folders are skipped. A clip's id is its path relative to
    the folder (of a pattern: to the folder above the first wildcard) without the suffix, see
    ``favchat.data.listing.video_files.clip_ids``.

    Raises:
        ConfigError: The path does not exist, is not a video, or contains none.
    """
    root = paths.absolute(source.path or "")
    if paths.is_pattern(root):
        videos, base = list(filter(is_video, paths.files_matching(root))), paths.pattern_base(root)
        if not videos:
            raise ConfigError(f"data.source.path: no video matches {root}; files ending in {KNOWN_SUFFIXES} count")
    elif paths.is_file(root):
        if not is_video(root):
            raise ConfigError(f"data.source.path: {root} is no video; known suffixes are {KNOWN_SUFFIXES}")
        videos, base = [root], paths.parent(root)
    elif paths.is_folder(root):
        videos, base = list(filter(is_video, paths.files_below(root))), root
        if not videos:
            raise ConfigError(f"data.source.path: no video below {root}; files ending in {KNOWN_SUFFIXES} count")
    else:
        raise ConfigError(f"data.source.path: {root} does not exist; give a folder of videos or one video file")
    names = [video[len(base) :].lstrip("/") for video in videos]
    found = Entries(root)
    for clip_id, video in zip(clip_ids(names), videos, strict=True):
        entry = Entry(ascii(video))
        try:
            found.add(entry, Clip(id=clip_id, video=video))
        except ValueError:
            found.reject(entry, "the file's name is no UTF-8; rename it", name=clip_id, video=video)
    return found.listing(absent=False)


SOURCE = folder_clips
