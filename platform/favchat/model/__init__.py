"""The model in transformers' conventions, known to its Auto classes once this package is imported."""

from favchat.runtime.collector import collector_paused

with collector_paused():
    from transformers import (
        AutoConfig,
        AutoModel,
        AutoModelForImageTextToText,
        AutoModelForMultimodalLM,
        AutoProcessor,
    )
    from transformers.models.auto.video_processing_auto import VIDEO_PROCESSOR_MAPPING

    from favchat.model.adapter import FaVChatAdapter
    from favchat.model.configuration_favchat import FaVChatAdapterConfig, FaVChatConfig
    from favchat.model.face_pyramid import FacePyramidConfig, FacePyramidModel
    from favchat.model.modeling_favchat import FaVChatForConditionalGeneration, FaVChatModel
    from favchat.model.processing_favchat import FaVChatProcessor
    from favchat.model.video_processing_favchat import FaVChatVideoProcessor

AutoConfig.register(FacePyramidConfig.model_type, FacePyramidConfig)
AutoConfig.register(FaVChatAdapterConfig.model_type, FaVChatAdapterConfig)
AutoConfig.register(FaVChatConfig.model_type, FaVChatConfig)
AutoModel.register(FacePyramidConfig, FacePyramidModel)
AutoModel.register(FaVChatAdapterConfig, FaVChatAdapter)
AutoModel.register(FaVChatConfig, FaVChatModel)
AutoModelForImageTextToText.register(FaVChatConfig, FaVChatForConditionalGeneration)
AutoModelForMultimodalLM.register(FaVChatConfig, FaVChatForConditionalGeneration)
# What AutoVideoProcessor, which needs torchvision, looks in.
VIDEO_PROCESSOR_MAPPING.register(FaVChatConfig, {"torchvision": FaVChatVideoProcessor})
AutoProcessor.register(FaVChatConfig, FaVChatProcessor)

__all__ = [
    "FaVChatAdapter",
    "FaVChatAdapterConfig",
    "FaVChatConfig",
    "FaVChatForConditionalGeneration",
    "FaVChatModel",
    "FaVChatProcessor",
    "FaVChatVideoProcessor",
    "FacePyramidConfig",
    "FacePyramidModel",
]
