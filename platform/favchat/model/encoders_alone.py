"""Both encoders without adapter and language model: all that the cache of their features takes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from torch import Tensor

from favchat.model.configuration_favchat import FaVChatConfig
from favchat.model.modeling_favchat import FaVChatModel, FaVChatPreTrainedModel, make_encoder


class FaVChatEncoders(FaVChatPreTrainedModel):
    """The encoders of a :class:`FaVChatModel`, whose files `from_pretrained` reads for their weights alone."""

    _keys_to_ignore_on_load_unexpected = [r"(model\.)?(adapter|language_model)\.", r"lm_head\."]

    def __init__(self, config: FaVChatConfig):
        super().__init__(config)
        self.vision_model = make_encoder(config.vision_config) if config.adapter_config.vision_grid else None
        self.face_model = make_encoder(config.face_config) if config.adapter_config.face_grid else None
        self.post_init()

    def encode_frames(self, pixel_values_videos: Tensor, pixel_values_faces: Tensor) -> dict[str, Tensor]:
        """See :meth:`FaVChatModel.encode_frames`."""
        return FaVChatModel.encode_frames(cast(Any, self), pixel_values_videos, pixel_values_faces)

    def load_adapter(self, *args: Any, **kwargs: Any) -> Any:
        """Low-rank updates that lie beside the weights are the language model's, and change nothing here."""
        return SimpleNamespace(to_dict=lambda: {"missing_keys": set()})
