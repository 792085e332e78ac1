"""The compact model from a configuration: its words, its processor, the round trip through stock transformers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from PIL import Image  # noqa: E402

from analysis.mllm.code import WORDS  # noqa: E402
from analysis.mllm.diagnostic import mosaic  # noqa: E402
from analysis.mllm.families import family  # noqa: E402
from analysis.mllm.processor import Qwen2_5_VLProcessor  # noqa: E402
from analysis.mllm.prompts import QUESTIONS  # noqa: E402
from toolchain.errors import InputError  # noqa: E402
from training.mllm_collate import image_grids, pixel_values  # noqa: E402
from training.mllm_eye import head_told  # noqa: E402
from training.mllm_model import (  # noqa: E402
    FIRST_ANSWER_WORD,
    UNKNOWN,
    CellHead,
    CompactConfig,
    compact_model,
    processor,
)
from training.mllm_reader import compact_prompt_text  # noqa: E402
from training.mllm_speed import speed_up  # noqa: E402

PROMPT = family("compact").prompt().user
SMALL = CompactConfig(hidden=80, layers=2, heads=2, key_heads=1, inner=64, eye_hidden=32, eye_layers=2, eye_heads=2)
ANSWER = "dr4 ct2 ; noise minor global ; blocks severe local p05 p10 p20 p30 ; key 1 ; qd"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("compact")
    compact_model(SMALL).save_pretrained(made)
    processor([PROMPT]).save_pretrained(made)
    CellHead(SMALL.hidden).save(made)
    return made


def codes(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_default_model_has_5_to_20_million_parameters() -> None:
    count = sum(weight.numel() for weight in compact_model(CompactConfig()).parameters())
    assert 5e6 <= count <= 20e6


@pytest.mark.parametrize("text", [ANSWER, "ct2", "clean", "qd", "noise severe global ; key 0", PROMPT])
def test_each_word_is_one_token_and_comes_back(text: str) -> None:
    words = processor([PROMPT]).tokenizer
    ids = words(text)["input_ids"]
    assert len(ids) == len(text.split(" "))
    assert words.convert_tokens_to_ids(UNKNOWN) not in ids
    assert words.decode(ids) == text


def test_prompts_do_not_move_the_ids_of_answers() -> None:
    short, long = processor(["look"]).tokenizer, processor(["look at these pictures and say what is wrong"]).tokenizer
    for word in WORDS:
        assert short.convert_tokens_to_ids(f"Ġ{word}") == long.convert_tokens_to_ids(f"Ġ{word}") >= FIRST_ANSWER_WORD


def test_too_many_prompt_words_are_refused() -> None:
    with pytest.raises(InputError, match="shorten the prompts"):
        processor([" ".join(f"word{index}" for index in range(100))])


@pytest.mark.parametrize("questions", [QUESTIONS, QUESTIONS[1:2]])
def test_prompts_have_no_unknown_word(questions: tuple) -> None:
    made = processor([PROMPT])
    ids = made.tokenizer(compact_prompt_text(made, questions))["input_ids"]
    assert made.tokenizer.convert_tokens_to_ids(UNKNOWN) not in ids


def test_fast_pixels_are_the_processors(folder: Path) -> None:
    made = Qwen2_5_VLProcessor.from_pretrained(folder)
    pictures, stored = codes(0, 2, 140, 224, 3), codes(1, 2, 9, 16, 48)
    shown = [[Image.fromarray(pictures[i]), Image.fromarray(mosaic(stored[i]))] for i in range(2)]
    due = made(text=[compact_prompt_text(made)] * 2, images=shown, return_tensors="pt")
    torch.testing.assert_close(pixel_values(pictures, stored), due["pixel_values"], atol=1e-6, rtol=0)
    assert torch.equal(image_grids(2), due["image_grid_thw"])
    image = made.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    assert (due["input_ids"] == image).sum(1).tolist() == [184, 184]


def test_stock_transformers_loads_what_was_saved(folder: Path) -> None:
    loaded = transformers.AutoModelForImageTextToText.from_pretrained(folder)
    assert type(loaded).__name__ == "Qwen2_5_VLForConditionalGeneration"
    for name, weight in compact_model(SMALL).state_dict().items():
        assert torch.equal(weight, loaded.state_dict()[name]), name
    assert loaded.lm_head.weight.data_ptr() == loaded.get_input_embeddings().weight.data_ptr()
    assert transformers.AutoTokenizer.from_pretrained(folder)(ANSWER)["input_ids"][0] >= FIRST_ANSWER_WORD


def test_the_quick_eye_sees_what_the_stock_eye_sees() -> None:
    model = compact_model(SMALL).eval()
    pictures, stored = codes(0, 3, 140, 224, 3), codes(1, 3, 9, 16, 48)
    with torch.no_grad():
        due = torch.cat(model.get_image_features(pixel_values(pictures, stored), image_grids(3)).pooler_output)
        speed_up(model)
        for repeats in (1, 2):
            pixels = pixel_values(pictures, stored, repeats)
            found = torch.cat(model.get_image_features(pixels, image_grids(3)).pooler_output)
            torch.testing.assert_close(found, due, atol=1e-5, rtol=1e-4)


def test_a_missing_processor_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no processor"):
        Qwen2_5_VLProcessor.from_pretrained(tmp_path)


def test_the_head_reads_what_it_writes_and_survives_its_file(folder: Path) -> None:
    head = CellHead.load(folder)
    logits = torch.randn(5, 15, 3)
    torch.testing.assert_close(head.cells(head.cell_tokens(logits)), logits, atol=1e-4, rtol=1e-4)
    grades = torch.randn(5, 6)
    torch.testing.assert_close(head.picture(head.picture_tokens(grades)), grades, atol=1e-4, rtol=1e-4)
    waves = torch.randn(5, 4, 4)
    both = head.cell_tokens(logits) + head.region_tokens(waves)
    torch.testing.assert_close(head.regions(both), waves, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(head.cells(both), logits, atol=1e-4, rtol=1e-4)


def test_both_pictures_say_the_grades_of_the_frame_and_one_alone_its_cells() -> None:
    head = CellHead(SMALL.hidden)
    grades, cells = torch.randn(2, 6), torch.randn(2, 144, 15, 3)
    said = head.picture_tokens(grades)[:, None]
    tokens = torch.cat([said.expand(-1, 40, -1), said + head.cell_tokens(cells)], dim=1)
    told = head_told(head, tokens)
    torch.testing.assert_close(told.grades, grades, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(told.cells.flatten(1, 2), cells, atol=1e-4, rtol=1e-4)
    for silent in (slice(0, 40), slice(40, 184)):
        half = tokens.clone()
        half[:, silent] = head.picture_tokens(torch.full((6,), -4.0))
        torch.testing.assert_close(head_told(head, half).grades, (grades - 4.0) / 2, atol=1e-4, rtol=1e-4)


def test_a_damaged_head_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "cell_head.tensors").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="no cell head"):
        CellHead.load(tmp_path)
