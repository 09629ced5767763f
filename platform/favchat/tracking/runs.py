"""A run: its parameters, metrics, inputs and files, how it begins, ends and is taken up again."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, LifecycleStage, Metric, Param, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT, MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME
from mlflow.utils.time import get_current_time_millis

from favchat.config import Config, TrackingConfig, flatten
from favchat.io.files import write_text_whole
from favchat.runtime.code_revision import git_revision
from favchat.tracking.registry import register_model
from favchat.tracking.store import experiment_id, tracking_uri

RAY_JOB = "ray.job"
"""Tag of a run: the id of the Ray job that it belongs to."""


@dataclass(frozen=True)
class Run:
    """One MLflow run, by address and id: small enough to travel to a worker."""

    uri: str
    run_id: str
    experiment_id: str

    @property
    def client(self) -> MlflowClient:
        """A client of the run's store."""
        return MlflowClient(tracking_uri=self.uri)

    def child(self, name: str) -> Run:
        """Start a run below this one."""
        return _begin(self.client, self.uri, self.experiment_id, name, {MLFLOW_PARENT_RUN_ID: self.run_id})

    def log_params(self, settings: Mapping[str, Any]) -> None:
        """Log a nested mapping as dotted parameters; ``*``, which MLflow refuses in names, becomes ``all``."""
        params = [Param(key.replace("*", "all"), str(value)) for key, value in flatten(settings).items()]
        for begin in range(0, len(params), 100):  # the limit of one call
            self.client.log_batch(self.run_id, params=params[begin : begin + 100])

    def log_config(self, config: Config) -> None:
        """Log a configuration whole as ``config.yaml``, and what differs from the defaults as dotted parameters."""
        settings, plain = config.model_dump(mode="json"), flatten(Config().model_dump(mode="json"))
        changed = {key: value for key, value in flatten(settings).items() if key not in plain or plain[key] != value}
        self.log_params(changed)
        self.client.log_dict(self.run_id, settings, "config.yaml")

    def log_metrics(self, values: Mapping[str, float], step: int, time_ms: int | None = None) -> None:
        """Log the values of one step; `time_ms` is when they were measured, by default now."""
        now = get_current_time_millis() if time_ms is None else time_ms
        self.client.log_batch(self.run_id, metrics=[Metric(key, value, now, step) for key, value in values.items()])

    def log_artifact(self, path: str | Path, folder: str | None = None) -> None:
        """Log a file or a folder."""
        if Path(path).is_dir():
            self.client.log_artifacts(self.run_id, str(path), folder)
        else:
            self.client.log_artifact(self.run_id, str(path), folder)

    def log_file(self, name: str, content: bytes) -> None:
        """Log a file that may lie anywhere: MLflow itself takes local ones only; its name may hold folders."""
        with TemporaryDirectory() as folder:
            copy = Path(folder, name)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)
            self.log_artifact(copy, str(Path(name).parent) if Path(name).parent.name else None)

    def log_dataset(self, source: str, digest: str, split: str, context: str) -> None:
        """Log a corpus as an input.

        Args:
            source: Where it lies.
            digest: Tells it from others.
            split: Which part was used.
            context: What for: ``training``, ``validation``.
        """
        data = Dataset(f"{Path(source).name}/{split}", digest, "local", json.dumps({"uri": source}))
        self.client.log_inputs(self.run_id, [DatasetInput(data, [InputTag("mlflow.data.context", context)])])

    def register_model(
        self, folder: str | Path, name: str, *, tags: Mapping[str, str] | None = None, description: str = ""
    ) -> str:
        """Make a model directory the newest version of a registered model, see `favchat.tracking.register_model`."""
        return register_model(self, folder, name, tags=tags, description=description)

    def end_children(self, status: str = "KILLED", *, not_failed: Collection[str] = ()) -> None:
        """End the runs below this one that are still marked as running: their processes are gone.

        Args:
            status: What they are marked as.
            not_failed: Names of runs that are marked so too where they call themselves failed.
        """
        client = self.client
        running, failed = map(RunStatus.to_string, (RunStatus.RUNNING, RunStatus.FAILED))
        query = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{self.run_id}'"
        for child in client.search_runs([self.experiment_id], query):
            info = child.info
            if info.status == running or (info.status == failed and info.run_name in not_failed):
                run = Run(self.uri, info.run_id, self.experiment_id)
                run.end_children(status)
                run.finish(status)

    def exists(self) -> bool:
        """Whether the store knows the run."""
        try:
            return self.client.get_run(self.run_id).info.lifecycle_stage == LifecycleStage.ACTIVE
        except MlflowException:
            return False

    def resume(self) -> None:
        """Mark a run that ended as running again."""
        self.client.update_run(self.run_id, RunStatus.to_string(RunStatus.RUNNING))

    def finish(self, status: str = "FINISHED") -> None:
        """End the run, as ``FINISHED``, ``FAILED`` or ``KILLED``."""
        self.client.set_terminated(self.run_id, status)


def status_of(error: BaseException) -> str:
    """What a run is marked as that ends with an error: ``KILLED`` where somebody stopped it, else ``FAILED``."""
    return "KILLED" if isinstance(error, KeyboardInterrupt | SystemExit) else "FAILED"


def start_run(
    config: TrackingConfig, name: str, tags: Mapping[str, str] | None = None, *, parent: Run | None = None
) -> Run:
    """Start a run, below `parent` or at the top.

    Called by the driver before any worker: creating an sqlite store from several processes at once breaks it.
    """
    if parent is not None:
        return parent.child(name)
    uri = tracking_uri(config)
    client = MlflowClient(tracking_uri=uri)
    return _begin(client, uri, experiment_id(client, uri, config.experiment), name, dict(tags or {}))


def training_name(out: Path) -> str:
    """What the run of a training that lies in `out` is called."""
    return f"train {out.name}"


def resumed_run(record: Path, config: TrackingConfig, begin: Callable[[], Run]) -> Run:
    """The run that a file names, marked as running again; a new one, written to that file, where there is none.

    So whoever goes on with interrupted work goes on with its run. Runs below it that a dead process left open are
    ended.

    Args:
        record: A JSON file in the folder of the work; the folder is made.
        config: Where runs are kept now; a run of another store is not taken up.
        begin: Starts a new run.
    """
    if record.is_file():
        run = Run(**json.loads(record.read_text()))
        if run.uri == tracking_uri(config) and run.exists():
            run.end_children()
            run.resume()
            return run
    run = begin()
    record.parent.mkdir(parents=True, exist_ok=True)
    write_text_whole(record, json.dumps(asdict(run), indent=2))
    return run


def _begin(client: MlflowClient, uri: str, experiment: str, name: str, tags: dict[str, str]) -> Run:
    """Every run says which code made it, where that is known, and in which Ray job."""
    revision, job = git_revision(), _ray_job()
    known = ({MLFLOW_GIT_COMMIT: revision} if revision else {}) | ({RAY_JOB: job} if job else {})
    run = client.create_run(experiment, tags={MLFLOW_RUN_NAME: name, **known, **tags}, run_name=name)
    return Run(uri, run.info.run_id, experiment)


def _ray_job() -> str | None:
    """The id of the Ray job that this process belongs to."""
    # Loaded by whoever uses it: runs are also begun where Ray is not needed.
    ray = sys.modules.get("ray")
    return str(ray.get_runtime_context().get_job_id()) if ray is not None and ray.is_initialized() else None
