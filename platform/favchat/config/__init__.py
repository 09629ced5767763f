"""The YAML configuration: one pydantic model per section, merged with ``section.key=value`` overrides by OmegaConf."""

from favchat.config.data import (
    AnnotateConfig,
    Bounds,
    DataConfig,
    FacesConfig,
    FilterConfig,
    FramesConfig,
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
    "FacesConfig",
    "FilterConfig",
    "FramesConfig",
    "ModelConfig",
    "RayConfig",
    "Section",
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
