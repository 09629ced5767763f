"""FaVChat: a facial-video multimodal language model and the platform around it."""

__version__ = "0.2.0"
