"""Following a job without a cluster."""

import pytest
from ray.job_submission import JobDetails, JobStatus, JobType

from jobs.jobs_api import GOES_ON, Follower, UnknownJobError, exit_status, stop


def told(status, code=None):
    return JobDetails(
        type=JobType.SUBMISSION,
        submission_id="night-1",
        status=status,
        entrypoint="favchat train",
        message="why",
        driver_exit_code=code,
    )


class Client:
    """A jobs API that says what it is told to: texts of the log, or errors that break it off."""

    def __init__(self, logs, infos):
        self._logs, self._infos = list(logs), list(infos)
        self.stopped = []

    async def tail_job_logs(self, job):
        for text in self._logs.pop(0) if self._logs else ():
            if isinstance(text, Exception):
                raise text
            yield text

    def get_job_info(self, job):
        found = self._infos.pop(0) if len(self._infos) > 1 else self._infos[0]
        if isinstance(found, Exception):
            raise found
        return found

    def stop_job(self, job):
        self.stopped.append(job)


BROKEN = RuntimeError("WebSocket connection closed unexpectedly with close code 1006")
UNKNOWN = RuntimeError("Request failed with status code 404: Job night-1 does not exist")


def follow(client, capsys, patience=60.0):
    said: list[str] = []
    status = Follower(client, "night-1", "http://head:8265", said.append, patience).run()
    return status, capsys.readouterr().out, "\n".join(said)


def test_a_log_that_broke_off_goes_on_where_it_was(capsys, monkeypatch):
    monkeypatch.setattr("jobs.jobs_api.time.sleep", lambda _: None)
    logs = [["one\n", "two\nth", BROKEN], ["one\ntwo\n", "three\n", BROKEN], [BROKEN], ["one\ntwo\nthree\nfour\n"]]
    status, shown, said = follow(Client(logs, [told(JobStatus.RUNNING)] * 4 + [told(JobStatus.FAILED, 7)]), capsys)
    assert (status, shown) == (7, "one\ntwo\nthree\nfour\n")
    assert "the connection broke (WebSocket connection closed" in said
    assert said.endswith("night-1 ended with status 7")


def test_where_it_stays_broken_the_way_back_is_told(capsys):
    client = Client([["one\n", BROKEN]], [ConnectionError("nobody")])
    status, shown, said = follow(client, capsys, patience=0)
    assert (status, shown) == (GOES_ON, "one\n")
    assert said.endswith("favchat jobs attach night-1 --address http://head:8265")
    assert not client.stopped


def test_a_cluster_that_began_anew_knows_nothing_of_the_job(capsys):
    with pytest.raises(UnknownJobError, match="night-1: the cluster has no such job"):
        follow(Client([["one\n", BROKEN]], [UNKNOWN]), capsys)


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (told(JobStatus.SUCCEEDED, 0), 0),
        (told(JobStatus.FAILED, 3), 3),
        (told(JobStatus.FAILED), 1),
        (told(JobStatus.STOPPED), 1),
    ],
)
def test_exit_statuses(found, status):
    assert exit_status(found, lambda _: None) == status


def test_what_has_ended_is_not_stopped_again():
    client = Client([], [told(JobStatus.SUCCEEDED)])
    assert stop(client, "night-1").status == JobStatus.SUCCEEDED
    assert not client.stopped
    client = Client([], [told(JobStatus.RUNNING), told(JobStatus.STOPPED)])
    assert stop(client, "night-1").status == JobStatus.STOPPED
    assert client.stopped == ["night-1"]
