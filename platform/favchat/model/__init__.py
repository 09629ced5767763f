"""The model in transformers' conventions, known to its Auto classes once this package is imported."""

from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText, AutoProcessor

from favchat.model.adapter import FaVChatAdapter
from favchat.model.configuration_favchat import FaVChatAdapterConfig, FaVChatConfig
from favchat.model.face_pyramid import FacePyramidConfig, FacePyramidModel
from favchat.model.modeling_favchat import FaVChatForConditionalGeneration, FaVChatModel
from favchat.model.processing_favchat import FaVChatProcessor

AutoConfig.register(FacePyramidConfig.model_type, FacePyramidConfig)
AutoConfig.register(FaVChatAdapterConfig.model_type, FaVChatAdapterConfig)
AutoConfig.register(FaVChatConfig.model_type, FaVChatConfig)
AutoModel.register(FacePyramidConfig, FacePyramidModel)
AutoModel.register(FaVChatAdapterConfig, FaVChatAdapter)
AutoModel.register(FaVChatConfig, FaVChatModel)
AutoModelForImageTextToText.register(FaVChatConfig, FaVChatForConditionalGeneration)
AutoProcessor.register(FaVChatConfig, FaVChatProcessor)

__all__ = [
    "FaVChatAdapter",
    "FaVChatAdapterConfig",
    "FaVChatConfig",
    "FaVChatForConditionalGeneration",
    "FaVChatModel",
    "FaVChatProcessor",
    "FacePyramidConfig",
    "FacePyramidModel",
]
