"""The training of the expectation: small, on pairs made here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from agent.cli.main import main
from analysis.vqa.expectation import SIGNATURE_SIZE, TONES, read_expectation
from toolchain.errors import InputError, UsageError
from toolchain.events import ignore
from training.data.itm_pairs import ItmDataConfig, build
from training.expectation import ExpectationConfig, load_config, train

CONFIG = ExpectationConfig(steps=30, batch=32, hidden=(16, 16), log_every=10)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    config = ItmDataConfig(
        width=64, height=36, titles=24, seen_grades=2, unseen_grades=1, broadcast_grades=0, masters=False,
        compressed_share=0,
    )  # fmt: skip
    build(config, folder)
    return folder


def test_the_shipped_recipe_is_one() -> None:
    assert load_config(Path("configs/training/expectation.yaml")).steps > 1000


def test_it_learns_to_come_nearer_than_doing_nothing_and_writes_what_the_product_reads(
    pairs: Path, tmp_path: Path
) -> None:
    weights = train(CONFIG.model_copy(update={"steps": 150}), [pairs], tmp_path, ignore)
    figures = json.loads((tmp_path / "metrics.json").read_text())
    assert figures["train"]["mse_pu"] < 0.8 * figures["train"]["mse_nothing_pu"]
    assert {"train", "validation", "test", "unseen"} == set(figures)
    assert figures["validation"]["error_over_spread"] == pytest.approx(1, abs=0.02)
    mean, spread = read_expectation(weights.read_bytes())(*[np.zeros(SIGNATURE_SIZE, np.float32)] * 2)
    assert np.isfinite(mean).all() and (spread > 0).all()
    assert (tmp_path / "learning.png").stat().st_size > 1000


def test_the_network_runs_in_the_product_as_it_was_trained(pairs: Path, tmp_path: Path) -> None:
    import torch

    from training.expectation import ExpectationNetwork, _weights

    network = ExpectationNetwork(CONFIG).eval()
    torch.nn.init.normal_(network.scale, 2, 0.1)
    frame, video = (torch.rand(SIGNATURE_SIZE) for _ in range(2))
    with torch.no_grad():
        mean, log_spread = network(frame[None], video[None])
    ours = read_expectation(_weights(network))(frame.numpy(), video.numpy())
    assert ours[0] == pytest.approx(100 * mean[0].numpy(), abs=1e-3)
    assert ours[1] == pytest.approx(100 * np.exp(log_spread[0].numpy()), rel=1e-4)


def test_how_errors_go_together_is_measured_where_both_tones_are() -> None:
    import torch

    from training.expectation import Examples, ExpectationNetwork, errors_together

    pairs = 4000
    torch.manual_seed(0)
    rise, share = torch.zeros(pairs, TONES), torch.zeros(pairs, TONES)
    rise[:, 3] = torch.randn(pairs)
    rise[:, 5] = -0.8 * rise[:, 3] + 0.6 * torch.randn(pairs)
    share[:, [3, 5, 7]] = 1 / 3
    signatures = torch.zeros(pairs, SIGNATURE_SIZE)
    network = ExpectationNetwork(CONFIG)
    for tensor in network.parameters():
        torch.nn.init.zeros_(tensor)
    together = errors_together(network, Examples(signatures, signatures, share, rise, torch.ones(pairs)))
    assert together[3, 5] == pytest.approx(-0.8, abs=0.02)
    assert together.diagonal() == pytest.approx(np.ones(TONES), abs=1e-5)
    assert torch.linalg.eigvalsh(together.double()).min() > 0
    assert together[0, 1:].abs().max() < 1e-6


def test_a_stopped_training_goes_on_to_the_same_weights(pairs: Path, tmp_path: Path) -> None:
    whole = train(CONFIG, [pairs], tmp_path / "whole", ignore).read_bytes()

    class Stop(Exception):
        pass

    def stop_half_way(event: object) -> None:
        if getattr(event, "step", "") == "train":
            raise Stop

    with pytest.raises(Stop):
        train(CONFIG, [pairs], tmp_path / "stopped", stop_half_way)  # type: ignore[arg-type]
    assert train(CONFIG, [pairs], tmp_path / "stopped", ignore).read_bytes() == whole


def test_titles_of_one_split_alone_are_refused(tmp_path: Path) -> None:
    config = ItmDataConfig(
        width=32, height=32, titles=1, seen_grades=1, unseen_grades=0, broadcast_grades=0, masters=False,
        compressed_share=0,
    )  # fmt: skip
    build(config, tmp_path / "one")
    with pytest.raises(InputError, match="hold no pairs for"):
        train(CONFIG, [tmp_path / "one"], tmp_path / "out", ignore)


def test_bad_recipes_and_data_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("steps: many\n")
    with pytest.raises(UsageError, match="steps"):
        load_config(bad)
    command = ["train", "expectation", "--config", "configs/training/expectation.yaml", "--data", str(tmp_path)]
    assert main([*command, "--out", str(tmp_path / "out")]) == 3
    assert "not a finished set of pairs" in capsys.readouterr().err
