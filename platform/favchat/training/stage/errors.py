"""Faults of a training that starting it again would only meet again."""

from __future__ import annotations

from favchat.errors import UserError


class TrainingError(UserError, RuntimeError):
    """A training ended; the message says why and what to do. Ray Train does not try again."""


class NonFiniteLossError(TrainingError):
    """Loss or gradients are no finite numbers; the message names the clips of the batch."""


class CheckpointError(TrainingError):
    """A checkpoint or a finished model could not be written; the last good checkpoint is still there."""
