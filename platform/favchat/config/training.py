"""The curriculum: its stages and how they are run."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from favchat.config.optimizer import OptimisationConfig
from favchat.config.section import Place, Section
from favchat.config.stage_data import StageDataConfig


class StageConfig(OptimisationConfig, StageDataConfig):
    """One stage of the curriculum."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    """Names the stage's folder and its MLflow child run."""
    # Not kept: a stage that is left out is gone from the resolved configuration, and so of those there it says nothing.
    enabled: bool = Field(default=True, exclude=True)
    """``false``: the stage is left out, as if it did not stand there. So a preset may offer one that is not always
    wanted."""


class TrainingConfig(Section):
    """The staged curriculum on Ray Train with DeepSpeed."""

    out: Place | None = None
    """Folder of the run: ``model/`` is the result, ``stages/NAME/`` each stage's model."""
    init: Place | None = None
    """A trained model to start from in place of the ``model`` section's: a directory, a hub name,
    ``models:/NAME@ALIAS`` or ``asset:favchat-nano``."""
    split: str = "train"
    """The split that is trained on."""
    val_split: str = "val"
    """The split that ``val_loss`` is measured on, where the corpus has it."""
    val_batches: int = Field(default=4, ge=0)
    """Batches of held-out samples that one validation takes, always the same ones; 0: no validation."""
    val_answers: int = Field(default=10, ge=0)
    """Held-out questions that the model answers at each validation, always the same ones; MLflow keeps a table."""
    val_answer_tokens: int = Field(default=64, ge=1)
    """Longest of those answers, in tokens."""
    reports: int = Field(default=1, ge=1)
    """How often a stage validates and reports to Ray Train, evenly over its steps and at its end, where the stage has
    no ``validate_every``."""
    checkpoint_every: int = Field(default=100, ge=1)
    """Steps between checkpoints, from which a stage goes on after a worker's death or in the next run."""
    keep: int = Field(default=2, ge=1)
    """Checkpoints that a running stage keeps; a finished one keeps its model alone."""
    max_failures: int = Field(default=3, ge=0)
    """How often Ray Train starts a stage's workers again after one of them, or its node, has died."""
    compile: bool = False
    """Whether the adapter runs through ``torch.compile``."""
    num_workers: int = Field(default=1, ge=1)
    """Training processes."""
    use_gpu: bool = False
    """Whether each worker takes a GPU."""
    threads: int | None = Field(default=None, ge=1)
    """Torch threads a worker; by default the CPUs that it may use (affinity, container's limit, Ray's) divided by the
    workers on its machine."""
    stages: list[StageConfig] = []
    """The curriculum, in order."""

    @field_validator("stages")
    @classmethod
    def _leave_out(cls, stages: list[StageConfig]) -> list[StageConfig]:
        return [stage for stage in stages if stage.enabled]

    @model_validator(mode="after")
    def _batches_divide(self) -> TrainingConfig:
        for stage in self.stages:
            if stage.tokens is None and stage.batch_size % (self.num_workers * stage.accumulate):
                times = f" times accumulate = {stage.accumulate}" if stage.accumulate > 1 else ""
                raise ValueError(
                    f"stage '{stage.name}': batch_size = {stage.batch_size} does not divide by "
                    f"num_workers = {self.num_workers}{times}"
                )
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"two stages share a name: {', '.join(names)}")
        return self
