"""The YAML configuration: one pydantic model per section, merged with ``section.key=value`` overrides by OmegaConf."""

from favchat.config.data import (
    AnnotateConfig,
    Bounds,
    DataConfig,
    EndpointConfig,
    FacesConfig,
    FilterConfig,
    FramesConfig,
    QualityWeights,
    SelectionConfig,
    SourceConfig,
)
from favchat.config.evaluation import AskedServerConfig, EvaluationConfig, JudgeConfig
from favchat.config.loading import apply_override, flatten, known_keys, load, require, validate
from favchat.config.openai_server import ServerConfig
from favchat.config.optimizer import OptimisationConfig
from favchat.config.section import Place, Section
from favchat.config.sections import (
    AdapterConfig,
    BackboneConfig,
    Config,
    LoraConfig,
    ModelConfig,
    RayConfig,
    ServeConfig,
    StageConfig,
    TrackingConfig,
    TrainingConfig,
)
from favchat.config.serving import ApiKeyConfig
from favchat.config.stage_data import MixedSamplesConfig, SamplesConfig, StageDataConfig
from favchat.config.tune import DimensionConfig, SchedulerConfig, TuneConfig
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
