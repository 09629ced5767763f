"""Collects the entries of a list: each becomes a clip or a reject with a reason, and a bad one never stops a job."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from favchat.config import ConfigError
from favchat.data.corpus.clip import Clip
from favchat.data.listing.clip_table import LIST_SCHEMA, ClipTable, TableWriter, clip_of_row, row_of_clip
from favchat.io import paths

_LOG = logging.getLogger(__name__)
_SHOWN = 5
_LONGEST = 500  # characters of a reason, which may quote a value of any size
_ROWS = pa.schema([*LIST_SCHEMA, *[pa.field(name, pa.string()) for name in ("where", "key", "folded")]])
TWO_SPLITS = "identities in more than one split"


@dataclass(frozen=True, slots=True)
class BadEntry:
    """An entry that cannot be used."""

    name: str
    """The clip's id as far as it is known, else where the entry stands."""
    reason: str
    """What is wrong with it."""
    video: str = ""
    """Its video, as far as that is known."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A source's entries, each as a clip or a bad entry."""

    clips: Sequence[Clip]
    """Ordered, each id once; a source of one's own may give a list."""
    bad: list[BadEntry] = field(default_factory=list)
    """Entries that cannot be used."""
    notes: dict[str, int] = field(default_factory=dict)
    """What clips lost, such as labels that cannot be read, or what else should be known -> how often."""


class Entry:
    """One entry while it is parsed, and its invalid parts."""

    def __init__(self, where: str) -> None:
        """Start an entry; `where` is its position in the list, such as ``row 3``."""
        self.where = where
        self.lost: list[tuple[str, str]] = []

    def lose(self, what: str, reason: object) -> None:
        """Record an invalid part, which is dropped.

        Args:
            what: Kind of the part, in the plural.
            reason: Why it is invalid.
        """
        self.lost.append((what, str(reason)[:_LONGEST]))


class Entries:
    """Collects the entries of a list."""

    def __init__(self, origin: str) -> None:
        """Start empty; `origin` names the list in messages."""
        self._origin = origin
        self._good = TableWriter(_ROWS)
        self._bad: list[BadEntry] = []
        self._lost: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, entry: Entry, clip: Clip) -> None:
        """Add an entry as a clip. An empty identity is nobody's, and not the same person's everywhere.

        Raises:
            ValueError: A name of the clip cannot be stored in a shard.
        """
        for value in (clip.id, clip.video, clip.identity, clip.split):
            checked_text(value)
        clip = replace(clip, identity=clip.identity or None)
        self._good.add({**row_of_clip(clip), "where": entry.where, "key": clip.id, "folded": clip.id.casefold()})
        for what, reason in entry.lost:
            self._lost[what].append(f"{entry.where}: {reason}")

    def reject(self, entry: Entry, reason: object, *, name: str = "", video: str = "") -> None:
        """Add an entry that cannot be used."""
        self._bad.append(BadEntry(name or entry.where, f"{entry.where}: {str(reason)[:_LONGEST]}", video))

    def listing(self, *, fold_case: bool = False, absent: bool = True) -> Listing:
        """All entries, with duplicate ids resolved; dropped parts are logged.

        Of identical entries the first becomes the clip. Entries with one id but different content are all rejected,
        since it is unknown which is right.

        Args:
            fold_case: Whether ids that differ only in case are the same.
            absent: Whether videos may be missing, because a list names them.

        Raises:
            ConfigError: There are no entries, none can be used, or all videos are missing.
        """
        clips, bad = self._resolve_duplicates(fold_case)
        bad = [*self._bad, *bad]
        if not clips and not bad:
            raise ConfigError(f"{self._origin} lists no clip")
        if not clips:
            shown = "".join(f"\n  {one.reason}" for one in bad[:_SHOWN])
            more = f"\n  and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
            raise ConfigError(f"{self._origin}: none of the {len(bad)} entries can be used{shown}{more}")
        self._warn(bad)
        if absent:
            some_present(clips, self._origin)
        notes = {what: len(lost) for what, lost in sorted(self._lost.items())}
        return Listing(clips, bad, notes | _mixed_identities(clips, self._origin))

    def _resolve_duplicates(self, fold_case: bool) -> tuple[ClipTable, list[BadEntry]]:
        tables, name = self._good.tables(), "folded" if fold_case else "key"
        keys = pa.chunked_array([chunk for table in tables for chunk in table[name].chunks], pa.string())
        counts = keys.value_counts()
        several = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
        groups: dict[str, list[tuple[str, Clip]]] = {}
        for table in tables if len(several) else ():
            key = table[name]
            shared = pc.is_in(key, several)
            for row in table.filter(shared).to_pylist():
                one = row[name]
                groups.setdefault(one, []).append((row["where"], clip_of_row(row)))
        if not groups:
            return ClipTable(tables), []
        bad: list[BadEntry] = []
        firsts = set()  # where the entries stand that speak for others that say the same
        for (first, clip), *others in groups.values():
            if all(other == clip for _, other in others):
                firsts.add((clip.id, first))
                bad += [BadEntry(clip.id, f"{where}: says the same as {first}", other.video) for where, other in others]
                continue
            group = [(first, clip), *others]
            for where, one in group:
                rest = _some([other for other, _ in group if other != where])
                reason = f"{where}: '{one.id}' is also told of in {rest}, and differently: which is right is not known"
                bad.append(BadEntry(one.id, reason, one.video))
        kept = TableWriter(_ROWS)
        for table in tables:
            shared = pc.is_in(table[name], several).to_pylist()
            entries = zip(table["key"].to_pylist(), table["where"].to_pylist(), strict=True)
            good = []
            for one, entry in zip(shared, entries, strict=True):
                good.append(not one or entry in firsts)
                firsts.discard(entry)
            kept.add_table(table.filter(pa.array(good)))
        return ClipTable(kept.tables()), bad

    def _warn(self, bad: Sequence[BadEntry]) -> None:
        for what, reasons in sorted(self._lost.items()):
            _LOG.warning("%s: %s: %d; the first in %s", self._origin, what, len(reasons), reasons[0])
        if bad:
            _LOG.warning(
                "%s: %d entries cannot be used and will be rejected; the first: %s",
                self._origin,
                len(bad),
                bad[0].reason,
            )


def checked_text(value: str | None) -> None:
    """Reject a name that a shard cannot store, such as a file name that is not valid UTF-8.

    Raises:
        ValueError: It cannot be encoded, or holds a null character.
    """
    try:
        good = value is None or "\0" not in value.encode().decode()
    except UnicodeEncodeError:
        good = False
    if not good:
        raise ValueError(f"{value!r} is no UTF-8 text")


def some_present(clips: ClipTable, origin: str) -> None:
    """Log listed videos that are missing; they become rejects when they are processed.

    Args:
        clips: The clips that a list names.
        origin: The list, for the message.

    Raises:
        ConfigError: All videos are missing.
    """
    gone: dict[str, None] = {}
    unreachable, some = "", False
    for table in clips.tables:
        videos = table["video"].unique().to_pylist()
        lost, why = _absent(video for video in videos if video not in gone)
        gone |= dict.fromkeys(lost)
        unreachable = unreachable or why
        some = some or any(video not in gone for video in videos)
    if not some:
        raise ConfigError(
            f"data.source.path: none of the {len(clips)} videos that {origin} lists is there; the first is expected at "
            f"{clips[0].video}{f' ({unreachable})' if unreachable else ''}"
        )
    if gone:
        line = "%d of the videos that %s lists are absent and will be rejected: %s"
        _LOG.warning(line, len(gone), origin, _some(list(gone)))


def _absent(videos: Iterable[str]) -> tuple[list[str], str]:
    """The missing videos, and why one could not be checked, if its address is invalid or unreachable."""
    by_folder: defaultdict[str, list[str]] = defaultdict(list)
    for video in videos:
        by_folder[paths.parent(video)].append(video)
    gone, unreachable = [], ""
    for there in by_folder.values():
        try:
            gone += paths.absent(there)
        except ConfigError as error:
            gone += there
            unreachable = unreachable or str(error)
    return gone, unreachable


def _mixed_identities(clips: ClipTable, origin: str) -> dict[str, int]:
    """People whom the source itself puts into more than one split, a leak between training and evaluation."""
    splits: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for table in clips.tables:
        named = table.filter((pc.field("identity").is_valid()) & (pc.field("split") != ""))
        for row in named.group_by(["identity", "split"]).aggregate([([], "count_all")]).to_pylist():
            splits[row["identity"]][row["split"]] += row["count_all"]
    mixed = {who: sorted(found) for who, found in splits.items() if len(found) > 1}
    if not mixed:
        return {}
    _LOG.warning(
        "%s: %s: %d (%s); numbers of one split will rest on people of the other",
        origin,
        TWO_SPLITS,
        len(mixed),
        _some([f"{who}: {', '.join(found)}" for who, found in sorted(mixed.items())]),
    )
    return {TWO_SPLITS: len(mixed)}


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
