"""Where runs are kept."""

from __future__ import annotations

from favchat.config.section import Place, Section


class TrackingConfig(Section):
    """MLflow."""

    uri: Place | None = None
    """Tracking address; by default MLFLOW_TRACKING_URI, else a sqlite store in FAVCHAT_HOME."""
    experiment: str = "favchat"
    """Name of the experiment."""
    registered_model: str | None = None
    """Name in the model registry: the finished model becomes its newest version, the ``champion`` where it is
    the best so far, else the ``challenger``; null: models are not registered."""
