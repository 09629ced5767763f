"""The whole configuration."""

from __future__ import annotations

from favchat.config.annotate import AnnotateConfig
from favchat.config.cluster import RayConfig
from favchat.config.data import DataConfig
from favchat.config.evaluation import EvaluationConfig
from favchat.config.model import ModelConfig
from favchat.config.pipeline import PipelineConfig
from favchat.config.section import Section
from favchat.config.serving import ServeConfig
from favchat.config.tracking import TrackingConfig
from favchat.config.training import TrainingConfig
from favchat.config.tune import TuneConfig


class Config(Section):
    """The whole configuration."""

    seed: int = 0
    data: DataConfig = DataConfig()
    annotate: AnnotateConfig = AnnotateConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    tune: TuneConfig = TuneConfig()
    serve: ServeConfig = ServeConfig()
    tracking: TrackingConfig = TrackingConfig()
    pipeline: PipelineConfig = PipelineConfig()
    ray: RayConfig = RayConfig()
