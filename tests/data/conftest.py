"""Fixtures of the tests of the data package."""

from collections.abc import Iterator
from uuid import uuid4

import fsspec
import pytest


@pytest.fixture
def memory() -> Iterator[str]:
    """The address of an empty folder that lies in memory."""
    address = f"memory:///{uuid4().hex}"
    yield address
    files = fsspec.filesystem("memory")
    if files.exists(address):
        files.rm(address, recursive=True)
