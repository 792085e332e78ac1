"""Recipe files: every one shipped fits a class, and what is wrong with another is one sentence."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
from pydantic import BaseModel

from toolchain.errors import UsageError
from training.data.itm_pairs import ItmDataConfig
from training.data.mllm_data import MllmDataConfig
from training.data.vqa_data import VqaDataConfig
from training.expectation import ExpectationConfig
from training.grpo import GrpoConfig
from training.itm import ItmConfig
from training.itm_local import LocalConfig
from training.mine import MineConfig
from training.mllm_conv import ConvConfig
from training.mllm_pretrain import PretrainConfig
from training.recipe import load_recipe
from training.restore import RestoreConfig
from training.sft import SftConfig
from training.vqa import VqaConfig

CLASSES: dict[str, type[BaseModel]] = {
    "itm_data": ItmDataConfig,
    "itm_fixed": ItmConfig,
    "itm_shot": ItmConfig,
    "itm_local": LocalConfig,
    "restore_codec_clean": RestoreConfig,
    "restore_clarity": RestoreConfig,
    "vqa_data": VqaDataConfig,
    "vqa": VqaConfig,
    "expectation_data": ItmDataConfig,
    "expectation": ExpectationConfig,
    "mllm_data": MllmDataConfig,
    "mllm_data_large": MllmDataConfig,
    "smoke_data": MllmDataConfig,
    "smoke_sft": SftConfig,
    "smoke_mine": MineConfig,
    "smoke_grpo": GrpoConfig,
    "compact_eye": PretrainConfig,
    "compact_reader": PretrainConfig,
    "compact_conv": ConvConfig,
    "compact_sft": SftConfig,
    "compact_mine": MineConfig,
    "compact_grpo": GrpoConfig,
    "qwen2_5_vl_7b_sft": SftConfig,
    "qwen2_5_vl_7b_grpo": GrpoConfig,
    "qwen3_vl_grpo": GrpoConfig,
}
FOLDER = Path(str(files("configs") / "training"))


def test_no_recipe_is_without_its_class() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(CLASSES)


@pytest.mark.parametrize("name", CLASSES)
def test_every_recipe_fits_its_class_and_no_misspelling_does(name: str, tmp_path: Path) -> None:
    path = FOLDER / f"{name}.yaml"
    assert load_recipe(path, CLASSES[name], "a training")
    bad = tmp_path / "bad.yaml"
    bad.write_text(path.read_text(encoding="utf-8") + "\nstepz: 3\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"bad\.yaml is no recipe of a training \(stepz: .*configs/training\.$"):
        load_recipe(bad, CLASSES[name], "a training")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"steps: [", None], ids=["not text", "not YAML", "absent"])
def test_an_unreadable_recipe_is_told_in_one_line(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"recipe\.yaml cannot be read") as caught:
        load_recipe(path, ItmConfig, "a training")
    assert "\n" not in str(caught.value)
