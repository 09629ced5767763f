"""The other sections, and the whole configuration."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from favchat.config.data import AnnotateConfig, DataConfig
from favchat.config.evaluation import EvaluationConfig
from favchat.config.optimizer import OptimisationConfig
from favchat.config.section import Place, Section
from favchat.config.serving import ApiKeyConfig, Auth
from favchat.config.stage_data import StageDataConfig
from favchat.config.tune import TuneConfig
from favchat.labels.attributes import attribute


class BackboneConfig(Section):
    """A transformers model: its weights, its architecture, or both; docs/presets.md shows how to bring one's own."""

    pretrained: Place | None = None
    """The weights: ``asset:NAME`` (an embedded default, see ``favchat assets``), a local directory or a hub name."""
    config: dict[str, Any] | None = None
    """The architecture, a transformers configuration with its ``model_type``. Alone it gets random weights. Beside
    ``pretrained`` it says what the weights are, so that sizes are known without them; other weights are refused."""
    image_mean: list[float] | None = Field(default=None, min_length=3, max_length=3)
    """Of an encoder: what is subtracted from red, green and blue in 0..1; null: what its ``preprocessor_config.json``
    says, 0.5 with random weights."""
    image_std: list[float] | None = Field(default=None, min_length=3, max_length=3)
    """Of an encoder: what red, green and blue are divided by then; goes with ``image_mean``."""

    @model_validator(mode="after")
    def _something_is_given(self) -> BackboneConfig:
        if self.pretrained is None and self.config is None:
            raise ValueError("give 'pretrained' (asset:NAME, a directory or a hub name), 'config', or both")
        if self.config is not None and "model_type" not in self.config:
            raise ValueError("'config' needs a model_type, such as llama or siglip_vision_model")
        if (self.image_mean is None) != (self.image_std is None):
            raise ValueError("image_mean and image_std go together: give both or neither")
        return self


class AdapterConfig(Section):
    """The mixture-of-experts adapter that fuses the general and the face stream."""

    hidden_size: int = Field(default=384, ge=8, multiple_of=8)
    """Width of the tokens inside the adapter; a multiple of 8, as grouped matrix products need it."""
    num_experts: int = Field(default=4, ge=1)
    """Experts a layer; 1 is the dense baseline."""
    top_k: int = Field(default=2, ge=1)
    """Experts each visual token is sent to."""
    expert_size: int = Field(default=512, ge=8, multiple_of=8)
    """Width of the hidden layer of one SwiGLU expert; a multiple of 8."""
    shared_expert_size: int = Field(default=0, ge=0)
    """Width of the hidden layer of an expert that sees every token beside its top-k; 0: none."""
    route_by_question: bool = False
    """Whether the router also sees the question. The visual tokens then depend on it, so that ``favchat serve``, which
    keeps a video's tokens for all questions, refuses the model."""
    num_layers: int = Field(default=1, ge=1)
    """Expert layers, one after the other."""
    vision_grid: int = Field(default=2, ge=1)
    """The general stream gives ``vision_grid`` x ``vision_grid`` tokens a frame."""
    face_grid: int = Field(default=2, ge=0)
    """The face stream gives ``face_grid`` x ``face_grid`` tokens a frame; 0: the model has no face encoder, and the
    general tokens carry where the face is and how it moves."""
    pool_window: int = Field(default=2, ge=1)
    """Each token is a learned mean over ``pool_window`` x ``pool_window`` cells of the encoder's features; 1: the
    encoder's features are averaged to the tokens themselves."""
    face_levels: list[int] | None = None
    """Which hidden states of the face encoder are used, shallow to deep, by index (negative from the end); null: all
    that it has."""
    mirror_faces: bool = False
    """Whether the face encoder sees every face a second time, mirrored, and gives the mean of both: its
    work doubles."""
    inject_levels: bool = True
    """Whether the shallower face levels are added to the first decoder layers' hidden states; if not, they are added to
    the face tokens before the experts, each through a projection of its own."""
    feature_noise: float = Field(default=0.0, ge=0)
    """Standard deviation of the Gaussian noise that training adds to the encoders' features, where these have one of 1:
    against learning few clips by heart."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the visual tokens."""
    attributes: list[str] = []
    """Attributes that the model is taught by name (``favchat.labels.attributes``): the adapter gives a probability and
    a token for each, which the language model reads. Empty: it has to find them in the visual tokens by itself."""
    attribute_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on what the attributes are read from."""
    motion_size: int = Field(default=64, ge=8)
    """Width of the hidden layer that reads the attributes off the track's movement."""
    attribute_weight: float = Field(default=1.0, ge=0)
    """Weight of the attributes' loss."""
    experts_implementation: Literal["grouped_mm", "batched_mm", "eager"] = "grouped_mm"
    """How experts are computed: ``grouped_mm``, all in one grouped matrix product; ``batched_mm``, with a copy of the
    weights for each token, for a handful of tokens; ``eager``, a loop over experts."""
    balance_weight: float = Field(default=0.01, ge=0)
    """Weight of the load-balancing loss."""
    z_weight: float = Field(default=0.001, ge=0)
    """Weight of the router z-loss."""

    @model_validator(mode="after")
    def _top_k_fits(self) -> AdapterConfig:
        if self.top_k > self.num_experts:
            raise ValueError(f"top_k = {self.top_k} is more than num_experts = {self.num_experts}")
        return self

    @field_validator("attributes")
    @classmethod
    def _attributes_exist(cls, names: list[str]) -> list[str]:
        for name in names:
            try:
                attribute(name)
            except KeyError as error:
                raise ValueError(str(error.args[0])) from None
        if len(set(names)) < len(names):
            raise ValueError("an attribute is named twice")
        return names


class LoraConfig(Section):
    """Low-rank updates of the language model (LoRA, arXiv 2106.09685), learnt by stages that name ``lora``."""

    targets: list[str] = Field(
        default=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"], min_length=1
    )
    """Names of the language model's linear layers that get one."""
    rank: int = Field(default=16, ge=1)
    """Rank of the updates."""
    alpha: float = Field(default=32.0, gt=0)
    """The updates are scaled by ``alpha / rank``."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on what goes into them."""


class ModelConfig(Section):
    """The model: two encoders, the adapter, the language model."""

    text: BackboneConfig = BackboneConfig(pretrained="asset:smollm2-135m-instruct")
    """The causal language model."""
    vision: BackboneConfig = BackboneConfig(pretrained="asset:mobilenet-v2")
    """The general visual encoder, which sees the frames."""
    face: BackboneConfig = BackboneConfig(pretrained="asset:face-trunks")
    """The face encoder, which sees the aligned faces."""
    adapter: AdapterConfig = AdapterConfig()
    lora: LoraConfig = LoraConfig()
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision in which the model is put together; bfloat16 for GPUs."""
    image_size: int = Field(default=224, ge=32)
    """Side in pixels to which frames are padded and scaled for the general encoder."""
    num_frames: int = Field(default=8, ge=1)
    """Frames of a clip that the model sees, picked uniformly."""


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


class ServeConfig(Section):
    """The HTTP API of a trained model on Ray Serve."""

    model: Place | None = None
    """The model to serve: a directory (``training.out/model``), a hub name, ``models:/NAME@ALIAS``; null:
    ``asset:favchat-nano``, which comes with the package."""
    name: str = Field(default="favchat", min_length=1)
    """What clients call the model."""
    models: dict[str, Place] = {}
    """Further models by the names that clients call them, each as ``model`` names one. Each has its own media, encoder
    and engine processes."""
    host: str = "127.0.0.1"
    """Address the API listens on; 0.0.0.0 opens it to the network, which takes ``keys`` or ``auth=off``."""
    port: int = Field(default=8000, ge=1, le=65535)
    """Port the API listens on."""
    auth: Auth = "keys"
    """``keys``: whoever asks shows one of ``keys`` or ``keys_file``; where there are none, only this machine may ask.
    ``off``: anybody may ask."""
    keys: list[ApiKeyConfig] = []
    """Keys by their hashes; ``favchat key NAME`` makes one."""
    keys_file: Place | None = None
    """YAML file with a list of further keys. It is read again when it changes, so that keys come and go at once."""
    cors_origins: list[str] = []
    """Web pages that may call the API from a browser, by their origins, such as ``https://example.org``; ``*``: all."""
    store: Place | None = None
    """Folder of uploads, decoded clips and visual tokens; on several machines it must be shared by all. By default a
    temporary folder that ``favchat serve`` removes when it ends."""
    max_videos: int = Field(default=64, ge=1)
    """Videos kept in the store and in the engine; of those that are no uploaded file, the one unused for longest goes
    first. Uploaded files take at most three quarters of the places."""
    keep_uploads: float = Field(default=3600.0, ge=0)
    """Seconds since the last question about it for which an uploaded file is safe; later it goes where a new video
    needs its place."""
    upload_lifetime: float | None = Field(default=None, gt=0)
    """Seconds after which an uploaded file is deleted, unless its ``expires_after`` is sooner; null: never."""
    max_body_mb: float = Field(default=64.0, gt=0)
    """Largest request body in megabytes; a video in a ``data:`` address takes a third more than its file."""
    body_timeout: float = Field(default=20.0, gt=0)
    """Seconds that a request body may take, beside those that it takes at 32 kB a second."""
    max_duration: float = Field(default=300.0, gt=0)
    """Longest video in seconds."""
    max_side: int = Field(default=4096, ge=32)
    """Largest width or height of a video in pixels."""
    media_timeout: float = Field(default=120.0, gt=0)
    """Seconds after which the decoding of a video is given up."""
    request_timeout: float = Field(default=600.0, gt=0)
    """Seconds that a request may take, from the last byte of its body to the last of its answer."""
    reload_seconds: float | None = Field(default=None, gt=0)
    """Seconds between two looks whether ``model`` or one of ``models`` means another model now, as
    ``models:/NAME@ALIAS`` may; the new one is started beside the old one and takes over when it is up. null: no looks.
    ``favchat serve --reload`` sets 30."""
    drain_timeout: float = Field(default=30.0, ge=0)
    """Seconds that requests under way get when the server ends; what comes meanwhile is answered with 503."""
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

    @model_validator(mode="after")
    def _models_have_names_of_their_own(self) -> ServeConfig:
        wrong = next((name for name in self.models if not re.fullmatch(r"[\w.-]{1,64}", name)), None)
        if wrong is not None:
            raise ValueError(f"models: '{wrong}' is no name; one has up to 64 letters, digits, dots, - and _")
        if self.name in self.models:
            raise ValueError(f"models: '{self.name}' is the name of serve.model; give one of them another")
        return self


class TrackingConfig(Section):
    """MLflow."""

    uri: Place | None = None
    """Tracking address; by default MLFLOW_TRACKING_URI, else a sqlite store in FAVCHAT_HOME."""
    experiment: str = "favchat"
    """Name of the experiment."""
    registered_model: str | None = None
    """Name in the model registry: the finished model becomes its newest version, the ``champion`` where it is
    the best so far, else the ``challenger``; null: models are not registered."""


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
    evaluation: EvaluationConfig = EvaluationConfig()
    tune: TuneConfig = TuneConfig()
    serve: ServeConfig = ServeConfig()
    tracking: TrackingConfig = TrackingConfig()
    ray: RayConfig = RayConfig()
