"""What the judging network measures without weights: each kind of damage moves the number that is meant for it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from toolchain.models.networks import bilivqa_front as front
from toolchain.models.networks.bilivqa import JOINING, KEY_SHAPE, MOTION_SHAPE, BilivqaNetwork


@pytest.fixture(scope="module")
def clip() -> tuple[Tensor, Tensor]:
    """Smooth texture that moves, in [0.1, 0.9]."""
    torch.manual_seed(0)
    wide = torch.rand(1, 3, 256, 512)
    for _ in range(6):
        wide = front.smooth(wide, 2)
    wide = 0.1 + 0.8 * (wide - wide.amin()) / (wide.amax() - wide.amin())
    small = torch.nn.functional.avg_pool2d(wide, 4)[:, :, :64]
    motion = torch.stack([small.roll(-index, 3)[..., :112] for index in range(32)], 2)
    return wide[..., :448].contiguous(), motion


def test_what_is_measured_has_one_size_and_is_finite_for_flat_pictures(clip: tuple[Tensor, Tensor]) -> None:
    assert front.Front()(*clip)[0].shape == (1, front.MEASURED)
    for value in (0.0, 0.5, 1.0):
        flat = front.Front()(torch.full((1, *KEY_SHAPE), value), torch.full((1, *MOTION_SHAPE), value))[0]
        assert flat.isfinite().all()


def test_cells_have_the_size_of_the_stages_they_join() -> None:
    network, key = BilivqaNetwork(1).eval(), torch.rand(1, 3, 96, 160)
    cells = network.front.cells(key)
    assert [cells[scale].shape[1:] for scale in JOINING.values()] == [(20, 12, 20), (20, 6, 10), (20, 3, 5)]
    assert network.spatial(key, cells).shape == (1, network.spatial.features)


def test_grain_and_softness_move_energies_apart(clip: tuple[Tensor, Tensor]) -> None:
    luma, chroma = front.colours(clip[0])
    own = front._energy_maps(luma, chroma).mean()
    noisy = front._energy_maps(luma + 0.02 * torch.randn_like(luma), chroma).mean()
    soft = front._energy_maps(front.smooth(front.smooth(luma, 2), 2), front.smooth(chroma, 2)).mean()
    assert soft < own < noisy


@pytest.mark.parametrize("phase", [0, 3])
def test_blocks_are_seen_whatever_their_phase(clip: tuple[Tensor, Tensor], phase: int) -> None:
    luma, _ = front.colours(clip[0])
    moved = luma[..., phase:]
    coarse = torch.nn.functional.avg_pool2d(luma, 8)
    blocky = torch.nn.functional.interpolate(coarse, scale_factor=8)[..., phase:]
    assert (front._blockiness(blocky)[:, 0] > front._blockiness(moved)[:, 0] + 1).all()


def test_steps_between_flat_pixels_are_banding(clip: tuple[Tensor, Tensor]) -> None:
    ramp = torch.linspace(0.2, 0.5, 448).expand(1, 1, 256, 448).contiguous()
    banded = torch.round(ramp * 40) / 40
    assert front._banding(banded)[0, 2] > front._banding(ramp)[0, 2] + 3


def test_a_clipped_end_is_full_and_flat(clip: tuple[Tensor, Tensor]) -> None:
    luma, _ = front.colours(clip[0])
    clipped = clip[0].clamp_max(float(luma.median()))
    own, cut = (front._ends(key, front.colours(key)[0])[0] for key in (clip[0], clipped))
    assert cut[2] > own[2] + 1
    assert cut[3] > own[3]


def test_beating_and_held_frames_stand_out_from_motion(clip: tuple[Tensor, Tensor]) -> None:
    luma = front.colours(clip[1])[0][:, 0]
    beats = luma * (1 + 0.1 * (-1.0) ** torch.arange(32))[None, :, None, None]
    assert front._beating(beats)[0, 1] > front._beating(luma)[0, 1] + 1
    held = luma[:, torch.arange(32) // 4 * 4]
    assert front._repeats(held)[0, 5] > 0.6 > front._repeats(luma)[0, 5]


def test_neighbours_in_the_batch_change_nothing(clip: tuple[Tensor, Tensor]) -> None:
    key, motion = (torch.cat([part, part.flip(-1)]) for part in clip)
    together, alone = front.Front()(key, motion)[0][:1], front.Front()(*clip)[0]
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_a_root_has_a_floor_that_no_term_carries() -> None:
    values = torch.tensor([0.0, 1e-12, 1e-4, 1.0])
    torch.testing.assert_close(front.root(values, 1e-9), torch.sqrt(values + 1e-9))
