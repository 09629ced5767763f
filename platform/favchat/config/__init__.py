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
from favchat.config.loading import apply_override, flatten, known_keys, load, require, validate
from favchat.config.section import ConfigError, Section
from favchat.config.sections import (
    AdapterConfig,
    BackboneConfig,
    Config,
    ModelConfig,
    RayConfig,
    ServeConfig,
    StageConfig,
    TrackingConfig,
    TrainingConfig,
    TuneConfig,
)

__all__ = [
    "AdapterConfig",
    "AnnotateConfig",
    "BackboneConfig",
    "Bounds",
    "Config",
    "ConfigError",
    "DataConfig",
    "EndpointConfig",
    "FacesConfig",
    "FilterConfig",
    "FramesConfig",
    "ModelConfig",
    "QualityWeights",
    "RayConfig",
    "Section",
    "SelectionConfig",
    "ServeConfig",
    "SourceConfig",
    "StageConfig",
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
