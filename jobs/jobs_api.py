"""Ray's jobs API: reaching it, following a job's log through broken connections, and what becomes of a job."""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import requests
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

from favchat.errors import UserError
from favchat.runtime.ray_cluster import check_reach

ADDRESS_VARIABLE = "RAY_API_SERVER_ADDRESS"
INTERRUPTED = 130
"""Exit status after Ctrl-C stopped the job, as a shell has it."""
GOES_ON = 75
"""Exit status where the job goes on unwatched: EX_TEMPFAIL, try again later."""
PATIENCE = 120.0
"""Seconds for which a broken connection is tried again."""
SECOND_PRESS = 3.0
"""Seconds after a first Ctrl-C in which a second one stops the job."""
_SILENCE = 15.0
"""Seconds without a line after which the API is asked whether it is there."""
_BROKEN = (aiohttp.ClientError, requests.RequestException, ConnectionError, TimeoutError)


class UnknownJobError(UserError):
    """The cluster has no such job."""


def connect(address: str | None) -> JobSubmissionClient:
    """A client of the jobs API at the address.

    Args:
        address: Such as ``http://head:8265``; by default RAY_API_SERVER_ADDRESS or RAY_ADDRESS, else a cluster on this
            machine.

    Raises:
        ConnectionError: Nothing answers there, or the token is missing or wrong.
    """
    # The client logs every upload and the end of the log.
    for name in ("dashboard_sdk", "job.sdk"):
        logging.getLogger(f"ray.dashboard.modules.{name}").setLevel(logging.WARNING)
    if address:
        # Ray gives the environment precedence over what it is called with; the user's own word counts for more.
        os.environ[ADDRESS_VARIABLE] = address
    given = {"--address": address, **{name: os.environ.get(name) for name in (ADDRESS_VARIABLE, "RAY_ADDRESS")}}
    name, place = next(((name, value) for name, value in given.items() if value), ("", ""))
    try:
        if place:
            check_reach(place, name)
        return JobSubmissionClient(address)
    except (AuthenticationError, ConnectionError, RuntimeError, ValueError) as error:
        raise ConnectionError(
            f"no jobs API at {address or os.environ.get(ADDRESS_VARIABLE) or os.environ.get('RAY_ADDRESS') or 'auto'}: "
            f"{error}\nName a cluster with --address http://HEAD:8265; it must run Ray's dashboard"
        ) from error


def details(client: JobSubmissionClient, job: str) -> JobDetails:
    """What the cluster knows of a job.

    Raises:
        UnknownJobError: It has none of that name.
    """
    try:
        return client.get_job_info(job)
    except RuntimeError as error:
        if "404" in str(error):
            raise UnknownJobError(f"{job}: the cluster has no such job; `favchat jobs` lists them") from error
        raise


@dataclass
class Follower:
    """Follows a job: its log to standard output, its exit status as the command's own.

    Args:
        client: Of the jobs API.
        job: The job's id.
        address: As the user gave it, for the command to attach with.
        say: Gets what is not part of the log.
        patience: Seconds for which a broken connection is tried again.
    """

    client: JobSubmissionClient
    job: str
    address: str | None = None
    say: Callable[[str], None] = print
    patience: float = PATIENCE
    shown: int = 0
    """Characters of the log that were written already: a log that is opened again begins at its beginning."""
    _broken_since: float | None = field(default=None, init=False)

    def run(self) -> int:
        """Follow to the end: the command's exit status.

        Returns:
            The job's own status; 1 for a job that ended without one; 75 where it goes on unwatched, after one Ctrl-C or
            a connection that stays broken; 130 after a second Ctrl-C, which stops it.

        Raises:
            UnknownJobError: The cluster does not know the job, or not any more.
        """
        try:
            return self._to_the_end()
        except KeyboardInterrupt:
            return self._leave_or_stop()

    def _to_the_end(self) -> int:
        wait = 1.0
        while True:
            before = self.shown
            try:
                asyncio.run(self._show())
                found = details(self.client, self.job)
                while not found.status.is_terminal():
                    time.sleep(0.5)
                    found = details(self.client, self.job)
                return exit_status(found, self.say)
            except (*_BROKEN, RuntimeError) as error:
                with suppress(*_BROKEN, RuntimeError):
                    details(self.client, self.job)  # a cluster that began anew knows nothing of it
                now = time.monotonic()
                if self._broken_since is None or self.shown > before:
                    self._broken_since, wait = now, 1.0
                    self.say(f"the connection broke ({_first_line(error)}); trying again for {self.patience:g} s")
                if now + wait - self._broken_since > self.patience:
                    self.say(f"no connection; {self.job} goes on where it runs. Attach again with\n  {self._attach()}")
                    return GOES_ON
            time.sleep(wait)
            wait = min(2 * wait, 15.0)

    async def _show(self) -> None:
        """Write what is new in the log, until it ends or the connection breaks."""
        passed = 0
        async for text in _watched(self.client, self.job):
            new = text[max(0, self.shown - passed) :]
            passed += len(text)
            if new:
                self._broken_since = None
                sys.stdout.write(new)
                sys.stdout.flush()
                self.shown += len(new)

    def _leave_or_stop(self) -> int:
        try:
            self.say(f"\nleaving {self.job}, which goes on; Ctrl-C again within {SECOND_PRESS:g} s stops it")
            time.sleep(SECOND_PRESS)
        except KeyboardInterrupt:
            return self._stop()
        self.say(f"attach again with\n  {self._attach()}")
        return GOES_ON

    def _stop(self) -> int:
        self.say(f"stopping {self.job}")
        stop(self.client, self.job)
        return INTERRUPTED

    def _attach(self) -> str:
        where = ["--address", self.address] if self.address else []
        return shlex.join(["favchat", "jobs", "attach", self.job, *where])


def stop(client: JobSubmissionClient, job: str, *, wait: bool = True) -> JobDetails:
    """Ask a job to stop, and wait for its end.

    Raises:
        UnknownJobError: There is none of that name.
    """
    found = details(client, job)
    if not found.status.is_terminal():
        client.stop_job(job)
    while wait and not (found := details(client, job)).status.is_terminal():
        time.sleep(0.5)
    return found


def exit_status(found: JobDetails, say: Callable[[str], None]) -> int:
    """The exit status that a job's end stands for."""
    if found.status == JobStatus.SUCCEEDED:
        return 0
    if found.driver_exit_code:
        say(f"{found.submission_id} ended with status {found.driver_exit_code}")
        return int(found.driver_exit_code)
    say(f"{found.submission_id} {found.status.value.lower()}: {found.message}")
    return 1


async def _watched(client: JobSubmissionClient, job: str) -> AsyncIterator[str]:
    """The log as it comes. A connection that is silent is asked for: one that is cut off somewhere says nothing."""
    lines: Any = client.tail_job_logs(job)
    coming: asyncio.Task[str] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(lines))
            done, _ = await asyncio.wait([coming], timeout=_SILENCE)
            if not done:
                await asyncio.wait_for(asyncio.to_thread(client.get_job_status, job), _SILENCE)
                continue
            try:
                yield coming.result()
            except StopAsyncIteration:
                return
            coming = None
    finally:
        if coming is not None and not coming.done():
            coming.cancel()


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
