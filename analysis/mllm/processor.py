"""Pictures and prompts as a Qwen2.5-VL model takes them, without the video half that the stock processor insists on.

The stock processor wants a video processor, and that torchvision, which a CPU installation lacks. This one reads and
writes the same checkpoint folders under the same class name, so that stock transformers and vLLM load them too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast
from transformers.models.qwen2_5_vl import processing_qwen2_5_vl as stock
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.processing_utils import ProcessorMixin
from transformers.utils import logging

from toolchain.errors import InputError

PATCH, MERGE, REPEATS = 28, 1, 2
"""Pixels of a patch, patches a token along each side, and how often the one picture stands for frames of a video.

A patch is a whole token, as one cell of the diagnostic picture is: its 48 statistics come in together, and the eye
has a fourth of the work that the family's usual 14 pixels and 2 x 2 merging would give it.
"""
MEAN, DEVIATION = 0.5, 0.5
"""What codes in [0, 1] are normalised by, in all three channels."""
TEMPLATE = "chat_template.jinja"
VIDEO_CONFIG = "video_preprocessor_config.json"


logging.disable_progress_bar()  # files of a second: bars of their own would break our progress


class Qwen2_5_VLProcessor(stock.Qwen2_5_VLProcessor):  # noqa: N801 - the checkpoint names its processor's class
    """The stock processor for pictures alone."""

    def __init__(
        self,
        image_processor: Qwen2VLImageProcessorPil,
        tokenizer: PreTrainedTokenizerFast,
        chat_template: str | None = None,
    ):
        self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **_: Any) -> Self:  # type: ignore[override]
        """The processor of a checkpoint folder. InputError where files are missing or damaged."""
        folder = Path(pretrained_model_name_or_path)
        try:
            template = (folder / TEMPLATE).read_text(encoding="utf-8")
            tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
            images = Qwen2VLImageProcessorPil.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, TypeError) as error:
            problem = " ".join(str(error).split())[:300]
            raise InputError(
                f"{folder} holds no processor of a Qwen2.5-VL model ({problem}): name another"
            ) from error
        return cls(images, tokenizer, template)

    def save_pretrained(self, save_directory: str | Path, push_to_hub: bool = False, **kwargs: Any) -> None:  # type: ignore[override]
        """Write the folder's processor files, and the video ones that only the stock class asks for."""
        super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)
        settings = self.image_processor.to_dict()
        sizes = {name: settings[name] for name in ("size", "patch_size", "merge_size", "temporal_patch_size")}
        folder = Path(save_directory)
        for name, kind in (("preprocessor_config.json", "image"), (VIDEO_CONFIG, "video")):
            made = {
                f"{kind}_processor_type": f"Qwen2VL{kind.title()}Processor",
                "processor_class": type(self).__name__,
            }
            means = {"image_mean": settings["image_mean"], "image_std": settings["image_std"]}
            (folder / name).write_text(json.dumps({**made, **sizes, **means}, indent=1), encoding="utf-8")


def image_processor() -> Qwen2VLImageProcessorPil:
    """Pictures from one token up, normalised by MEAN and DEVIATION, at most 1280 tokens."""
    return Qwen2VLImageProcessorPil(
        size={"shortest_edge": (PATCH * MERGE) ** 2, "longest_edge": 1280 * (PATCH * MERGE) ** 2},
        image_mean=[MEAN] * 3,
        image_std=[DEVIATION] * 3,
        patch_size=PATCH,
        merge_size=MERGE,
        temporal_patch_size=REPEATS,
    )


def grid_of(height: int, width: int) -> tuple[int, int, int]:
    """Patches in time, down and across of a picture whose sides are multiples of 28."""
    return 1, height // PATCH, width // PATCH


def patches(pictures: NDArray[np.uint8], repeats: int = REPEATS) -> NDArray[np.float32]:
    """(n, height, width, 3) codes -> (n, patches, 3 x repeats x 784), sides multiples of 28.

    With the default repeats these are the image processor's numbers, without its detour over PIL.
    """
    count, height, width, _ = pictures.shape
    side = PATCH * MERGE
    cells = pictures.reshape(count, height // side, MERGE, PATCH, width // side, MERGE, PATCH, 3)
    ordered = cells.transpose(0, 1, 4, 2, 5, 7, 3, 6)  # token row, token, patch row, patch, channel, row, column
    normal = (ordered.astype(np.float32) / np.float32(255) - np.float32(MEAN)) / np.float32(DEVIATION)
    again = np.broadcast_to(normal[:, :, :, :, :, :, None], (*normal.shape[:6], repeats, PATCH, PATCH))
    return np.ascontiguousarray(again).reshape(count, height * width // PATCH**2, 3 * repeats * PATCH**2)
