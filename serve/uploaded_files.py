"""The list of uploaded files: one record each, in JSON, in a folder that all processes share."""

from __future__ import annotations

import contextlib
import json
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from favchat.io.files import write_text_whole
from serve.errors import ApiError

FILE_ID = re.compile(r"file-[0-9a-f]{32}")


@dataclass(frozen=True)
class StoredFile:
    """An uploaded file.

    Attributes:
        id: ``file-`` and 32 hexadecimal digits.
        filename: The client's name for it.
        bytes: Its size.
        created_at: Seconds since 1970.
        purpose: What the client said it is for.
        video: SHA-256 of its bytes.
        playable: Whether browsers play it as it is.
        owner: Name of the key that it was uploaded with; None: no key was asked for.
        expires_at: When it is deleted, seconds since 1970; None: not by itself.
    """

    id: str
    filename: str
    bytes: int
    created_at: int
    purpose: str
    video: str
    playable: bool = True
    owner: str | None = None
    expires_at: int | None = None

    def is_there(self) -> bool:
        """Whether its time is not over."""
        return self.expires_at is None or time.time() < self.expires_at


class UploadedFiles:
    """The records. Whoever adds or removes one holds the lock of the store.

    Args:
        folder: Where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, stored: StoredFile) -> None:
        """Add a record, at once for all who look."""
        write_text_whole(self._path(stored.id), json.dumps(asdict(stored)))

    def all(self) -> list[StoredFile]:
        """All, also those whose time is over, in any order."""
        found = []
        for path in self.folder.glob("file-*.json"):
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                found.append(StoredFile(**json.loads(path.read_text())))
        return found

    def find(self, file_id: str, param: str | None = None) -> StoredFile:
        """One whose time is not over.

        Raises:
            ApiError: There is none of that id.
        """
        if FILE_ID.fullmatch(file_id):
            with contextlib.suppress(FileNotFoundError):
                stored = StoredFile(**json.loads(self._path(file_id).read_text()))
                if stored.is_there():
                    return stored
        raise no_file(file_id, param)

    def remove(self, stored: StoredFile) -> None:
        """Remove a record.

        Raises:
            FileNotFoundError: It was removed before.
        """
        self._path(stored.id).unlink()

    def _path(self, file_id: str) -> Path:
        return self.folder / f"{file_id}.json"


def no_file(file_id: str, param: str | None = None) -> ApiError:
    """There is no uploaded file of that id."""
    return ApiError(404, f"No such file: {file_id[:80]}. Upload it to /v1/files first.", param, "file_not_found")
