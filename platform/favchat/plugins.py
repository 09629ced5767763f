"""Sources and tasks by name: a file in this package's folder, or an entry point of another installed package."""

from __future__ import annotations

import difflib
import pkgutil
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any


class Plugins(Mapping[str, Any]):
    """What is known by name of one kind; a module is imported when its name is asked for.

    Args:
        group: The group of entry points, such as ``favchat.sources``.
        package: The package of this project each of whose modules is one, named as its file.
        attribute: What such a module calls it.
    """

    def __init__(self, group: str, package: str, attribute: str):
        self._group, self._package, self._attribute = group, package, attribute
        folder = Path(__file__).parent.joinpath(*package.split(".")[1:])
        self._own = [module.name for module in pkgutil.iter_modules([str(folder)])]

    def __getitem__(self, name: str) -> Any:
        """Import what has that name."""
        if name in self._own:
            return getattr(import_module(f"{self._package}.{name}"), self._attribute)
        for entry in entry_points(group=self._group, name=name):
            return entry.load()
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        """The names: this package's own, then those of entry points."""
        yield from self._own
        yield from sorted({entry.name for entry in entry_points(group=self._group)} - set(self._own))

    def __len__(self) -> int:
        """How many there are."""
        return sum(1 for _ in self)

    def check(self, name: str) -> str:
        """A name that is known; nothing is imported.

        Raises:
            ValueError: It is not; the message lists those that are.
        """
        if name in self._own:  # to look at all installed packages takes 20 ms, and a configuration asks three times
            return name
        known = [*iter(self)]  # list(self) asks for the length first: it looks twice
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"'{name}' is none of {', '.join(known)}{meant}")
        return name


SOURCES = Plugins("favchat.sources", "favchat.data.sources", "SOURCE")
"""``data.source.kind`` -> a function from its `SourceConfig` to a `favchat.data.listing.entries.Listing`."""
TASKS = Plugins("favchat.tasks", "favchat.evaluation.tasks", "TASK")
"""A name of ``evaluation.tasks`` -> its `favchat.evaluation.task.Task`."""
