"""The adapter: both visual streams become language-model tokens through a mixture of experts.

Shapes: V videos, T frames, G general tokens a frame, F face tokens a frame, S = G + F, C channels of an encoder, D
adapter width, H language-model width, E experts, K experts a token, N = V T S tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, initialization
from transformers.activations import ACT2FN
from transformers.integrations import use_experts_implementation
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func
from transformers.utils import ModelOutput

from favchat.model.attribute_head import FaVChatAttributeHead, FaVChatAttributeTokens
from favchat.model.configuration_favchat import FaVChatAdapterConfig


@dataclass
class AdapterOutput(ModelOutput):
    """What the adapter gives.

    Attributes:
        last_hidden_state: `(V, T, P, C)`, what the adapter was given of the general encoder; and
        pooler_output: what :meth:`sequence` gives: both of `get_video_features` alone, under the names that
            transformers has for them.
        hidden_states: `(V T, ...)` of the general encoder, where they were asked for.
        attentions: `(V T, ...)` of the general encoder, where they were asked for.
        tokens: `(V, T, G + F, H)`, of each frame the general tokens first, then the face tokens.
        attribute_logits: `(V, A)` float32, see :class:`favchat.model.attribute_head.FaVChatAttributeHead`; A may be 0.
        attribute_tokens: `(V, 2 A, H)`, what the language model gets of them.
        levels: For each shallower face level `(V, T, F, H)`, to be added after the first decoder layers; none with
            `inject_levels=False` or without a face stream.
        router_logits: For each expert layer `(N, E)` float32.
        balance_loss: Load-balancing loss, 1 when all experts are used alike times K; equations 4 to 6 of the Switch
            Transformer, arXiv 2101.03961.
        z_loss: Router z-loss, mean of the squared log-sum-exp of the logits; equation 5 of ST-MoE, arXiv 2202.08906.
    """

    last_hidden_state: Tensor = None  # type: ignore[assignment]  # transformers wants defaults
    pooler_output: Tensor = None  # type: ignore[assignment]
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    tokens: Tensor = None  # type: ignore[assignment]
    attribute_logits: Tensor = None  # type: ignore[assignment]
    attribute_tokens: Tensor = None  # type: ignore[assignment]
    levels: tuple[Tensor, ...] = None  # type: ignore[assignment]
    router_logits: tuple[Tensor, ...] = None  # type: ignore[assignment]
    balance_loss: Tensor = None  # type: ignore[assignment]
    z_loss: Tensor = None  # type: ignore[assignment]

    def sequence(self) -> Tensor:
        """All tokens of each video in reading order, `(V, T (G + F) + 2 A, H)`: frame by frame, then the attributes."""
        return torch.cat([self.tokens.flatten(1, 2), self.attribute_tokens.to(self.tokens.dtype)], dim=1)


@use_experts_implementation
class FaVChatExperts(nn.Module):
    """E SwiGLU networks; their weights are 3D tensors so that transformers' grouped matrix products apply."""

    def __init__(self, config: FaVChatAdapterConfig):
        super().__init__()
        self.num_experts = config.num_experts
        self.gate_up_proj = nn.Parameter(
            torch.empty(config.num_experts, 2 * config.intermediate_size, config.hidden_size)
        )
        self.down_proj = nn.Parameter(torch.empty(config.num_experts, config.hidden_size, config.intermediate_size))
        self.act_fn = ACT2FN[config.hidden_act]

    def forward(self, x_ND: Tensor, index_NK: Tensor, weight_NK: Tensor) -> Tensor:
        """The plain loop over experts, which `experts_implementation="eager"` chooses."""
        out_ND = torch.zeros_like(x_ND)
        for expert in index_NK.unique().tolist():
            token, slot = torch.where(index_NK == expert)
            gate, up = nn.functional.linear(x_ND[token], self.gate_up_proj[expert]).chunk(2, dim=-1)
            y = nn.functional.linear(self.act_fn(gate) * up, self.down_proj[expert])
            out_ND.index_add_(0, token, (y * weight_NK[token, slot, None]).to(out_ND.dtype))
        return out_ND


class FaVChatSharedExpert(nn.Module):
    """A SwiGLU network that sees every token."""

    def __init__(self, config: FaVChatAdapterConfig):
        super().__init__()
        self.gate_up_proj = nn.Linear(config.hidden_size, 2 * config.shared_expert_size, bias=False)
        self.down_proj = nn.Linear(config.shared_expert_size, config.hidden_size, bias=False)
        self.act_fn = ACT2FN[config.hidden_act]

    def forward(self, x: Tensor) -> Tensor:
        """Map `(..., D)` to `(..., D)`."""
        gate, up = self.gate_up_proj(x).chunk(2, dim=-1)
        return self.down_proj(self.act_fn(gate) * up)


class FaVChatExpertLayer(GradientCheckpointingLayer):
    """Norm, top-k router, experts, an expert that all tokens share if there is one, residual."""

    def __init__(self, config: FaVChatAdapterConfig):
        super().__init__()
        self.top_k = config.num_experts_per_tok
        self.norm = nn.RMSNorm(config.hidden_size, eps=1e-6)
        self.source = nn.Embedding(2, config.hidden_size)
        self.router = nn.Linear(config.hidden_size, config.num_experts, bias=False)
        self.experts = FaVChatExperts(config)
        self.shared_expert = FaVChatSharedExpert(config) if config.shared_expert_size else None

    def forward(self, x_VTSD: Tensor, source_S: Tensor, question_VD: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Send tokens through experts.

        Args:
            x_VTSD: Tokens.
            source_S: Of each token of a frame 0 for the general, 1 for the face stream.
            question_VD: What was asked about each video; the router sees it, the experts do not.

        Returns:
            The new tokens `(V, T, S, D)` and the router's logits `(N, E)`, float32.
        """
        normed_VTSD = self.norm(x_VTSD)
        hint = self.source(source_S)  # (S, D)
        if question_VD is not None:
            hint = hint + question_VD[:, None, None]  # (V, 1, S, D)
        logits_NE = self.router(normed_VTSD + hint).flatten(0, 2).float()
        weight_NK, index_NK = logits_NE.softmax(dim=-1).topk(self.top_k, dim=-1)
        weight_NK = (weight_NK / weight_NK.sum(dim=-1, keepdim=True)).to(x_VTSD.dtype)
        out_VTSD = self.experts(normed_VTSD.flatten(0, 2), index_NK, weight_NK).view_as(x_VTSD)
        if self.shared_expert is not None:
            out_VTSD = out_VTSD + self.shared_expert(normed_VTSD)
        return x_VTSD + out_VTSD, logits_NE


class FaVChatOutputNorm(nn.RMSNorm):
    """A norm whose weight starts at the configured loudness; a class of its own so that initialisation finds it."""


class FaVChatTrackProjection(nn.Linear):
    """A linear layer whose few inputs are made louder, and whose weights start as much smaller.

    An optimiser such as Adam moves every weight by about the learning rate, so that what a layer gives changes with the
    sum of its inputs: a projection of a thousand channels learns fast, one of 36 hardly. At the start the outputs are
    those of a plain layer.
    """

    def forward(self, input: Tensor) -> Tensor:
        """`(..., 36)` to `(..., D)`."""
        return super().forward(input * GEOMETRY_GAIN)


class FaVChatZeroLinear(nn.Linear):
    """A projection that starts at zero; a class of its own so that initialisation finds it."""


class FaVChatTokenProjection(nn.Module):
    """Reduces a stream's or a level's cells to its budget of tokens, and brings them to another width.

    Each token is a weighted mean over its own window of cells; the weights are a softmax of learned scores, which start
    at zero: training begins from the plain mean.

    Args:
        size: Channels C of the cells.
        output_size: Channels of the tokens.
        grid: The budget: `grid` squared tokens a frame.
        window: Each token is made of `window` squared cells.
        noise: Standard deviation of the Gaussian noise that training adds to the normed cells.
        start_at_zero: Whether the projection starts at zero.
    """

    def __init__(
        self, size: int, output_size: int, *, grid: int, window: int, noise: float = 0.0, start_at_zero: bool = False
    ):
        super().__init__()
        self.grid, self.window, self.noise = grid, window, noise
        self.norm = nn.LayerNorm(size)
        self.score = FaVChatZeroLinear(size, 1, bias=False) if window > 1 else None
        self.linear = (FaVChatZeroLinear if start_at_zero else nn.Linear)(size, output_size)

    def forward(self, cells: Tensor) -> Tensor:
        """Map `(V, T, P, C)`, P = (grid window)^2 cells row by row, to `(V, T, grid^2, output_size)`.

        Raises:
            ValueError: There is another number of cells.
        """
        side = self.grid * self.window
        if cells.shape[2] != side**2:
            raise ValueError(f"a frame has {cells.shape[2]} cells of features where the adapter reads {side} x {side}")
        tokens = self.norm(cells)
        if self.training and self.noise:
            tokens = tokens + self.noise * torch.randn_like(tokens)
        if self.score is not None:
            tokens = (
                tokens.unflatten(2, (self.grid, self.window, self.grid, self.window))
                .transpose(3, 4)  # (V, T, grid, grid, window, window, C)
                .flatten(4, 5)
                .flatten(2, 3)  # (V, T, grid^2, window^2, C)
            )
            tokens = (self.score(tokens).softmax(dim=-2) * tokens).sum(dim=-2)
        return self.linear(tokens)


class FaVChatAdapter(PreTrainedModel):
    """Projects both streams to one width, tells each token where and when it is, and routes it through experts."""

    config: FaVChatAdapterConfig
    config_class = FaVChatAdapterConfig
    base_model_prefix = "adapter"
    main_input_name = "vision"
    input_modalities = ("video",)
    supports_gradient_checkpointing = True
    _no_split_modules = ["FaVChatExpertLayer"]
    # It has no attention: whatever is chosen for the whole model suits it.
    _supports_flash_attn = _supports_sdpa = _supports_flex_attn = True

    def __init__(self, config: FaVChatAdapterConfig):
        if config._experts_implementation is None:  # an argument of from_pretrained goes before the configuration
            config._experts_implementation = config.experts_implementation
        super().__init__(config)
        width, window = config.hidden_size, config.pool_window
        *shallow_sizes, deepest_size = config.face_sizes
        project = partial(FaVChatTokenProjection, window=window, noise=config.feature_noise)
        self.vision_proj = project(config.vision_size, width, grid=config.vision_grid) if config.vision_grid else None
        self.face_proj = project(deepest_size, width, grid=config.face_grid) if config.face_grid else None
        # Embeddings, not bare parameters: ZeRO-3 gathers a weight when the module that owns it is called.
        self.vision_place = nn.Embedding(config.vision_grid**2, width) if config.vision_grid else None
        self.face_place = nn.Embedding(config.face_grid**2, width) if config.face_grid else None
        self.no_face = nn.Embedding(1, width)
        self.time_proj = nn.Linear(TIME_FEATURES, width)
        self.track_proj = FaVChatTrackProjection(GEOMETRY_FEATURES, width)
        self.question_proj = (
            nn.Sequential(nn.RMSNorm(config.output_size, eps=1e-6), nn.Linear(config.output_size, width, bias=False))
            if config.route_by_question
            else None
        )
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(FaVChatExpertLayer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.out_proj = nn.Linear(width, config.output_size)
        self.out_norm = FaVChatOutputNorm(config.output_size, eps=1e-6)
        # Zero at the start: training begins from the language model as it was.
        self.level_proj = nn.ModuleList(
            project(size, config.output_size, grid=config.face_grid, start_at_zero=True)
            for size in (shallow_sizes if config.face_grid and config.inject_levels else [])
        )
        self.fused_proj = nn.ModuleList(
            project(size, width, grid=config.face_grid)
            for size in (shallow_sizes if config.face_grid and not config.inject_levels else [])
        )
        self.attribute_head = FaVChatAttributeHead(config) if config.attributes else None
        self.attribute_tokens = FaVChatAttributeTokens(config) if config.attributes else None
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        std = self.config.initializer_range
        if isinstance(module, FaVChatExperts):
            initialization.normal_(module.gate_up_proj, std=std)
            initialization.normal_(module.down_proj, std=std)
        elif isinstance(module, FaVChatAttributeHead):
            initialization.zeros_(module.get_buffer("prior"))
        elif isinstance(module, FaVChatOutputNorm):
            initialization.constant_(module.weight, self.config.output_scale)
        elif isinstance(module, FaVChatTrackProjection):
            initialization.normal_(module.weight, std=std / GEOMETRY_GAIN)
        elif isinstance(module, FaVChatZeroLinear):
            initialization.zeros_(module.weight)
            if module.bias is not None:
                initialization.zeros_(module.bias)

    def forward(
        self,
        vision: Tensor,
        face: Tensor,
        *,
        face_visible: Tensor,
        frame_times: Tensor,
        face_geometry: Tensor,
        face_motion: Tensor | None = None,
        question: Tensor | None = None,
    ) -> AdapterOutput:
        """Turn the encoders' features into language-model tokens.

        Args:
            vision: `(V, T, P, C)` features of the general encoder, P = `(vision_grid * pool_window) ** 2` cells; not
                read where `vision_grid` is 0.
            face: `(V, T, Q, sum(face_sizes))` features of the face encoder, Q = `(face_grid * pool_window) ** 2` cells,
                the channels of its levels side by side, shallow to deep; not read where `face_grid` is 0.
            face_visible: `(V, T)` bool; where False the face tokens are replaced by a learned "no face".
            frame_times: `(V, T)` seconds since the clip's start.
            face_geometry: `(V, T, 4)`, see :func:`favchat.video.align.face_geometry`.
            face_motion: `(V, M)`, see :func:`favchat.video.motion.motion_features`; needed by a model with attributes.
            question: `(V, H)` pooled embeddings of what was asked about each video; needed if and only if
                `route_by_question`.

        Raises:
            ValueError: The features have another number of cells, or the motion or the question is missing.
        """
        if self.question_proj is not None and question is None:
            raise ValueError("this adapter routes by the question: give question_ids and question_mask with the videos")
        question_VD = self.question_proj(question) if self.question_proj is not None else None
        *shallow, deepest = face.split(list(self.config.face_sizes), dim=-1)
        hidden_VT11 = ~face_visible[..., None, None]

        time_VT1D = self.time_proj(time_features(frame_times).to(vision.dtype)).unsqueeze(2)
        geometry = geometry_features(face_geometry, face_visible).to(vision.dtype)
        geometry_VT1D = self.track_proj(geometry).unsqueeze(2)
        if self.vision_proj is None or self.vision_place is None:
            general_VTGD = time_VT1D[:, :, :0]  # G = 0
        else:
            general_VTGD = self.vision_proj(vision) + _all_rows(self.vision_place, vision.device)
        if self.face_proj is None or self.face_place is None:
            # Where the face is comes from its landmarks, not from the face encoder: then the general tokens carry it.
            x_VTSD = general_VTGD + torch.where(hidden_VT11, _all_rows(self.no_face, vision.device), geometry_VT1D)
        else:
            face_VTFD = self.face_proj(deepest) + geometry_VT1D
            for proj, level in zip(self.fused_proj, shallow, strict=False):
                face_VTFD = face_VTFD + proj(level)
            face_VTFD = torch.where(hidden_VT11, _all_rows(self.no_face, vision.device), face_VTFD)
            face_VTFD = face_VTFD + _all_rows(self.face_place, vision.device)
            x_VTSD = torch.cat([general_VTGD, face_VTFD], dim=2)  # S = G + F
        x_VTSD = self.dropout(x_VTSD + time_VT1D)

        source_S = torch.arange(x_VTSD.shape[2], device=x_VTSD.device).ge(general_VTGD.shape[2]).long()
        router_logits: tuple[Tensor, ...] = ()
        for layer in self.layers:
            x_VTSD, logits_NE = layer(x_VTSD, source_S, question_VD)
            router_logits += (logits_NE,)

        x_VTSD = self.norm(x_VTSD)
        attribute_logits, attribute_tokens = self._attributes(x_VTSD, face_motion, face_visible)
        return AdapterOutput(
            tokens=self.out_norm(self.out_proj(x_VTSD)),  # (V, T, S, H)
            attribute_logits=attribute_logits,
            attribute_tokens=attribute_tokens,
            levels=tuple(
                proj(level).masked_fill(hidden_VT11, 0.0) for proj, level in zip(self.level_proj, shallow, strict=False)
            ),  # (V, T, F, H) each
            router_logits=router_logits,
            balance_loss=load_balancing_loss_func(
                router_logits, self.config.num_experts, self.config.num_experts_per_tok
            ),
            z_loss=torch.stack([logits.logsumexp(dim=-1).square().mean() for logits in router_logits]).mean(),
        )

    def _attributes(self, x_VTSD: Tensor, motion_VM: Tensor | None, visible_VT: Tensor) -> tuple[Tensor, Tensor]:
        """The attributes' logits `(V, A)` and tokens `(V, 2 A, H)`."""
        if self.attribute_head is None or self.attribute_tokens is None:
            return x_VTSD.new_zeros(len(x_VTSD), 0), x_VTSD.new_zeros(len(x_VTSD), 0, self.config.output_size)
        if motion_VM is None:
            raise ValueError("this adapter reads attributes: give face_motion with the videos")
        head = self.attribute_head
        logits = head(x_VTSD, motion_VM, visible_VT)
        # What is said does not change what is read: the tokens teach the head nothing.
        read = logits.detach()
        tokens = self.attribute_tokens(
            head.probabilities(read), head.probabilities(head.natural(read)), visible_VT.any(dim=1)
        )
        return logits, tokens


def _all_rows(embedding: nn.Embedding, device: torch.device) -> Tensor:
    """Looked up on the inputs' device: the weights may be elsewhere until the module is called."""
    return embedding(torch.arange(embedding.num_embeddings, device=device))


def active_parameters(config: FaVChatAdapterConfig) -> int:
    """How many of the adapter's parameters a token passes through: all but those of the experts it isn't sent to."""
    with torch.device("meta"):
        adapter = FaVChatAdapter(config)
    everything = sum(parameter.numel() for parameter in adapter.parameters())
    experts = sum(p.numel() for layer in adapter.layers for p in layer.get_submodule("experts").parameters())
    return everything - experts + experts * config.num_experts_per_tok // config.num_experts


TIME_FEATURES = 16


def time_features(seconds: Tensor) -> Tensor:
    """Sines and cosines of a time at periods from 0.25 s to 32 s, doubling: `(...)` seconds to `(..., 16)`."""
    periods = 0.25 * 2.0 ** torch.arange(TIME_FEATURES // 2, device=seconds.device, dtype=torch.float32)
    angles = 2 * math.pi * seconds.float().unsqueeze(-1) / periods
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


GEOMETRY_FEATURES = 36
GEOMETRY_GAIN = 16.0
"""How much louder the geometry goes in, see :class:`FaVChatTrackProjection`; chosen by a few trials
(docs/earlier_recipes.md)."""
MOTION_UNITS = (0.2, 0.2, 0.2, 0.05)
"""What counts as a clear movement: a fifth of the face's size, sideways, up and down or towards the camera, and nine
degrees of roll."""


def geometry_features(geometry: Tensor, visible: Tensor) -> Tensor:
    """Where the face is, and how it moves: what alignment removes and a nod is made of.

    Of x, y, size and roll (see :func:`favchat.video.align.face_geometry`) sines and cosines at three octaves, half a
    period of the lowest covering their range, so that a roll of -1 and one of 1, both upside down, give the same. Then
    three measures of movement, x, y and size in face sizes, each as the hyperbolic tangent of multiples of
    :data:`MOTION_UNITS`: the deviation from the clip's mean, the change since the frame before, and the standard
    deviation over the clip. Frames without a face count in none of them.

    Args:
        geometry: `(V, T, 4)`.
        visible: `(V, T)` bool, whether the frame has a face.

    Returns:
        `(V, T, 36)` float32.
    """
    geometry, seen = geometry.float(), visible.unsqueeze(-1).float()  # (V, T, 4), (V, T, 1)
    angles = math.pi * geometry.unsqueeze(-1) * torch.tensor([1.0, 2.0, 4.0], device=geometry.device)
    place = torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(-2)  # (V, T, 24)

    frames = seen.sum(dim=1, keepdim=True).clamp(min=1)  # (V, 1, 1)
    mean = (geometry * seen).sum(dim=1, keepdim=True) / frames  # (V, 1, 4)
    size = mean[..., 2:3].clamp(min=1e-3)
    unit = torch.cat([size, size, size, torch.ones_like(size)], dim=-1) * geometry.new_tensor(MOTION_UNITS)
    deviation = (geometry - mean) / unit * seen
    change = torch.zeros_like(deviation)
    change[:, 1:] = (deviation[:, 1:] - deviation[:, :-1]) * seen[:, 1:] * seen[:, :-1]
    spread = (deviation.square().sum(dim=1, keepdim=True) / frames).sqrt().expand_as(deviation)
    return torch.cat([place, torch.cat([deviation, change, spread], dim=-1).tanh()], dim=-1)
