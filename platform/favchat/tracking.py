"""MLflow: where runs are kept, a run's metrics, parameters and artifacts, and the registry of finished models."""

from __future__ import annotations

import json
import logging
import os
import queue
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from filelock import FileLock
from mlflow.artifacts import download_artifacts
from mlflow.entities import Dataset, DatasetInput, InputTag, LifecycleStage, Metric, Param, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT, MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME
from mlflow.utils.time import get_current_time_millis
from mlflow.utils.uri import is_local_uri

from favchat.backbones import assets
from favchat.config import Config, ConfigError, TrackingConfig, flatten
from favchat.io.files import link_or_copy, write_text_whole

logger = logging.getLogger(__name__)

T = TypeVar("T")

CHAMPION = "champion"
"""Alias of the best version of a registered model."""
CHALLENGER = "challenger"
"""Alias of the newest version that has not become the champion."""
METRIC = "metric"
"""Tag of a version: the name of the metric, itself a tag, by which versions are compared; smaller is better."""
DATA = "data_digest"
"""Tag of a version: which corpus that was measured on."""


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
        return _create(self.client, self.uri, self.experiment_id, name, {MLFLOW_PARENT_RUN_ID: self.run_id})

    def log_params(self, settings: Mapping[str, Any]) -> None:
        """Log a nested mapping as dotted parameters."""
        params = [Param(key, str(value)) for key, value in flatten(settings).items()]
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
        """Log a model directory and make it the newest version of a registered model.

        It becomes the champion where it is better than the one before on the metric that both have recorded, on the
        same data, or where that has recorded none; else the challenger. The log says why.

        Args:
            folder: The model.
            name: Of the registered model.
            tags: Of the version; ``metric`` names the one by which versions are compared.
            description: Of the version.

        Returns:
            The version's name, such as ``models:/favchat-nano/3``.
        """
        client, tags = self.client, dict(tags or {})
        self._log_model(Path(folder))
        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = f"{client.get_run(self.run_id).info.artifact_uri}/model"
        version = client.create_model_version(
            name, source, run_id=self.run_id, tags=tags, description=description
        ).version
        alias, reason = _rank(client, name, tags)
        client.set_registered_model_alias(name, alias, version)
        logger.warning("models:/%s/%s is the %s: %s", name, version, alias, reason)
        return f"models:/{name}/{version}"

    def _log_model(self, folder: Path) -> None:
        """Log a model as ``model``; files of the same disk are linked, so that weights are not stored twice."""
        uri = self.client.get_run(self.run_id).info.artifact_uri
        if not is_local_uri(uri):
            self.log_artifact(folder, "model")
            return
        target = Path(local_file_uri_to_path(uri)) / "model"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(folder, target, copy_function=link_or_copy, dirs_exist_ok=True)

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


class BackgroundLog:
    """Writes to a run from a thread of its own: a store that is slow or gone holds nobody up.

    What could not be written is tried again, ever more seldom, until the log is closed; then it is given up with a
    warning.
    """

    def __init__(self, run: Run, *, limit: int = 100_000):
        self._run = run
        self._todo: queue.Queue[Callable[[], None] | None] = queue.Queue(maxsize=limit)
        self._closing = threading.Event()
        self._failing = False
        self._lost = 0
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Log the values of one step."""
        now, values = get_current_time_millis(), dict(values)
        self._add(lambda: self._run.log_metrics(values, step, now))

    def log_file(self, name: str, content: bytes) -> None:
        """Log a file; its name may hold folders."""
        self._add(lambda: self._run.log_file(name, content))

    def log_table(self, name: str, columns: Mapping[str, list[Any]]) -> None:
        """Add rows to a table, a JSON file that MLflow shows as one."""
        rows = {key: list(values) for key, values in columns.items()}
        self._add(lambda: self._run.client.log_table(self._run.run_id, rows, name))

    def close(self) -> None:
        """Write what is left, for half a minute at most, or a few seconds where the store already fails."""
        patience = 5.0 if self._failing else 30.0
        self._closing.set()
        deadline = time.monotonic() + patience
        try:
            self._todo.put(None, timeout=patience)
        except queue.Full:
            self._lost += 1
        self._thread.join(max(0.0, deadline - time.monotonic()))
        lost = self._lost + self._todo.qsize() + self._thread.is_alive()
        if lost:
            logger.warning("%s: %d records of run %s could not be written", self._run.uri, lost, self._run.run_id)

    def _add(self, work: Callable[[], None]) -> None:
        try:
            self._todo.put_nowait(work)
        except queue.Full:
            self._lost += 1

    def _work(self) -> None:
        wait = 1.0
        while (work := self._todo.get()) is not None:
            while True:
                try:
                    work()
                    self._failing, wait = False, 1.0
                    break
                except Exception as error:  # whatever the store's client raises must not end the training
                    if not self._failing:
                        logger.warning("%s does not take what is logged, training goes on: %s", self._run.uri, error)
                    self._failing = True
                    if self._closing.is_set():
                        self._lost += 1
                        break
                    self._closing.wait(wait)
                    wait = min(60.0, 2 * wait)


def attempt(doing: str, work: Callable[[], T]) -> T | None:
    """Do something with the store that nobody needs to go on; where it fails, warn and return None."""
    try:
        return work()
    except (MlflowException, OSError) as error:
        logger.warning("%s: %s", doing, error)
        return None


def status_of(error: BaseException) -> str:
    """What a run is marked as that ends with an error: ``KILLED`` where somebody stopped it, else ``FAILED``."""
    return "KILLED" if isinstance(error, KeyboardInterrupt | SystemExit) else "FAILED"


def start_run(config: TrackingConfig, name: str, tags: Mapping[str, str] | None = None) -> Run:
    """Start a top-level run.

    Called by the driver before any worker: creating an sqlite store from several processes at once breaks it. The run
    is tagged with the code's git revision where that is known.
    """
    uri = tracking_uri(config)
    client = MlflowClient(tracking_uri=uri)
    revision = git_revision()
    known = {MLFLOW_GIT_COMMIT: revision} if revision else {}
    return _create(client, uri, _experiment(client, uri, config.experiment), name, known | dict(tags or {}))


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


def tracking_uri(config: TrackingConfig) -> str:
    """The store's address: the setting, else MLFLOW_TRACKING_URI, else an sqlite file below FAVCHAT_HOME."""
    return config.uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{_local_store() / 'mlflow.db'}"


def resolve_model(name: str, config: TrackingConfig | None = None) -> Path:
    """The directory of a registered model, which is downloaded once where the store lies on another machine.

    Args:
        name: ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``.
        config: Which store; by default the one of `tracking_uri`.

    Raises:
        ConfigError: The name has another form, or the registry has no such model.
    """
    found = re.fullmatch(r"models:/([^/@]+)(?:@([^/@]+)|/(\d+))", name)
    if not found:
        raise ConfigError(f"{name}: a registered model is called models:/NAME@ALIAS or models:/NAME/VERSION")
    model, alias, number = found.groups()
    uri = tracking_uri(config or TrackingConfig())
    client = MlflowClient(tracking_uri=uri)
    try:
        version = client.get_model_version_by_alias(model, alias) if alias else client.get_model_version(model, number)
        source = client.get_model_version_download_uri(model, version.version)
    except MlflowException as error:
        there = ", ".join(known.name for known in client.search_registered_models()) or "none"
        raise ConfigError(
            f"{name}: no such model in the registry at {uri} ({error.message}); registered models: {there}"
        ) from error
    if is_local_uri(source):
        local = Path(local_file_uri_to_path(source))
        if not local.is_dir():
            raise ConfigError(f"{name}: its directory {local} is gone")
        return local
    target = assets.home() / "models" / f"{model}-{version.version}-{version.run_id}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f"{target.name}.lock")):
        if not target.is_dir():
            with tempfile.TemporaryDirectory(dir=target.parent) as partial:
                os.replace(download_artifacts(artifact_uri=source, dst_path=partial, tracking_uri=uri), target)
    return target


def git_revision() -> str | None:
    """The commit of the checkout that this code runs from, with ``-dirty`` where files differ from it.

    ``FAVCHAT_REVISION`` names it for code that was shipped without its checkout; None where nothing is known.
    """
    shipped = os.environ.get("FAVCHAT_REVISION")
    if shipped:
        return shipped
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        # Installed into a virtual environment, this file may lie in another project's checkout, but not tracked by it.
        subprocess.run([*git, "ls-files", "--error-unmatch", Path(__file__).name], capture_output=True, check=True)
        # No tag has this name, so that the description is always the commit.
        words = ["describe", "--always", "--abbrev=40", "--dirty", "--match", "favchat-no-tag"]
        return subprocess.run([*git, *words], capture_output=True, check=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _rank(client: MlflowClient, name: str, tags: Mapping[str, str]) -> tuple[str, str]:
    """The alias of a new version, and why."""
    try:
        held = client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException:
        return CHAMPION, "there was none"
    metric, before = tags.get(METRIC), held.tags
    champion = f"version {held.version}"
    if before.get(METRIC) is None:
        return CHAMPION, f"{champion} has recorded no metric"
    if metric is None:
        return CHALLENGER, f"it has recorded no metric, and {champion} has {before[METRIC]}"
    if metric != before[METRIC]:
        return CHALLENGER, f"its {metric} cannot be compared with the {before[METRIC]} of {champion}"
    if tags.get(DATA) != before.get(DATA):
        return CHALLENGER, f"its {metric} was measured on other data than that of {champion}"
    mine, theirs = float(tags[metric]), float(before[metric])
    better = mine < theirs
    return CHAMPION if better else CHALLENGER, f"{metric} {mine:.4f} against {theirs:.4f} of {champion}"


def _experiment(client: MlflowClient, uri: str, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    # By default an sqlite store puts artifacts into the working directory of whoever runs it.
    database = uri.removeprefix("sqlite:///")
    place = (Path(database).absolute().parent / "artifacts").as_uri() if database != uri else None
    try:
        return str(client.create_experiment(name, artifact_location=place))
    except MlflowException:
        # Another driver was faster.
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return str(found.experiment_id)


def _create(client: MlflowClient, uri: str, experiment_id: str, name: str, tags: dict[str, str]) -> Run:
    run = client.create_run(experiment_id, tags={MLFLOW_RUN_NAME: name, **tags}, run_name=name)
    return Run(uri, run.info.run_id, experiment_id)


def _local_store() -> Path:
    folder = assets.home() / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
