"""Which videos are in use, known to all processes that share a store."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout


@dataclass
class _Lease:
    lock: FileLock
    users: int = 1


class Leases:
    """The uses of one process. A use is a lock file in the video's folder, which the process holds while it lasts.

    The kernel frees the locks of a process that dies, so that nothing stays in use for ever. Not safe by itself: the
    store calls it under its lock.
    """

    def __init__(self) -> None:
        self._name = f"use-{uuid.uuid4().hex}"
        self._held: dict[Path, _Lease] = {}

    def take(self, home: Path) -> None:
        """Use the video whose folder this is, once more."""
        if home in self._held:
            self._held[home].users += 1
            return
        # Another thread than the one that takes it may give it back.
        lock = FileLock(home / self._name, thread_local=False)
        lock.acquire()
        self._held[home] = _Lease(lock)

    def give(self, home: Path) -> None:
        """End one use."""
        lease = self._held[home]
        lease.users -= 1
        if not lease.users:
            del self._held[home]
            lease.lock.release()
            (home / self._name).unlink(missing_ok=True)

    def taken(self, home: Path) -> bool:
        """Whether this process or another is using the video."""
        if home in self._held:
            return True
        for path in home.glob("use-*"):
            try:
                with FileLock(path, timeout=0):
                    pass
            except Timeout:
                return True
        return False
