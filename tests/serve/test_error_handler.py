"""Errors as what a client is told."""

import errno

from ray.exceptions import RayTaskError

from serve.error_handler import as_api_error


def test_a_full_disk_is_no_fault_of_the_program() -> None:
    full = as_api_error(OSError(errno.ENOSPC, "No space left on device"))
    assert (full.status, full.code) == (503, "server_busy")
    elsewhere = RayTaskError("prepare", "", OSError(errno.ENOSPC, "No space left on device")).as_instanceof_cause()
    assert as_api_error(elsewhere).code == "server_busy"  # in another process
    assert as_api_error(OSError(errno.EIO, "Input/output error")).status == 500
