"""Leaks between training and test: shared people, videos, and near-duplicates by hash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from favchat.data.prepare.near_hashes import nearest_of
from favchat.evaluation.labelled_clips import LabelledClip
from favchat.video.quality import HASH_BITS

_DIGITS = HASH_BITS // 4


@dataclass(frozen=True)
class Leaks:
    """Overlap of the evaluated clips with a model's training clips."""

    trained: int
    """Training clips that were looked at."""
    asked: int
    """Clips that are asked about."""
    unknown: int
    """Of these, the ones whose identity is unknown: only videos and hashes tell."""
    unhashed: int
    """Clips of either side whose hash is of an earlier version: no near-duplicates are found of them."""
    people: tuple[str, ...]
    """Identities in both."""
    videos: tuple[str, ...]
    """Videos in both."""
    duplicates: tuple[tuple[str, str, int], ...]
    """A clip that is asked about, the training clip that it nearly equals, and the differing bits of their hashes."""
    clips: frozenset[str]
    """The clips that any of these concerns."""

    def summary(self) -> str:
        """Human-readable summary."""
        if not self.trained:
            return "no training clip is known (evaluation.trained_on): leaks were not looked for"
        limits = f"; the identity of {self.unknown} is unknown" if self.unknown else ""
        limits += f"; {self.unhashed} have a hash of an earlier version, prepare them anew" if self.unhashed else ""
        if not self.clips:
            return (
                f"no leak: {self.asked} clips share no person, video or near-duplicate with {self.trained} training "
                f"clips{limits}"
            )
        return (
            f"LEAK: {len(self.clips)} of {self.asked} clips share {len(self.people)} people, {len(self.videos)} videos "
            f"and {len(self.duplicates)} near-duplicates with the {self.trained} training clips{limits}"
        )


def find_leaks(trained: Sequence[LabelledClip], asked: Sequence[LabelledClip]) -> Leaks:
    """Compare a model's training clips with the evaluated clips.

    A clip that is in both counts as a duplicate of itself.
    """
    people = {one.clip.identity for one in trained} - {None}
    videos = {one.clip.video for one in trained}
    known = [one for one in asked if one.clip.identity in people]
    filmed = [one for one in asked if one.clip.video in videos]
    mine, others = ([one for one in some if len(one.duplicate_hash) == _DIGITS] for some in (asked, trained))
    pairs = nearest_of([one.duplicate_hash for one in mine], [one.duplicate_hash for one in others])
    twins = tuple((mine[one].clip.id, others[other].clip.id, bits) for one, other, bits in pairs)
    return Leaks(
        trained=len(trained),
        asked=len(asked),
        unhashed=len(asked) + len(trained) - len(mine) - len(others),
        unknown=sum(one.clip.identity is None for one in asked),
        people=tuple(sorted({one.clip.identity or "" for one in known})),
        videos=tuple(sorted({one.clip.video for one in filmed})),
        duplicates=twins,
        clips=frozenset([one.clip.id for one in (*known, *filmed)] + [clip for clip, _, _ in twins]),
    )
