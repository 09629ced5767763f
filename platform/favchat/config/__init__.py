"""The YAML configuration: one pydantic model per section, merged with ``section.key=value`` overrides by OmegaConf."""

from favchat.config.annotate import AnnotateConfig, EndpointConfig, QualityWeights, SelectionConfig
from favchat.config.cluster import RayConfig
from favchat.config.data import Bounds, DataConfig, FacesConfig, FilterConfig, FramesConfig, SourceConfig
from favchat.config.evaluation import AskedServerConfig, EvaluationConfig, JudgeConfig
from favchat.config.loading import apply_override, flatten, known_keys, load, require, validate
from favchat.config.model import AdapterConfig, BackboneConfig, LoraConfig, ModelConfig
from favchat.config.openai_server import ServerConfig
from favchat.config.optimizer import OptimisationConfig
from favchat.config.pipeline import PipelineConfig, ThresholdConfig
from favchat.config.section import Place, Section
from favchat.config.serving import ApiKeyConfig, ServeConfig
from favchat.config.stage_data import MixedSamplesConfig, SamplesConfig, StageDataConfig
from favchat.config.tracking import TrackingConfig
from favchat.config.training import StageConfig, TrainingConfig
from favchat.config.tune import DimensionConfig, SchedulerConfig, TuneConfig
from favchat.config.whole import Config
from favchat.errors import ConfigError

__all__ = [
    "AdapterConfig",
    "AnnotateConfig",
    "ApiKeyConfig",
    "AskedServerConfig",
    "BackboneConfig",
    "Bounds",
    "Config",
    "ConfigError",
    "DataConfig",
    "DimensionConfig",
    "EndpointConfig",
    "EvaluationConfig",
    "FacesConfig",
    "FilterConfig",
    "FramesConfig",
    "JudgeConfig",
    "LoraConfig",
    "MixedSamplesConfig",
    "ModelConfig",
    "OptimisationConfig",
    "PipelineConfig",
    "Place",
    "QualityWeights",
    "RayConfig",
    "SamplesConfig",
    "SchedulerConfig",
    "Section",
    "SelectionConfig",
    "ServeConfig",
    "ServerConfig",
    "SourceConfig",
    "StageConfig",
    "StageDataConfig",
    "ThresholdConfig",
    "TrackingConfig",
    "TrainingConfig",
    "TuneConfig",
    "apply_override",
    "flatten",
    "known_keys",
    "load",
    "require",
    "validate",
]
