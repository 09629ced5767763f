"""DeepSpeed as the engine of a training step.

DeepSpeed is imported when an engine is created, in the worker: its import probes the hardware and sets up logging.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from favchat.config import OptimisationConfig
from favchat.model import FaVChatForConditionalGeneration
from favchat.training.stage.step import State, optimizer_states, restore_optimizer

MOMENTS = ("exp_avg", "exp_avg_sq")


class DeepSpeedEngine:
    """A model wrapped by DeepSpeed, with any ZeRO stage.

    Args:
        model: In float32; frozen parameters may be in `precision`.
        optimizer: AdamW over the trainable parameters.
        stage: Its `deepspeed` section is passed on unchanged.
        precision: Of matrix products, unless that section sets it.
        on_gpu: Whether this worker has a GPU.
    """

    def __init__(
        self,
        model: FaVChatForConditionalGeneration,
        optimizer: torch.optim.Optimizer,
        stage: OptimisationConfig,
        *,
        precision: torch.dtype = torch.float32,
        on_gpu: bool = False,
    ):
        import deepspeed

        logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
        if not on_gpu:
            skip_shared_memory_op()
        deepspeed.init_distributed(dist_backend="nccl" if on_gpu else "gloo", verbose=False)
        config = deepspeed_config(stage, dist.get_world_size(), precision)
        self.engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=config)
        self.module: FaVChatForConditionalGeneration = self.engine.module
        self.optimizer = optimizer
        self.device = torch.device(self.engine.device)
        self.zero_stage: int = self.engine.zero_optimization_stage()

    def forward(self, inputs: Mapping[str, Any]) -> Any:
        """The model's output, with the routers' logits."""
        return self.engine(**inputs, output_router_logits=True, use_cache=False)

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Accumulate the gradients of one micro-batch."""
        self.engine.backward(loss)
        if not last:
            self.engine.step()  # counts micro-batches; the weights change after the last one

    def update(self) -> float:
        """Clip gradients, step, zero gradients; return the gradient norm before clipping."""
        norm = None
        if not hasattr(self.engine.optimizer, "_global_grad_norm"):
            # With ZeRO stage 0 in float32, DeepSpeed clips without storing the norm, so it is computed here.
            norm = nn.utils.get_total_norm([p.grad for p in self._learning().values() if p.grad is not None])
        self.engine.step()
        return float(self.engine.get_global_grad_norm() or 0.0 if norm is None else norm)

    def states(self) -> Iterator[tuple[str, State]]:
        """Yield each trainable parameter's name and state, gathered from all workers; a collective call.

        Valid only after a step: before the first one DeepSpeed has no moments.
        """
        from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

        if not self._partitions():
            yield from optimizer_states(self.optimizer, self._learning())
            return
        count = self.optimizer.state[self._partitions()[0]]["step"]
        self._link()
        for name, parameter in self._learning().items():
            shape = getattr(parameter, "ds_shape", parameter.shape)
            state = {key: safe_get_full_optimizer_state(parameter, key).view(shape) for key in MOMENTS}
            yield (
                name,
                {"weight": safe_get_full_fp32_param(parameter).view(shape), "step": torch.as_tensor(count), **state},
            )

    def restore(self, states: Mapping[str, State]) -> None:
        """Load states saved by any engine, with any number of workers and any ZeRO stage."""
        if not self._partitions():
            restore_optimizer(self.optimizer, self._learning(), states)
            return
        count = max((s["step"] for s in states.values() if "step" in s), default=torch.tensor(0.0))
        for partition in self._partitions():
            # AdamW keeps its step counter on the CPU, except with the fused kernel.
            fused = bool(self.optimizer.defaults.get("fused"))
            moments = {key: torch.zeros_like(partition) for key in MOMENTS}
            self.optimizer.state[partition] = {
                "step": count.to(partition.device) if fused else count.clone(),
                **moments,
            }
        self._link()
        for name, parameter in self._learning().items():
            state = states[name]
            for key in MOMENTS:
                if key in state:
                    self._set(parameter, state[key], key)
            self._set(parameter, state["weight"], None)
            with torch.no_grad():
                if self.zero_stage == 3:
                    parameter.ds_tensor.copy_(_share(parameter, state["weight"]))
                else:
                    parameter.copy_(state["weight"])

    def weights(self) -> dict[str, Tensor]:
        """The model's full state dict on the CPU, on rank 0 only; a collective call."""
        import deepspeed

        first = dist.get_rank() == 0
        weights = {name: value.cpu() for name, value in self.module.state_dict().items()} if first else {}
        if self.zero_stage == 3:
            for name, parameter in self.module.named_parameters(remove_duplicate=False):
                with deepspeed.zero.GatheredParameters([parameter]):
                    if first:
                        weights[name] = parameter.detach().cpu().clone()
        return weights

    def _learning(self) -> dict[str, Any]:
        return {name: p for name, p in self.module.named_parameters() if p.requires_grad}

    def _partitions(self) -> list[Tensor]:
        """Flat float32 partitions that the optimiser holds instead of the parameters; none with ZeRO 0 in float32."""
        for name in ("fp32_partitioned_groups_flat", "single_partition_of_fp32_groups", "fp32_groups_flat_partition"):
            if hasattr(self.engine.optimizer, name):
                return list(getattr(self.engine.optimizer, name))
        return []

    def _link(self) -> None:
        """Let DeepSpeed find the moments of all groups; after the first step it has linked only the first group's."""
        if self.zero_stage < 3:
            self.engine.optimizer._hp_optimizer_states_linked = False
            self.engine.optimizer._lazy_init_hp_params_optimizer_state()

    def _set(self, parameter: Any, value: Tensor, key: str | None) -> None:
        """Set this worker's share of a parameter's float32 weight, or of one of its moments."""
        from deepspeed.utils import (
            safe_set_full_fp32_param,
            safe_set_full_optimizer_state,
            safe_set_local_fp32_param,
            safe_set_local_optimizer_state,
        )

        value = value.to(self.device, torch.float32)
        if self.zero_stage == 3:
            value = _share(parameter, value)
            if key is None:
                safe_set_local_fp32_param(parameter, value)
            else:
                safe_set_local_optimizer_state(parameter, value, key)
        elif key is None:
            safe_set_full_fp32_param(parameter, value)
        else:
            safe_set_full_optimizer_state(parameter, value, key)


def deepspeed_config(stage: OptimisationConfig, workers: int, precision: torch.dtype) -> dict[str, Any]:
    """DeepSpeed's configuration: batch, clipping and precision from our settings, updated by the stage's section."""
    ours: dict[str, Any] = {
        # DeepSpeed only counts micro-batches; ours differ in size.
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": stage.accumulate,
        "train_batch_size": workers * stage.accumulate,
        "gradient_clipping": stage.max_grad_norm,
        "steps_per_print": 10**9,
        # We use a torch optimiser under ZeRO, which DeepSpeed otherwise refuses as untested.
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
    }
    if precision != torch.float32 and not {"bf16", "bfloat16", "fp16", "torch_autocast"} & stage.deepspeed.keys():
        ours["torch_autocast"] = {"enabled": True, "dtype": str(precision).removeprefix("torch.")}
    return {**ours, **stage.deepspeed}


def skip_shared_memory_op() -> None:
    """Keep DeepSpeed from compiling its shared-memory collectives on CPUs.

    They need a C++ compiler and 70 s at the first start, and only speed up all-reduces within one machine.
    """
    from deepspeed.ops import __compatible_ops__

    __compatible_ops__["deepspeed_shm_comm"] = False


def _share(parameter: Any, value: Tensor) -> Tensor:
    """This worker's partition of a parameter under ZeRO-3, zero-padded as DeepSpeed does."""
    size = parameter.ds_tensor.numel()
    begin = size * dist.get_rank()
    part = value.flatten()[begin : begin + size].to(parameter.ds_tensor.device, parameter.ds_tensor.dtype)
    return nn.functional.pad(part, (0, size - part.numel()))
