"""The adapter: both visual streams become language-model tokens through a mixture of experts.

Shapes: V videos, T frames, G general tokens a frame, F face tokens a frame, C channels of an encoder, D adapter width,
I expert width, H language-model width, E experts, K experts a token, N = V T (G + F) tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, initialization
from transformers.activations import ACT2FN
from transformers.integrations import use_experts_implementation
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

from favchat.model.configuration_favchat import FaVChatAdapterConfig


@dataclass(frozen=True)
class AdapterOutput:
    """What the adapter gives.

    Attributes:
        tokens: `(V, T, G + F, H)`, of each frame the general tokens first, then the face tokens.
        levels: For each shallower face level `(V, T, F, H)`, to be added after the first decoder layers.
        router_logits: For each expert layer `(N, E)`.
        balance_loss: Load-balancing loss, 1 when all experts are used alike times K; equations 4 to 6 of the Switch
            Transformer, arXiv 2101.03961.
        z_loss: Router z-loss, mean of the squared log-sum-exp of the logits; equation 5 of ST-MoE, arXiv 2202.08906.
    """

    tokens: Tensor
    levels: tuple[Tensor, ...]
    router_logits: tuple[Tensor, ...]
    balance_loss: Tensor
    z_loss: Tensor


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


class FaVChatExpertLayer(nn.Module):
    """Norm, top-k router, experts, residual."""

    def __init__(self, config: FaVChatAdapterConfig):
        super().__init__()
        self.top_k = config.num_experts_per_tok
        self.norm = nn.RMSNorm(config.hidden_size, eps=1e-6)
        self.router = nn.Linear(config.hidden_size, config.num_experts, bias=False)
        self.experts = FaVChatExperts(config)

    def forward(self, x_ND: Tensor) -> tuple[Tensor, Tensor]:
        """Return the new tokens `(N, D)` and the router's logits `(N, E)`."""
        normed_ND = self.norm(x_ND)
        logits_NE = self.router(normed_ND)
        weight_NK, index_NK = logits_NE.softmax(dim=-1, dtype=torch.float32).topk(self.top_k, dim=-1)
        weight_NK = (weight_NK / weight_NK.sum(dim=-1, keepdim=True)).to(x_ND.dtype)
        return x_ND + self.experts(normed_ND, index_NK, weight_NK), logits_NE


class FaVChatOutputNorm(nn.RMSNorm):
    """A norm whose weight starts at the configured loudness; a class of its own so that initialisation finds it."""


class FaVChatZeroLinear(nn.Linear):
    """A projection that starts at zero; a class of its own so that initialisation finds it."""


class FaVChatLevelProjection(nn.Module):
    """Brings a shallower face level to the language model's width."""

    def __init__(self, size: int, output_size: int):
        super().__init__()
        self.norm = nn.LayerNorm(size)
        self.linear = FaVChatZeroLinear(size, output_size)

    def forward(self, level: Tensor) -> Tensor:
        """Map `(..., C)` to `(..., H)`."""
        return self.linear(self.norm(level))


class FaVChatAdapter(PreTrainedModel):
    """Projects both streams to one width, tells each token where and when it is, and routes it through experts."""

    config: FaVChatAdapterConfig
    config_class = FaVChatAdapterConfig
    base_model_prefix = "adapter"
    main_input_name = "vision"
    input_modalities = ("video",)
    _no_split_modules = ["FaVChatExpertLayer"]

    def __init__(self, config: FaVChatAdapterConfig):
        super().__init__(config)
        width = config.hidden_size
        *shallow_sizes, deepest_size = config.face_sizes
        self.vision_proj = nn.Sequential(nn.LayerNorm(config.vision_size), nn.Linear(config.vision_size, width))
        self.face_proj = nn.Sequential(nn.LayerNorm(deepest_size), nn.Linear(deepest_size, width))
        # A place of its own for every cell of either grid tells the router the source too.
        # Embeddings, not bare parameters: ZeRO-3 gathers a weight when the module that owns it is called.
        self.vision_place = nn.Embedding(config.vision_grid**2, width)
        self.face_place = nn.Embedding(config.face_grid**2, width)
        self.no_face = nn.Embedding(1, width)
        self.time_proj = nn.Linear(TIME_FEATURES, width)
        self.geometry_proj = nn.Linear(4, width)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(FaVChatExpertLayer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.out_proj = nn.Linear(width, config.output_size)
        self.out_norm = FaVChatOutputNorm(config.output_size, eps=1e-6)
        self.level_proj = nn.ModuleList(
            FaVChatLevelProjection(size, config.output_size) for size in (shallow_sizes if config.inject_levels else [])
        )
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        std = self.config.initializer_range
        if isinstance(module, FaVChatExperts):
            initialization.normal_(module.gate_up_proj, std=std)
            initialization.normal_(module.down_proj, std=std)
        elif isinstance(module, FaVChatOutputNorm):
            initialization.constant_(module.weight, self.config.output_scale)
        elif isinstance(module, FaVChatZeroLinear):
            # Zero at the start: training begins from the language model as it was.
            initialization.zeros_(module.weight)
            initialization.zeros_(module.bias)

    def forward(
        self,
        vision: Tensor,
        face_levels: tuple[Tensor, ...] | list[Tensor],
        *,
        face_visible: Tensor,
        frame_times: Tensor,
        face_geometry: Tensor,
    ) -> AdapterOutput:
        """Turn the encoders' features into language-model tokens.

        Args:
            vision: `(V, T, G, C)` features of the general encoder.
            face_levels: For each level, shallow to deep, `(V, T, F, C)` features of the face encoder.
            face_visible: `(V, T)` bool; where False the face tokens are replaced by a learned "no face".
            frame_times: `(V, T)` seconds since the clip's start.
            face_geometry: `(V, T, 4)` centre x, centre y and size of the face as shares of the frame, and its roll
                in radians.
        """
        time_VT1D = self.time_proj(time_features(frame_times).to(vision.dtype)).unsqueeze(2)
        general_VTGD = self.vision_proj(vision) + _all_rows(self.vision_place)
        face_VTFD = self.face_proj(face_levels[-1]) + self.geometry_proj(face_geometry.to(vision.dtype)).unsqueeze(2)
        face_VTFD = torch.where(face_visible[..., None, None], face_VTFD, _all_rows(self.no_face))
        face_VTFD = face_VTFD + _all_rows(self.face_place)
        x_VTSD = self.dropout(torch.cat([general_VTGD, face_VTFD], dim=2) + time_VT1D)

        x_ND = x_VTSD.flatten(0, 2)
        router_logits: tuple[Tensor, ...] = ()
        for layer in self.layers:
            x_ND, logits_NE = layer(x_ND)
            router_logits += (logits_NE,)
        tokens_VTSH = self.out_norm(self.out_proj(self.norm(x_ND))).view(*x_VTSD.shape[:3], -1)

        visible_VT11 = face_visible[..., None, None].to(vision.dtype)
        levels = tuple(proj(level) * visible_VT11 for proj, level in zip(self.level_proj, face_levels, strict=False))
        return AdapterOutput(
            tokens=tokens_VTSH,
            levels=levels,
            router_logits=router_logits,
            balance_loss=load_balancing_loss_func(
                router_logits, self.config.num_experts, self.config.num_experts_per_tok
            ),
            z_loss=torch.stack([logits.float().logsumexp(dim=-1).square().mean() for logits in router_logits]).mean(),
        )


def _all_rows(embedding: nn.Embedding) -> Tensor:
    return embedding(torch.arange(embedding.num_embeddings, device=embedding.weight.device))


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
