"""Pictures: resize · patches · encoder · pooling. ``prepare`` -> ``encode`` -> ``project`` -> the decoder."""

from minigemma.vision.encoder import encode
from minigemma.vision.image import open_image
from minigemma.vision.patches import prepare
from minigemma.vision.placeholders import image_ids, image_text, soft_token_count, token_types, video_text
from minigemma.vision.pooling import project
from minigemma.vision.resize import BUDGETS, resize, size_for_budget, target_size
from minigemma.vision.video import Video, prepare_video

__all__ = [
    "BUDGETS",
    "Video",
    "encode",
    "image_ids",
    "image_text",
    "open_image",
    "prepare",
    "prepare_video",
    "project",
    "resize",
    "size_for_budget",
    "soft_token_count",
    "target_size",
    "token_types",
    "video_text",
]
