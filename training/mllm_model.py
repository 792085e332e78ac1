"""The compact model, from a configuration: Qwen2.5-VL in small, its words, its processor, its cell head.

Every word of an answer is one token, so an answer is short and a grammar costs nothing. Words carry their leading
space as byte-level vocabularies do: any decoder joins them to the text that `analysis.mllm.code.decode` reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor, nn
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)

from analysis.mllm.code import SEVERITIES, TYPE_WORDS, WORDS
from analysis.mllm.frame_report import CONTRASTS, GRADES
from analysis.mllm.processor import MERGE, PATCH, REPEATS, Qwen2_5_VLProcessor, image_processor
from toolchain.errors import InputError

WORD = r"\n| ?[^\s]+"
_SPACE = "Ġ"  # how byte-level vocabularies write a space; "Ċ" is their newline
SPECIALS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>", "<|unknown|>",
)  # fmt: skip
PAD, END, UNKNOWN = "<|endoftext|>", "<|im_end|>", "<|unknown|>"
FIRST_PROMPT_WORD, FIRST_ANSWER_WORD, FIRST_BARE_WORD, VOCABULARY = 16, 96, 240, 320
"""Where prompt words, answer words and answers' first words begin: each list may grow and no other's ids move."""
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""The chat markup of the Qwen family, without its default system message."""
HEAD_FILE = "cell_head.tensors"
"""In the format of safetensors, by another ending: vLLM takes every *.safetensors of a folder for the model's."""


class CompactConfig(BaseModel):
    """Sizes of the network. Heads divide the hidden sizes; all hidden sizes are multiples of 8."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hidden: int = Field(default=256, ge=72, description="no fewer than the directions of the cell head")
    layers: int = Field(default=6, gt=0)
    heads: int = Field(default=4, gt=0)
    key_heads: int = Field(default=2, gt=0)
    inner: int = Field(default=704, gt=0)
    eye_hidden: int = Field(default=192, gt=0)
    eye_layers: int = Field(default=4, gt=0)
    eye_heads: int = Field(default=4, gt=0)
    eye_inner: int = Field(default=512, gt=0)
    seed: int = 0


# Words


def tokenizer(prompts: Iterable[str]) -> PreTrainedTokenizerFast:
    """The word-level tokenizer of the answers' words and those of the prompts. InputError for prompts of many words.

    A word after a space is another token than the same word that begins a line, as in any byte-level vocabulary.
    """
    texts = ["user", "assistant", "system", *prompts]
    found = [word.replace(" ", _SPACE) for text in texts for word in re.findall(WORD, text)]
    first = [word for word in WORDS if word != ";" and not word.startswith(("p", "global", "local", *SEVERITIES))]
    parts = {
        0: SPECIALS,
        FIRST_PROMPT_WORD: ["Ċ", *found, *(word.removeprefix(_SPACE) for word in found)],
        FIRST_ANSWER_WORD: [_SPACE + word for word in WORDS],
        FIRST_BARE_WORD: first,
    }
    made = Tokenizer(models.WordLevel(_numbered(parts), unk_token=UNKNOWN))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORD), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        additional_special_tokens=[token for token in SPECIALS if token not in (PAD, END, UNKNOWN)],
        clean_up_tokenization_spaces=False,
        model_max_length=4096,
        padding_side="left",
    )


def _numbered(parts: Mapping[int, Sequence[str]]) -> dict[str, int]:
    """Each word once, among the answers' where several parts have it; unused ids have names of their own."""
    starts = sorted(parts)
    ids: dict[str, int] = {}
    for start in [FIRST_ANSWER_WORD, FIRST_BARE_WORD, *starts]:
        room = next((later for later in starts if later > start), VOCABULARY) - start
        words = [word for word in dict.fromkeys(parts[start]) if word not in ids]
        if len(words) > room:
            raise InputError(f"{len(words)} words do not fit the {room} places of their part: shorten the prompts")
        ids |= {word: start + place for place, word in enumerate(words)}
    taken = set(ids.values())
    return ids | {f"<|unused_{index}|>": index for index in range(VOCABULARY) if index not in taken}


def processor(prompts: Iterable[str]) -> Qwen2_5_VLProcessor:
    """Tokenizer, image processor and chat markup in one."""
    return Qwen2_5_VLProcessor(image_processor(), tokenizer(prompts), TEMPLATE)


# The network


def compact_model(config: CompactConfig) -> Qwen2_5_VLForConditionalGeneration:
    """The network with weights as the seed draws them, in float32."""
    ids = {name: index for index, name in enumerate(SPECIALS)}
    sizes = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": VOCABULARY,
            "hidden_size": config.hidden,
            "intermediate_size": config.inner,
            "num_hidden_layers": config.layers,
            "num_attention_heads": config.heads,
            "num_key_value_heads": config.key_heads,
            "max_position_embeddings": 4096,
            "tie_word_embeddings": True,
            "bos_token_id": None,
            "eos_token_id": ids[END],
            "pad_token_id": ids[PAD],
            "rope_parameters": {
                "rope_type": "default", "rope_theta": 10_000.0, "mrope_section": _sections(config),
            },
        },
        vision_config={
            "hidden_size": config.eye_hidden,
            "depth": config.eye_layers,
            "num_heads": config.eye_heads,
            "intermediate_size": config.eye_inner,
            "out_hidden_size": config.hidden,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "temporal_patch_size": REPEATS,
            "window_size": 4 * PATCH * MERGE,
            "fullatt_block_indexes": list(range(config.eye_layers)),  # the grids are small: no windows
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(config.seed)
    model = Qwen2_5_VLForConditionalGeneration(sizes)
    model.generation_config = GenerationConfig(eos_token_id=ids[END], pad_token_id=ids[PAD], do_sample=False)
    return model


def _sections(config: CompactConfig) -> list[int]:
    """How the rotary frequencies are shared out among time, rows and columns: 2 : 3 : 3, as in the large models."""
    half = config.hidden // config.heads // 2
    rows = 3 * half // 8
    return [half - 2 * rows, rows, rows]


# The cell head

CELL_OUTPUTS = len(TYPE_WORDS) * len(SEVERITIES)
PICTURE_OUTPUTS = len(GRADES) - 1 + len(CONTRASTS) - 1
REGION_WAVES = 4
"""Half waves over the picture, 1 to 4, by whose heights a cell says where an edge of its region is."""
REGION_OUTPUTS = 4 * REGION_WAVES
GAIN, BIAS = 8.0, -4.0
"""A token that has nothing of a direction denies it surely, one that has a unit of it affirms it surely."""


class CellHead(nn.Module):
    """What single tokens say, read along fixed directions: the agreed language of the eye and of the reader.

    A diagnostic token says of its cell, for each type, whether the damage is at least minor, moderate, severe, and
    where the edges of the damaged region are that it lies in; the tokens of both pictures whether dynamic range and
    contrast are above each step. The directions are orthonormal and never learn, so that an eye trained without a
    reader, and a reader trained on simulated tokens, fit together.
    """

    def __init__(self, hidden: int, seed: int = 0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        outputs = CELL_OUTPUTS + PICTURE_OUTPUTS + REGION_OUTPUTS
        square = torch.randn(hidden, outputs, generator=generator, dtype=torch.float64)
        self.directions = nn.Buffer(torch.linalg.qr(square).Q.T.float().contiguous())

    def cells(self, tokens: Tensor) -> Tensor:
        """(..., hidden) diagnostic tokens to logits (..., types, severities)."""
        logits = BIAS + GAIN * (tokens.float() @ self.directions[:CELL_OUTPUTS].T)
        return logits.unflatten(-1, (len(TYPE_WORDS), len(SEVERITIES)))

    def picture(self, tokens: Tensor) -> Tensor:
        """(..., hidden) tokens of a picture to logits (..., 6): four of dynamic range, two of contrast."""
        return BIAS + GAIN * (tokens.float() @ self.directions[CELL_OUTPUTS:-REGION_OUTPUTS].T)

    def regions(self, tokens: Tensor) -> Tensor:
        """(..., hidden) diagnostic tokens to (..., 4, waves): cos(pi k edge) of x0, y0, x1, y1; 0 outside regions."""
        return (tokens.float() @ self.directions[-REGION_OUTPUTS:].T).unflatten(-1, (4, REGION_WAVES))

    def cell_tokens(self, logits: Tensor) -> Tensor:
        """The tokens that say (..., types, severities) and nothing else."""
        return (logits.flatten(-2) - BIAS) / GAIN @ self.directions[:CELL_OUTPUTS]

    def picture_tokens(self, logits: Tensor) -> Tensor:
        """The tokens of a picture that say (..., 6) and nothing else."""
        return (logits - BIAS) / GAIN @ self.directions[CELL_OUTPUTS:-REGION_OUTPUTS]

    def region_tokens(self, waves: Tensor) -> Tensor:
        """The tokens that say (..., 4, waves) and nothing else."""
        return waves.flatten(-2) @ self.directions[-REGION_OUTPUTS:]

    def save(self, folder: Path) -> None:
        """Beside the model's weights; stock loaders do not look at it."""
        save_file({"directions": self.directions.contiguous()}, folder / HEAD_FILE)

    @classmethod
    def load(cls, folder: Path) -> CellHead:
        """The head of a checkpoint folder. InputError where it is missing or of another shape."""
        try:
            directions = load_file(folder / HEAD_FILE)["directions"]
            head = cls(directions.shape[1])
            head.load_state_dict({"directions": directions})
        except (OSError, SafetensorError, KeyError, RuntimeError, ValueError, IndexError) as error:
            raise InputError(f"{folder / HEAD_FILE} holds no cell head: name a checkpoint folder with one") from error
        return head
