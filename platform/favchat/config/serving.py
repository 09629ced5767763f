"""The HTTP API: what it serves, its limits, and who may use it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from favchat.config.section import Place, Section


def _word(value: Any) -> Any:
    """YAML reads a bare ``off`` as false."""
    return "off" if value is False else value


Auth = Annotated[Literal["keys", "off"], BeforeValidator(_word)]


class ApiKeyConfig(Section):
    """One key of the API, known by its hash, and what its holder may do. ``favchat key NAME`` makes one."""

    name: str = Field(pattern=r"^[\w.-]{1,64}$")
    """Whose it is, for logs and metrics."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the key, in hexadecimal; the key itself is written nowhere."""
    requests_per_minute: float | None = Field(default=None, gt=0)
    """Requests a minute, of which that many may come at once; null: any number."""
    tokens_per_minute: float | None = Field(default=None, gt=0)
    """Tokens of prompts and answers a minute; null: any number."""
    max_uploads: int | None = Field(default=None, ge=1)
    """Uploaded files at a time; null: as many as the store takes."""


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
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Precision of the language model. ``auto``: bfloat16 where the processor multiplies it natively (AVX-512 BF16,
    AMX, GPUs that have it), else float32. Encoders and scores stay in the precision that the model was saved in."""
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
