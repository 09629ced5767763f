"""MLflow: where runs are kept, a run's metrics, parameters and artifacts, and the registry of finished models."""

from favchat.tracking.background_log import BackgroundLog
from favchat.tracking.registry import CHALLENGER, CHAMPION, DATA, METRIC, WEIGHTS, register_model, resolve_model
from favchat.tracking.runs import RAY_JOB, Run, resumed_run, start_run, status_of, training_name
from favchat.tracking.store import attempt, create_store, tracking_uri

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "DATA",
    "METRIC",
    "RAY_JOB",
    "WEIGHTS",
    "BackgroundLog",
    "Run",
    "attempt",
    "create_store",
    "register_model",
    "resolve_model",
    "resumed_run",
    "start_run",
    "status_of",
    "tracking_uri",
    "training_name",
]
