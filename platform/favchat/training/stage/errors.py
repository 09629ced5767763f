"""Errors of a training that a restart would only reproduce."""

from __future__ import annotations

from favchat.errors import UserError


class TrainingError(UserError, RuntimeError):
    """A training failed; the message says why and what to do. Ray Train does not retry."""


class NonFiniteLossError(TrainingError):
    """Loss or gradients are not finite; the message names the clips of the batch."""


class CheckpointError(TrainingError):
    """A checkpoint or a finished model could not be written; the last good checkpoint is still there."""
