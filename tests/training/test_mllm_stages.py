"""The stages of the analyser's training after one another on a dozen samples: taught, mined, rewarded, exported."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from agent.cli.main import main
from analysis.mllm import code
from analysis.mllm.prompts import QUESTIONS
from toolchain.errors import AgentError, InputError, UsageError
from toolchain.events import Event, Progress
from training import grpo, mine, rollouts, sft
from training.data.mllm_shards import Line, Shard, shard_path, write_shard
from training.export import export
from training.grpo import GrpoConfig
from training.lora import LoraSettings
from training.mine import MineConfig, Mined
from training.mllm_asked import Asked
from training.mllm_checkpoint import (
    fingerprint,
    folder_hashes,
    last_checkpoint,
    load_model,
    load_processor,
    placeholder_tokens,
    vision_of,
)
from training.mllm_model import CompactConfig
from training.mllm_rows import Rows
from training.rollouts import Rollouts
from training.sft import SftConfig

ANSWERS = (
    "dr4 ct2 ; noise minor global ; key 0 ; qd",
    "dr2 ct1 ; clean ; qj",
    "dr3 ct3 ; blocks severe local p05 p10 p20 p30 ; over minor global ; key 0 ; qa",
)
TINY = CompactConfig(
    hidden=80, layers=2, heads=2, key_heads=1, inner=96, eye_hidden=48, eye_layers=2, eye_heads=2, eye_inner=64
)
TEACHING = SftConfig(
    model=TINY,
    steps=90,
    batch=6,
    learning_rate=5e-3,
    schedule="constant",
    warmup=0.0,
    bf16=False,
    cell_weight=0.1,
    validate_every=90,
    checkpoint_every=90,
)
MINING = MineConfig(rollouts=4, batch=4, longest=24, lowest=0.01, highest=0.999, least_spread=0.0)
LEARNING = GrpoConfig(steps=4, prompts=2, generations=4, learning_rate=1e-3, longest=24, checkpoint_every=2)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve samples in two shards; the picture's brightness says which of three answers is true."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for split, number in (("train", 0), ("train", 1), ("validation", 2)):
        places = range(6 * number, 6 * number + 6)
        lines = [Line(id=f"s{i}", source="made", split=split, report=code.decode(ANSWERS[i % 3])) for i in places]
        levels = np.array([[0, 120, 240][i % 3] for i in places], np.uint8)
        picture = levels[:, None, None, None] + rng.integers(0, 15, (6, 140, 224, 3), dtype=np.uint8)
        statistics = levels[:, None, None, None] + rng.integers(0, 15, (6, 9, 16, 48), dtype=np.uint8)
        write_shard(shard_path(folder, split, number), Shard(picture, statistics, lines))
    return folder


@pytest.fixture(scope="module")
def start(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that has nearly learnt the answers' form."""
    return sft.train(TEACHING, data, tmp_path_factory.mktemp("taught"))


@pytest.fixture(scope="module")
def hard(data: Path, start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mine.mine(MINING, data, start, tmp_path_factory.mktemp("mined"))


@pytest.fixture(scope="module")
def trained(data: Path, start: Path, hard: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return grpo.train(LEARNING, data, start, tmp_path_factory.mktemp("trained"), hard)


class Killed(Exception):
    pass


class KillAfter:
    """An emitter that ends the run after so many progress events."""

    def __init__(self, events: int):
        self.left = events

    def __call__(self, event: Event) -> None:
        self.left -= isinstance(event, Progress)
        if not self.left:
            raise Killed


# Rollouts


def test_reading_a_prompt_once_changes_no_answer(data: Path, start: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(Rows(data, "train"), "compact", range(4), {"s1": ("quality",)})  # prompts of two lengths
    drawing = Rollouts(load_model(start), load_processor(start, "compact"), 24, temperature=0)
    shared = drawing.tokens([asked.shown(place) for place in range(4)], 2)
    monkeypatch.setattr(rollouts, "_counts_in_three", lambda model: False)
    assert shared == drawing.tokens([asked.shown(place) for place in range(4)], 2)
    assert len({len(prompt) for prompt in shared[0]}) == 2
    assert shared[1][0] == shared[1][1]
    assert len({tuple(answer) for answer in shared[1]}) > 1


def test_no_placeholder_is_ever_drawn(data: Path, start: Path) -> None:
    asked = Asked(Rows(data, "train"), "compact", range(2), {})
    own = load_processor(start, "compact")
    network = load_model(start)
    with torch.no_grad():
        network.get_output_embeddings().weight.zero_()  # every word is as likely
    _, drawn = Rollouts(network, own, 24).tokens([asked.shown(place) for place in range(2)], 8)
    kept_out = placeholder_tokens(own)
    assert own.tokenizer.convert_tokens_to_ids("<|image_pad|>") in kept_out
    assert own.tokenizer.eos_token_id not in kept_out
    assert len({token for answer in drawn for token in answer}) > 50
    assert not {token for answer in drawn for token in answer} & set(kept_out)


# Mining


def test_mining_keeps_what_is_neither_known_nor_lost_and_says_how_much(hard: Path) -> None:
    found = [Mined.model_validate_json(line) for line in (hard.parent / mine.ROLLOUTS).read_text().splitlines()]
    figures = json.loads((hard.parent / mine.MANIFEST).read_text())["figures"]
    kept = mine.hard_samples(hard)
    assert [mined.id for mined in found] == [f"s{i}" for i in range(12)]
    assert list(kept) == [mined.id for mined in found if 0.01 <= mined.mean <= 0.999 and mined.spread > 0]
    assert figures["samples"] == 12
    assert figures["kept"] == len(kept) > 0
    assert sum(figures[name] for name in ("kept", "too_hard", "known", "always_the_same")) == 12
    assert sum(figures["samples_by_tenth_of_mean_reward"]) == 12


@pytest.mark.parametrize(
    ("mean", "spread", "is_worth"), [(0.5, 0.2, True), (0.14, 0.2, False), (0.86, 0.2, False), (0.5, 0.05, False)]
)
def test_the_limits_of_the_seed_recipe(mean: float, spread: float, is_worth: bool) -> None:
    mined = Mined(id="a", mean=mean, spread=spread, valid=1, rewards={}, right={})
    assert mine.worth(MineConfig(), mined) is is_worth


def test_questions_always_answered_right_are_left_out() -> None:
    shares = {"dynamic_range": 1.0, "contrast": 0.5, "distortions": 0.0, "quality": 1.0}
    mined = Mined(id="a", mean=0.5, spread=0.1, valid=1, rewards={}, right=shares)
    assert mined.open_questions() == ("contrast", "distortions")
    assert mined.model_copy(update={"right": dict.fromkeys(QUESTIONS, 1.0)}).open_questions() == QUESTIONS


def test_a_killed_mining_goes_on_to_the_same_choice(data: Path, start: Path, hard: Path, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        mine.mine(MINING, data, start, tmp_path, KillAfter(2))
    log = tmp_path / mine.ROLLOUTS
    assert len(log.read_text().splitlines()) == 8
    log.write_text("\n".join(log.read_text().splitlines()[:7]) + '\n{"id": "s7", "me')
    assert mine.mine(MINING, data, start, tmp_path).read_text() == hard.read_text()
    with pytest.raises(UsageError, match="another recipe"):
        mine.mine(MINING.model_copy(update={"rollouts": 2}), data, start, tmp_path)


def test_a_list_that_is_none_is_refused(tmp_path: Path) -> None:
    for text in ("", "{}\n", "not json\n"):
        (tmp_path / "hard.jsonl").write_text(text)
        with pytest.raises(InputError):
            mine.hard_samples(tmp_path / "hard.jsonl")


# GRPO


def test_what_trl_is_told(start: Path, tmp_path: Path) -> None:
    own = load_processor(start, "compact")
    told = grpo.trl_config(GrpoConfig(steps=1, learning_rate=1e-5, weights={"boxes": 2.0}), tmp_path, own)
    assert (told.beta, told.loss_type, told.epsilon, told.epsilon_high) == (0.0, "dapo", 0.2, 0.28)
    assert (told.temperature, told.top_p, told.top_k) == (1.0, 1.0, 0)
    assert told.multi_objective_aggregation == "normalize_then_sum"
    assert told.reward_weights == [1.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert told.num_generations == 8
    assert told.generation_kwargs == {"suppress_tokens": placeholder_tokens(own)}
    served = grpo.trl_config(GrpoConfig(steps=1, learning_rate=1e-5, vllm=grpo.Vllm()), tmp_path, own)
    assert served.use_vllm
    assert isinstance(served.generation_kwargs, dict)
    assert "<|image_pad|>" in served.generation_kwargs["bad_words"]


@pytest.mark.parametrize("name", ["compact_grpo", "qwen2_5_vl_7b_grpo", "qwen3_vl_grpo"])
def test_the_recipes_that_ship_fit(name: str) -> None:
    config = grpo.load_config(Path(f"configs/training/{name}.yaml"))
    assert (config.clip_high, config.temperature, config.generations) == (0.28, 1.0, 8)


def test_the_mining_recipe_that_ships_has_the_limits_of_the_seed() -> None:
    config = mine.load_config(Path("configs/training/compact_mine.yaml"))
    assert (config.rollouts, config.lowest, config.highest, config.least_spread) == (8, 0.15, 0.85, 0.05)
    assert config.weights == grpo.load_config(Path("configs/training/compact_grpo.yaml")).weights


def test_the_language_learns_and_not_a_bit_of_the_eye_changes(start: Path, trained: Path) -> None:
    before, after = (load_file(folder / "model.safetensors") for folder in (start, trained))
    eye = {name for name in before if "visual" in name}
    assert before.keys() == after.keys()
    assert len(eye) > 10
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert not changed & eye
    assert len(changed) > len(before.keys() - eye) / 2
    manifest = json.loads((trained.parent / grpo.MANIFEST).read_text())
    assert manifest["vision_sha256"] == fingerprint(vision_of(load_model(trained)))


def test_a_single_changed_bit_changes_the_fingerprint(start: Path) -> None:
    eye = vision_of(load_model(start))
    before = fingerprint(eye)
    weight = next(eye.parameters()).data.view(torch.int32).flatten()
    weight[0] ^= 1
    assert fingerprint(eye) != before


def test_an_eye_that_changed_all_the_same_is_an_error(
    data: Path, start: Path, hard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.nn.Module, "requires_grad_", lambda self, on=True: self)  # freezing does nothing
    with pytest.raises(AgentError, match="vision tower has changed"):
        grpo.train(LEARNING.model_copy(update={"steps": 3}), data, start, tmp_path, hard)
    assert not (tmp_path / "model").exists()


def test_every_step_is_on_record(trained: Path) -> None:
    rows = grpo.logged(trained.parent / grpo.METRICS)
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    for row in rows:
        assert 0 <= row["frac_groups_zero_std"] <= 1
        assert row["rewards/choice/mean"] is None
        assert 0 <= row["rewards/form/mean"] <= 1
    for picture in ("rewards.png", "health.png"):
        assert (trained.parent / picture).read_bytes().startswith(b"\x89PNG")


def test_a_killed_training_goes_on_to_the_same_weights(
    data: Path, start: Path, hard: Path, trained: Path, tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        grpo.train(LEARNING, data, start, tmp_path, hard, KillAfter(3))
    torn = tmp_path / "checkpoint-3"
    torn.mkdir()
    resumed = grpo.train(LEARNING, data, start, tmp_path, hard)
    assert not torn.exists()
    assert [row["step"] for row in grpo.logged(tmp_path / grpo.METRICS)] == [1, 2, 3, 4]
    assert folder_hashes(resumed) == folder_hashes(trained)
    assert grpo.train(LEARNING, data, start, tmp_path, hard) == resumed  # a finished training stays finished
    assert folder_hashes(resumed) == folder_hashes(trained)
    with pytest.raises(UsageError, match="another recipe"):
        grpo.train(LEARNING.model_copy(update={"steps": 5}), data, start, tmp_path, hard)


def test_open_questions_alone_are_asked_where_the_recipe_says_so(data: Path, hard: Path) -> None:
    config = LEARNING.model_copy(update={"ask": "open"})
    asked = grpo.chosen(config, data, hard)
    known = mine.hard_samples(hard)
    assert [asked.task(place).questions for place in range(len(asked))] == list(known.values())
    with pytest.raises(UsageError, match="--hard"):
        grpo.chosen(config, data, None)


def test_adapters_are_put_on_the_language_alone_and_merged(data: Path, start: Path, tmp_path: Path) -> None:
    config = LEARNING.model_copy(update={"lora": LoraSettings(rank=4, alpha=8), "learning_rate": 1e-2, "parts": 2})
    with pytest.raises(Killed):
        grpo.train(config, data, start, tmp_path / "killed", emit=KillAfter(3))
    made = [grpo.train(config, data, start, tmp_path / name) for name in ("killed", "whole")]
    assert folder_hashes(made[0]) == folder_hashes(made[1])
    before, after = load_model(start).state_dict(), load_model(made[0]).state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all("language_model.layers" in name and "_proj" in name for name in changed)


def test_the_stages_run_from_the_command_line(
    data: Path, start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipes = {"mine": MINING, "grpo": LEARNING.model_copy(update={"steps": 1})}
    for name, config in recipes.items():
        (tmp_path / f"{name}.yaml").write_text(config.model_dump_json())  # JSON is YAML
    common = ["--data", str(data), "--model", str(start)]
    mined, made = tmp_path / "mined", tmp_path / "made"
    assert main(["train", "mine", "--config", str(tmp_path / "mine.yaml"), *common, "--out", str(mined)]) == 0
    learn = ["train", "grpo", "--config", str(tmp_path / "grpo.yaml"), *common, "--out", str(made), "--json"]
    capsys.readouterr()
    assert main([*learn, "--hard", str(mined / "hard.jsonl")]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]  # nothing else is on stdout
    assert events[-1]["output"] == str(made / "model")
    assert main([*learn[:-1], "--hard", str(tmp_path / "none.jsonl")]) == 2  # begun with another list


# Export


def test_the_exported_folder_is_whole_and_loads_as_stock(start: Path, trained: Path) -> None:
    hashes = json.loads((trained / "hashes.json").read_text())
    assert hashes == {name: value for name, value in folder_hashes(trained).items() if name != "hashes.json"}
    assert {"model.safetensors", "config.json", "tokenizer.json", "cell_head.tensors"} <= hashes.keys()
    assert hashes["cell_head.tensors"] == folder_hashes(start)["cell_head.tensors"]
    assert type(load_model(trained)).__name__ == "Qwen2_5_VLForConditionalGeneration"


def test_export_merges_and_casts_and_replaces_what_was_there(start: Path, tmp_path: Path) -> None:
    class Adapted:
        """What peft hands out, as far as export looks at it."""

        def merge_and_unload(self) -> torch.nn.Module:
            return load_model(start)

    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old.txt").write_text("old")
    export(Adapted(), load_processor(start, "compact"), tmp_path / "model", start, torch.bfloat16)
    assert load_file(tmp_path / "model" / "model.safetensors")["visual.patch_embed.proj.weight"].dtype == (
        torch.bfloat16
    )
    assert not (tmp_path / "model" / "old.txt").exists()
    assert not (tmp_path / "model.partial").exists()


def test_folders_that_hold_no_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no multimodal model"):
        load_model(tmp_path)
    with pytest.raises(InputError):
        load_processor(tmp_path, "qwen3_vl")
    assert last_checkpoint(tmp_path) is None
