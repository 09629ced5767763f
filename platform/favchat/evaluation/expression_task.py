"""Shared by the benchmarks of dynamic facial expressions: one of a fixed list of words for each clip of a test list."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from upath import UPath

from favchat.config import ConfigError
from favchat.data.listing.expression_lists import ExpressionList, read_labels
from favchat.data.listing.video_files import safe
from favchat.evaluation.asking.eval_question import EvalQuestion
from favchat.evaluation.labelled_clips import LabelledClip, NothingToAskError
from favchat.evaluation.task import EXPRESSION_LEAD, TaskContext, choice, closed
from favchat.io.paths import path_of
from favchat.labels.attributes import attribute

WORDS = {
    "angry": "angry",
    "anger": "angry",
    "disgust": "disgusted",
    "fear": "fearful",
    "happiness": "happy",
    "happy": "happy",
    "neutral": "neutral",
    "sad": "sad",
    "sadness": "sad",
    "surprise": "surprised",
    "contempt": "contemptuous",
    "anxiety": "anxious",
    "helplessness": "helpless",
    "disappointment": "disappointed",
}
"""The datasets' names -> the word that is asked for."""

Lists = Callable[[int], list[ExpressionList]]


def expression_items(
    asked: TaskContext, kind: str, classes: Sequence[str], lists: Lists, access: str
) -> list[EvalQuestion]:
    """Ask for the expression of each clip of the split, or of the folds' lists.

    Args:
        asked: The clips of the task; split ``train`` selects the training lists.
        kind: The kind of source, which is also the task's name.
        classes: The dataset's emotions, in its order.
        lists: Fold -> the known formats of its lists.
        access: Where to ask for the data.

    Raises:
        NothingToAskError: The corpus has no such clip, or a list of the split is missing.
        ConfigError: Folds are requested without lists, or the shards' labels are unusable.
    """
    there = {labelled.clip.id: labelled for labelled in asked.clips if labelled.source == kind}
    if not there:
        raise NothingToAskError(f"data.out = {asked.config.data.out}: no clip of {kind}. {access}")
    options = [WORDS[name] for name in classes]
    items: list[EvalQuestion] = []
    for fold, labels in _labels(asked, kind, classes, lists, there).items():
        for clip_id, label in labels.items():
            if clip_id in there:  # rejected clips are not in the shards, and are reported as missing
                items += closed(
                    asked,
                    kind,
                    there[clip_id],
                    choice(options),
                    options,
                    options.index(WORDS[label]),
                    part="expression",
                    answer_prefix=EXPRESSION_LEAD,
                    fold=fold,
                )
    return items


def listed(asked: TaskContext, lists: Lists) -> int:
    """Number of clips in the lists of ``data.source.path``; 0 without lists."""
    return sum(map(len, _from_lists(asked, lists).values())) if asked.config.data.source.path else 0


def _labels(
    asked: TaskContext, kind: str, classes: Sequence[str], lists: Lists, there: Mapping[str, LabelledClip]
) -> dict[int | None, dict[str, str]]:
    """Fold -> clip -> emotion; fold None is the split of the shards."""
    if asked.config.data.source.path:
        return {fold: labels for fold, labels in _from_lists(asked, lists).items()}
    if asked.config.evaluation.folds is not None:
        raise ConfigError("evaluation.folds needs data.source.path, the dataset's folder with the folds' lists")
    words = {attribute(name).phrase: name for name in ("neutral", "anger", "contempt", "disgust", "happy", "fear")}
    words |= {attribute(name).phrase: name for name in ("sadness", "surprise")}
    unknown = [name for name in classes if WORDS[name] not in words]
    if unknown:
        raise ConfigError(
            f"evaluation.tasks = {kind}: shards hold no label for {', '.join(unknown)}; give data.source.path, the "
            "dataset's folder with the lists"
        )
    names = {words[WORDS[name]]: name for name in classes}
    clips = [labelled.clip for labelled in there.values()]
    return {
        None: {clip.id: names[clip.emotion] for clip in clips if clip.split == asked.split and clip.emotion in names}
    }


def _from_lists(asked: TaskContext, lists: Lists) -> dict[int, dict[str, str]]:
    folder = path_of(asked.config.data.source.path or "")
    folds = asked.config.evaluation.folds or [asked.config.data.source.fold]
    return {fold: _read(folder, lists(fold), asked.split) for fold in folds}


def _read(folder: UPath, layouts: Sequence[ExpressionList], split: str) -> dict[str, str]:
    for layout in layouts:
        path = folder / layout.path.format(split=split)
        if path.is_file():
            return {_clip_id(name): label for name, label in read_labels(path, layout)}
    expected = " or ".join(str(folder / layout.path.format(split=split)) for layout in layouts)
    raise NothingToAskError(f"data.source.path: no list of split '{split}' in {folder}; expected {expected}")


def _clip_id(name: str) -> str:
    """The clip's id as the source assigns it: DFEW's are zero-padded to five digits."""
    return name.zfill(5) if name.isdigit() else safe(name)
