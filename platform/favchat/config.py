"""The YAML configuration: one pydantic model per section, merged with ``section.key=value`` overrides by OmegaConf."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from yaml import YAMLError

from favchat.data.splits import check_fractions


class ConfigError(ValueError):
    """A setting that cannot be used; the message names the key and, where there is one, the nearest right key."""


class Section(BaseModel):
    """A section of the configuration: unknown keys are refused, every field has a docstring."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, validate_default=True)


class SourceConfig(Section):
    """Where the clips come from."""

    kind: Literal[
        "folder",
        "manifest",
        "celebv_hq",
        "celebv_text",
        "dfew",
        "mafw",
        "ferv39k",
        "youtube_faces",
        "hmdb51",
    ] = "folder"
    """What lies at ``path``; docs/sources.md shows the layout of each kind."""
    path: str | None = None
    """The dataset's folder; for ``folder`` also one video file or a pattern such as ``VIDEOS/**/*.mp4``, for
    ``manifest`` the CSV, JSON Lines or Parquet file. These two may lie at any address that fsspec opens."""
    annotations: str | None = None
    """The annotation JSON of ``celebv_hq`` (needed) or ``celebv_text``; other kinds have none."""
    fold: int = Field(default=1, ge=1, le=5)
    """Which of the five folds of ``dfew`` or ``mafw`` tells train from test."""


class FramesConfig(Section):
    """Which frames of a clip are kept, and how large."""

    fps: float = Field(default=8.0, gt=0)
    """Sampled frames a second."""
    max_frames: int = Field(default=32, ge=1)
    """At most this many frames a clip; a longer clip is sampled uniformly."""
    decode_side: int = Field(default=640, ge=32)
    """Longest side in pixels at which frames are decoded and faces detected and cut out."""
    side: int = Field(default=256, ge=32)
    """Longest side in pixels of the stored frames."""


class FacesConfig(Section):
    """How the main face is found, followed and cut out."""

    min_score: float = Field(default=0.5, gt=0, lt=1)
    """Detections below this score are not used."""
    min_share: float = Field(default=0.3, ge=0, le=1)
    """A clip with a face in a smaller share of its frames goes to the rejects."""
    max_tracks: int = Field(default=1, ge=1)
    """Faces of a clip that become rows of their own; 1: the main face alone. Where the source gives a face's box, that
    face is the only one."""
    size: int = Field(default=160, ge=32)
    """Side of the square aligned face crops, in pixels."""
    margin: float = Field(default=0.1, ge=0, le=2)
    """By what share the crop is wider than ArcFace's; see docs/choices.md."""


class Bounds(Section):
    """What a measure may be; null: no bound."""

    min: float | None = None
    """Clips below are dropped."""
    max: float | None = None
    """Clips above are dropped."""

    @model_validator(mode="after")
    def _in_order(self) -> Bounds:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min = {self.min:g} is more than max = {self.max:g}")
        return self


class FilterConfig(Section):
    """Bounds of the measures of a clip's quality, see docs/data-format.md; what lies outside goes to the rejects."""

    face_share: Bounds = Bounds()
    """Share of the sampled frames with the face, 0..1."""
    score: Bounds = Bounds()
    """Mean score of the detections, 0..1."""
    face_size: Bounds = Bounds()
    """Shorter side of the face's box in pixels of the video, median."""
    sharpness: Bounds = Bounds()
    """Variance of the Laplacian of the face crops, median; it depends on ``faces.size``."""
    yaw: Bounds = Bounds()
    """Degrees by which the head is turned, median; positive towards the right of the image."""
    pitch: Bounds = Bounds()
    """Degrees by which the head is raised, median; positive up."""
    roll: Bounds = Bounds()
    """Degrees by which the head is tilted, median; positive clockwise."""
    brightness: Bounds = Bounds()
    """Mean luma of the face crops, 0..255."""


class DataConfig(Section):
    """From videos to shards."""

    source: SourceConfig = SourceConfig()
    out: str | None = None
    """Folder of the corpus: ``shards/``, ``rejects/`` and ``annotations/`` lie below it."""
    splits: dict[str, float] = {"train": 1.0}
    """Split -> its share, summing to 1, for sources that name no splits: drawn from a hash of ``seed`` and the clip's
    identity (where unknown, its id), so adding clips changes no other's. Sources that name splits keep theirs."""
    frames: FramesConfig = FramesConfig()
    faces: FacesConfig = FacesConfig()
    cuts: Literal["keep_longest", "reject", "ignore"] = "keep_longest"
    """A clip with a shot cut inside is cut down to its longest shot, goes to the rejects, or is not looked at."""
    filters: FilterConfig = FilterConfig()
    jpeg_quality: int = Field(default=95, ge=1, le=100)
    """Quality of the JPEG images in the shards."""
    clips_per_shard: int = Field(default=64, ge=1)
    """Rows a Parquet file holds at most."""
    workers: int | None = Field(default=None, ge=1)
    """Detector actors; by default one a free CPU."""
    seconds_per_clip: float = Field(default=300, gt=0)
    """A clip that takes longer hangs: it is tried again and then rejected."""

    @field_validator("splits")
    @classmethod
    def _shares_sum_to_one(cls, shares: dict[str, float]) -> dict[str, float]:
        check_fractions(shares)
        return shares


class AnnotateConfig(Section):
    """From attributes to summaries and questions."""

    questions_per_clip: int = Field(default=12, ge=1)
    """At most this many questions a clip."""
    summaries_per_clip: int = Field(default=2, ge=1)
    """Differently worded summaries a clip."""


class BackboneConfig(Section):
    """A pretrained or a randomly initialised transformers model."""

    pretrained: str | None = None
    """``asset:NAME`` (an embedded default, see ``favchat assets``), a local directory or a hub name."""
    config: dict[str, Any] | None = None
    """A transformers configuration with its ``model_type``, for random weights."""

    @model_validator(mode="after")
    def _one_of_both(self) -> BackboneConfig:
        if (self.pretrained is None) == (self.config is None):
            raise ValueError("give either 'pretrained' (asset:NAME, a directory or a hub name) or 'config', not both")
        return self


class AdapterConfig(Section):
    """The mixture-of-experts adapter that fuses the general and the face stream."""

    hidden_size: int = Field(default=384, ge=8)
    """Width of the tokens inside the adapter."""
    num_experts: int = Field(default=4, ge=1)
    """Experts a layer; 1 is the dense baseline."""
    top_k: int = Field(default=2, ge=1)
    """Experts each visual token is sent to."""
    expert_size: int = Field(default=512, ge=8)
    """Width of the hidden layer of one SwiGLU expert."""
    num_layers: int = Field(default=1, ge=1)
    """Expert layers, one after the other."""
    vision_grid: int = Field(default=2, ge=1)
    """The general stream gives ``vision_grid`` x ``vision_grid`` tokens a frame."""
    face_grid: int = Field(default=2, ge=1)
    """The face stream gives ``face_grid`` x ``face_grid`` tokens a frame."""
    face_levels: list[int] | None = None
    """Which hidden states of the face encoder are used, shallow to deep, by index (negative from the end); null: all
    that it has."""
    inject_levels: bool = True
    """Whether the shallower face levels are also added to the first decoder layers' hidden states."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the visual tokens."""
    balance_weight: float = Field(default=0.01, ge=0)
    """Weight of the load-balancing loss."""
    z_weight: float = Field(default=0.001, ge=0)
    """Weight of the router z-loss."""

    @model_validator(mode="after")
    def _top_k_fits(self) -> AdapterConfig:
        if self.top_k > self.num_experts:
            raise ValueError(f"top_k = {self.top_k} is more than num_experts = {self.num_experts}")
        return self


class ModelConfig(Section):
    """The model: two encoders, the adapter, the language model."""

    text: BackboneConfig = BackboneConfig(pretrained="asset:smollm2-135m-instruct")
    """The causal language model."""
    vision: BackboneConfig = BackboneConfig(pretrained="asset:mobilenet-v2")
    """The general visual encoder, which sees the frames."""
    face: BackboneConfig = BackboneConfig(pretrained="asset:face-trunks")
    """The face encoder, which sees the aligned faces."""
    adapter: AdapterConfig = AdapterConfig()
    image_size: int = Field(default=224, ge=32)
    """Side in pixels to which frames are padded and scaled for the general encoder."""
    num_frames: int = Field(default=8, ge=1)
    """Frames of a clip that the model sees, picked uniformly."""


class StageConfig(Section):
    """One stage of the curriculum."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    """Names the stage's folder and its MLflow child run."""
    task: Literal["summary", "qa"]
    """Which annotations it trains on."""
    trainable: list[str] = ["adapter"]
    """Modules that learn: ``adapter``, ``vision_model``, ``face_model``, ``language_model``, or a module inside one of
    them, such as ``language_model.layers.29``."""
    steps: int = Field(default=100, ge=1)
    """Optimiser steps."""
    batch_size: int = Field(default=8, ge=1)
    """Samples a step, over all workers."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Peak of the learning rate: linear warm-up, then a cosine down to a tenth of it."""
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps that warm up."""
    weight_decay: float = Field(default=0.01, ge=0)
    """AdamW's weight decay."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are clipped to this norm."""
    deepspeed: dict[str, Any] = {"zero_optimization": {"stage": 0}}
    """Handed to DeepSpeed as it is; batch size, clipping and optimiser come from the keys above."""

    @field_validator("trainable")
    @classmethod
    def _parts_exist(cls, names: list[str]) -> list[str]:
        for name in names:
            if name.split(".")[0] not in MODEL_PARTS:
                raise ValueError(f"'{name}' is no part of the model; its parts are {', '.join(MODEL_PARTS)}")
        return names


MODEL_PARTS = ("adapter", "vision_model", "face_model", "language_model")


class TrainingConfig(Section):
    """The staged curriculum on Ray Train with DeepSpeed."""

    out: str | None = None
    """Folder of the run: ``model/`` is the result, ``stages/NAME/`` each stage's model."""
    init: str | None = None
    """A FaVChat model directory to start from in place of the ``model`` section's backbones."""
    split: str = "train"
    """The split that is trained on."""
    val_split: str = "val"
    """The split that ``val_loss`` is measured on, where the corpus has it."""
    val_batches: int = Field(default=4, ge=0)
    """Batches of held-out samples that one validation takes, always the same ones; 0: no validation."""
    reports: int = Field(default=1, ge=1)
    """How often a stage validates and reports to Ray Train, evenly over its steps and at its end."""
    num_workers: int = Field(default=1, ge=1)
    """Training processes."""
    use_gpu: bool = False
    """Whether each worker takes a GPU."""
    threads: int | None = Field(default=None, ge=1)
    """Torch threads a worker; by default the machine's cores divided by the workers."""
    stages: list[StageConfig] = []
    """The curriculum, in order."""

    @model_validator(mode="after")
    def _batches_divide(self) -> TrainingConfig:
        for stage in self.stages:
            if stage.batch_size % self.num_workers:
                raise ValueError(
                    f"stage '{stage.name}': batch_size = {stage.batch_size} does not divide by "
                    f"num_workers = {self.num_workers}"
                )
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"two stages share a name: {', '.join(names)}")
        return self


class ServeConfig(Section):
    """The HTTP API of a trained model on Ray Serve."""

    model: str | None = None
    """The model to serve: a directory (``training.out/model``), a hub name or ``models:/NAME@ALIAS``."""
    name: str = Field(default="favchat", min_length=1)
    """What clients call the model."""
    host: str = "127.0.0.1"
    """Address the API listens on; 0.0.0.0 opens it to the network. There is no authentication."""
    port: int = Field(default=8000, ge=1, le=65535)
    """Port the API listens on."""
    store: str | None = None
    """Folder of uploads, decoded clips and visual tokens; on several machines it must be shared by all. By default a
    temporary folder that ``favchat serve`` removes when it ends."""
    max_videos: int = Field(default=64, ge=1)
    """Videos kept in the store and in the engine; of those that are no uploaded file, the one unused for longest goes
    first."""
    max_body_mb: float = Field(default=64.0, gt=0)
    """Largest request body in megabytes; a video in a ``data:`` address takes a third more than its file."""
    max_duration: float = Field(default=300.0, gt=0)
    """Longest video in seconds."""
    max_side: int = Field(default=4096, ge=32)
    """Largest width or height of a video in pixels."""
    media_timeout: float = Field(default=120.0, gt=0)
    """Seconds after which the decoding of a video is given up."""
    max_new_tokens: int = Field(default=512, ge=1)
    """Longest answer in tokens that a request may ask for."""
    max_ongoing_requests: int = Field(default=16, ge=1)
    """Answers that one engine replica writes at once."""
    max_queued_requests: int = Field(default=32, ge=1)
    """Requests that wait for each deployment; what comes beyond is answered with 503."""
    cache_tokens: int = Field(default=16384, ge=256)
    """Tokens whose keys and values one engine replica holds; prompts share what they have in common."""
    encoder_batch: int = Field(default=8, ge=1)
    """Videos that the encoders see at once."""
    media_replicas: int = Field(default=1, ge=1)
    """Processes that decode and find faces."""
    encoder_replicas: int = Field(default=1, ge=1)
    """Processes that run the encoders and the adapter."""
    engine_replicas: int = Field(default=1, ge=1)
    """Processes that run the language model."""
    cpus_per_replica: float = Field(default=0.1, gt=0)
    """CPUs that Ray sets aside for each process; it does not limit what they use."""
    use_gpu: bool = False
    """Whether encoder and engine run on a GPU: a quarter of one for each encoder, three quarters for each engine."""
    threads: int | None = Field(default=None, ge=1)
    """Torch threads of each process; by default the machine's cores."""


class AshaConfig(Section):
    """Asynchronous successive halving, arXiv 1810.05934: poor trials of a sweep are stopped early."""

    grace_period: int = Field(default=2, ge=1)
    """No trial is stopped before this many reports; ``tune.reports`` of them make a stage."""
    reduction_factor: float = Field(default=3, gt=1)
    """Of the trials that come to a rung one in so many goes on."""


class TuneConfig(Section):
    """A sweep over the adapter's expert counts with Ray Tune."""

    out: str | None = None
    """Folder of the sweep: ``best.yaml``, ``results.csv`` and ``quality.png`` are the result."""
    search: Literal["grid", "optuna"] = "grid"
    """``grid``: every combination once. ``optuna``: ``num_samples`` of them, chosen by Optuna's TPE sampler."""
    num_experts: list[int] = Field(default=[2, 4], min_length=1)
    """Choices of ``model.adapter.num_experts``."""
    top_k: list[int] = Field(default=[1, 2], min_length=1)
    """Choices of ``model.adapter.top_k``; combinations with more than ``num_experts`` are left out."""
    num_samples: int = Field(default=8, ge=1)
    """Trials of ``search=optuna``."""
    max_concurrent: int = Field(default=1, ge=1)
    """Trials that run at once."""
    reports: int = Field(default=4, ge=1)
    """How often a stage of a trial reports, in place of ``training.reports``."""
    metric: Literal["val_loss", "language_loss"] | None = None
    """What is to be small at the end of the last stage: ``val_loss``, the mean loss a token of held-out answers, or
    ``language_loss``, that of the last steps' training answers; by default the first where the corpus has a
    ``training.val_split``, else the second."""
    asha: AshaConfig | None = None
    """Stops poor trials early; null: every trial runs to its end."""

    @model_validator(mode="after")
    def _something_fits(self) -> TuneConfig:
        if min(self.num_experts) < 1 or min(self.top_k) < 1:
            raise ValueError("num_experts and top_k must be 1 or more")
        if min(self.top_k) > max(self.num_experts):
            raise ValueError(
                f"no combination fits: the smallest top_k = {min(self.top_k)} is more than the largest "
                f"num_experts = {max(self.num_experts)}"
            )
        return self


class TrackingConfig(Section):
    """MLflow."""

    uri: str | None = None
    """Tracking address; by default MLFLOW_TRACKING_URI, else a sqlite store in FAVCHAT_HOME."""
    experiment: str = "favchat"
    """Name of the experiment."""
    registered_model: str | None = None
    """Name in the model registry: the finished model becomes its newest version, with the alias ``champion``; null:
    models are not registered."""


class RayConfig(Section):
    """How a Ray cluster is reached or started."""

    address: str | None = None
    """Address of a running cluster; by default RAY_ADDRESS, else a local one is started."""
    num_cpus: int | None = Field(default=None, ge=1)
    """CPUs of a local cluster; by default all."""


class Config(Section):
    """The whole configuration."""

    seed: int = 0
    data: DataConfig = DataConfig()
    annotate: AnnotateConfig = AnnotateConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    tune: TuneConfig = TuneConfig()
    serve: ServeConfig = ServeConfig()
    tracking: TrackingConfig = TrackingConfig()
    ray: RayConfig = RayConfig()


def load(path: str | Path, overrides: list[str] | None = None) -> Config:
    """Read a YAML file, merge ``section.key=value`` overrides into it and validate the whole.

    Args:
        path: The YAML file; an empty file stands for the defaults.
        overrides: Settings such as ``training.num_workers=2``, the later ones winning.

    Raises:
        ConfigError: The file is missing or is no YAML mapping, or a key, a type or a value is wrong. All faults are
            named at once.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"{path}: no such configuration file")
    try:
        loaded = OmegaConf.load(path)
    except (YAMLError, UnicodeDecodeError, OmegaConfBaseException) as error:
        raise ConfigError(f"{path}: not a YAML file: {error}") from error
    if isinstance(loaded, ListConfig):
        raise ConfigError(f"{path}: a configuration is a mapping of sections, this file holds a list")
    for word in overrides or []:
        apply_override(loaded, word)
    return validate(loaded, str(path))


def apply_override(settings: DictConfig, word: str) -> None:
    """Set one ``section.key=value`` in place.

    The value is read as YAML; an index reaches into a list (``training.stages.0.steps=3``).

    Raises:
        ConfigError: The word is not of that form, or the key leads through something that is no section.
    """
    key, sign, _ = word.partition("=")
    if not sign or not all(key.split(".")):
        raise ConfigError(f"'{word}' is not a setting: write section.key=value, such as training.num_workers=2")
    try:
        value = OmegaConf.from_dotlist([word.replace(key, "value", 1)])["value"]
        OmegaConf.update(settings, key, value, force_add=True)
    except (YAMLError, OmegaConfBaseException, IndexError, TypeError, ValueError) as error:
        raise ConfigError(f"'{word}' cannot be set: {error}") from error


def validate(settings: DictConfig, origin: str) -> Config:
    """Check merged settings against the schema; ``origin`` names them in the error.

    Raises:
        ConfigError: One line a fault, with the full key and, for an unknown key, the nearest one that exists.
    """
    try:
        values = OmegaConf.to_container(settings, resolve=True)
        return Config.model_validate(values)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{origin}: {error}") from error
    except ValidationError as error:
        faults = [_describe(fault) for fault in error.errors()]
        raise ConfigError("\n".join([f"{origin}: {len(faults)} setting(s) cannot be used", *faults])) from error


def require(config: Config, *keys: str) -> list[Any]:
    """The values of settings that a command cannot do without.

    Raises:
        ConfigError: One of the dotted ``keys`` is null.
    """
    values: list[Any] = []
    for key in keys:
        value: Any = config
        for part in key.split("."):
            value = getattr(value, part)
        values.append(value)
    missing = [key for key, value in zip(keys, values, strict=True) if value is None]
    if missing:
        raise ConfigError("this command needs " + " and ".join(f"{key}=..." for key in missing))
    return values


def known_keys(section: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    """Every dotted key of the schema, sections included; ``*`` stands for an index of a list."""
    keys = []
    for name, field in section.model_fields.items():
        keys.append(prefix + name)
        annotation: Any = field.annotation
        index = "*." if get_origin(annotation) is list else ""
        for part in (annotation, *get_args(annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                keys += known_keys(part, f"{prefix}{name}.{index}")
    return keys


def _describe(fault: Any) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        near = _nearest(key)
        return f"  {key}: no such setting" + (f"; did you mean {near}?" if near else "")
    message = fault["msg"].removeprefix("Value error, ")
    value = fault["input"]
    shown = "" if isinstance(value, dict | list) or fault["type"] == "missing" else f" (it is {value!r})"
    return f"  {key}: {message}{shown}"


def _nearest(key: str) -> str | None:
    """The known key that comes closest: among the neighbours in its section, else by its last word anywhere."""
    parts = ["*" if part.isdigit() else part for part in key.split(".")]
    known = known_keys()
    section = ".".join(parts[:-1])
    siblings = [k for k in known if k.rpartition(".")[0] == section]
    close = difflib.get_close_matches(".".join(parts), siblings, n=1, cutoff=0.75)
    if close:
        return close[0]
    last = parts[-1]
    by_word = {k.rpartition(".")[2]: k for k in reversed(known)}
    found = difflib.get_close_matches(last, list(by_word), n=1, cutoff=0.75)
    if found:
        return by_word[found[0]]
    close = difflib.get_close_matches(".".join(parts), siblings or known, n=1, cutoff=0.5)
    return close[0] if close else None


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn nested mappings and lists into dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            flat |= flatten({str(index): item for index, item in enumerate(value)}, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
