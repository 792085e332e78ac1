"""BILIVQA rebuilt: a key picture and 32 consecutive small ones -> a clip's score by each head.

MobileNetV2 (Sandler et al., CVPR 2018) looks at the key picture, X3D (Feichtenhofer, CVPR 2020) at the motion; their
features are pooled, concatenated and regressed, with one head for each data set of labels. Four things are not as
published. Both look at differences beside the picture (to the surround, to the picture before), in which grain, steps
and flicker stand out: a small network then learns in minutes what a large one learns in days; the temporal filter
before X3D's first stage gives way to them. Features are pooled at every scale, not at the last alone, and by their
spread beside their mean. Both are narrow. And filters without weights measure the pictures first
(`toolchain.models.networks.bilivqa_front`): their cells join MobileNetV2's stages, and what they measure of whole
pictures is regressed beside the features, by several small regressions whose mean counts.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolchain.models.networks.base import GraphSpec, Network, TensorSpec
from toolchain.models.networks.bilivqa_front import CELL_MAPS, MEASURED, Front

KEY_SHAPE = (3, 256, 448)
MOTION_SHAPE = (3, 32, 72, 128)
"""As `analysis.vqa.display` makes them, colours first."""

SPATIAL_WIDTHS = ((1, 8, 1, 1), (6, 12, 2, 2), (6, 16, 3, 2), (6, 32, 4, 2), (6, 40, 3, 1), (6, 64, 2, 2))
"""(expansion, channels, blocks, stride of the first): MobileNetV2's table at about 0.4 of its widths."""

TEMPORAL_WIDTHS = ((16, 1), (24, 2), (40, 2), (64, 1))
"""(channels, blocks): X3D's four stages, each halving height and width and keeping all frames."""

BOTTLENECK = 2.25
"""Channels inside an X3D block over those at its ends."""

AMPLIFIED = 8.0
"""What differences are multiplied by: they are about as much smaller than the picture."""

JOINING = {2: 0, 3: 1, 5: 2}
"""After which of MobileNetV2's stages the cells of which scale join: where their sizes are equal."""

SPREAD_FLOOR = 1e-4
HIDDEN = 128
REGRESSIONS, REGRESSION_WIDTH, FARTHEST = 6, 96, 5.0
"""Of what is measured: how many, how wide, and how many spreads from the training clips' mean a number may be."""


class BilivqaNetwork(Network):
    """`key` (N, 3, 256, 448) and `motion` (N, 3, 32, 72, 128), perceived light in [0, 1] -> (N, heads) in (0, 1).

    Training may give windows of either, of any size from 32 px on.
    """

    graphs = (
        GraphSpec(
            "score",
            (TensorSpec("key", ("batch", *KEY_SHAPE)), TensorSpec("motion", ("batch", *MOTION_SHAPE))),
            (TensorSpec("scores", ("batch", "heads")),),
        ),
    )

    blend: Tensor
    """(heads,) in [0, 1]: the share of what is learnt; the rest is what is regressed from measurements."""

    def __init__(self, heads: int = 2, dropout: float = 0.0):
        super().__init__()
        self.front, self.spatial, self.temporal = Front(), MobileNetV2(), X3d()
        features = self.spatial.features + self.temporal.features
        self.shared = nn.Sequential(
            nn.BatchNorm1d(features), nn.Dropout(dropout), nn.Linear(features, HIDDEN), nn.SiLU(), nn.Dropout(dropout)
        )
        self.heads = nn.ModuleList(_head() for _ in range(heads))
        self.regressions = Regressions(heads)
        self.register_buffer("blend", torch.ones(heads))

    def score(self, key: Tensor, motion: Tensor) -> Tensor:
        """See the class."""
        return torch.sigmoid(self.logits(key, motion))

    def logits(self, key: Tensor, motion: Tensor) -> Tensor:
        """What `score` takes the sigmoid of, unbounded: `blend` parts of the heads', the rest of the regressions'."""
        measured, cells = self.front(key, motion)
        learnt = self.judged(self._features(key, motion, cells))
        return self.blend * learnt + (1 - self.blend) * self.regressions(measured)

    def features(self, key: Tensor, motion: Tensor) -> Tensor:
        """(N, features) pooled and concatenated, not yet normalised."""
        return self._features(key, motion, self.front.cells(key))

    def _features(self, key: Tensor, motion: Tensor, cells: list[Tensor]) -> Tensor:
        return torch.cat([self.spatial(key, cells), self.temporal(motion)], 1)

    def judged(self, features: Tensor) -> Tensor:
        """(N, features) -> (N, heads) logits."""
        known = self.shared(features)
        return torch.cat([head(known) for head in self.heads], 1)


class Regressions(nn.Module):
    """(N, MEASURED) -> (N, heads) logits: the mean of small networks over numbers brought to one scale."""

    middle: Tensor
    spread: Tensor

    def __init__(self, heads: int):
        super().__init__()
        self.register_buffer("middle", torch.zeros(MEASURED))
        self.register_buffer("spread", torch.ones(MEASURED))
        self.parts = nn.ModuleList(_regression(heads) for _ in range(REGRESSIONS))

    def forward(self, measured: Tensor) -> Tensor:
        scaled = self.scaled(measured)
        return torch.stack([part(scaled) for part in self.parts]).mean(0)

    def scaled(self, measured: Tensor) -> Tensor:
        """(N, MEASURED) in spreads from the middle, none farther than FARTHEST."""
        return ((measured - self.middle) / self.spread).clamp(-FARTHEST, FARTHEST)


class MobileNetV2(nn.Module):
    """(N, 3, H, W) in [0, 1] and its cells -> (N, features): mean and spread of the maps at 1/2 to 1/32."""

    def __init__(self) -> None:
        super().__init__()
        stem = 16
        self.stem = nn.Sequential(nn.Conv2d(6, stem, 3, 2, 1, bias=False), nn.BatchNorm2d(stem), nn.ReLU6())
        self.stages = nn.ModuleList()
        before, pooled = stem, []
        for expansion, channels, blocks, stride in SPATIAL_WIDTHS:
            stage = []
            for index in range(blocks):
                stage.append(_InvertedResidual(before, channels, stride if index == 0 else 1, expansion))
                before = channels
            self.stages.append(nn.Sequential(*stage))
            pooled.append(channels)
        self.joins = nn.ModuleDict({str(at): _join(pooled[at]) for at in JOINING})
        self.features = 2 * sum(pooled)

    def forward(self, key: Tensor, cells: list[Tensor]) -> Tensor:
        surround = functional.avg_pool2d(functional.pad(key, (1, 1, 1, 1), mode="replicate"), 3, 1)
        maps = self.stem(torch.cat([key - 0.5, AMPLIFIED * (key - surround)], 1))
        pooled = []
        for at, stage in enumerate(self.stages):
            maps = stage(maps)
            if at in JOINING:
                maps = maps + self.joins[str(at)](cells[JOINING[at]])
            pooled += [maps.mean((2, 3)), _spread(maps, (2, 3))]
        return torch.cat(pooled, 1)


class _InvertedResidual(nn.Module):
    """Widen, filter each channel by itself, narrow without bending; added to the input where the shapes are equal."""

    def __init__(self, before: int, after: int, stride: int, expansion: int):
        super().__init__()
        inside = before * expansion
        widen = [nn.Conv2d(before, inside, 1, bias=False), nn.BatchNorm2d(inside), nn.ReLU6()]
        self.layers = nn.Sequential(
            *(widen if expansion > 1 else []),
            nn.Conv2d(inside, inside, 3, stride, 1, groups=inside, bias=False),
            nn.BatchNorm2d(inside),
            nn.ReLU6(),
            nn.Conv2d(inside, after, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.residual = stride == 1 and before == after

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.layers(maps) if self.residual else self.layers(maps)


class X3d(nn.Module):
    """(N, 3, T, H, W) in [0, 1] -> (N, features): of each stage's maps the mean, the spread, and the spread over time
    of the frame's mean."""

    def __init__(self) -> None:
        super().__init__()
        stem = 16
        self.stem = nn.Sequential(
            nn.Conv3d(6, stem, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False),
            nn.BatchNorm3d(stem),
            nn.ReLU(),
        )
        self.stages = nn.ModuleList()
        before = stem
        for channels, blocks in TEMPORAL_WIDTHS:
            stage = [_X3dBlock(before, channels, 2, squeezed=True)]
            stage += [_X3dBlock(channels, channels, 1, squeezed=index % 2 == 0) for index in range(1, blocks)]
            self.stages.append(nn.Sequential(*stage))
            before = channels
        self.features = 3 * sum(channels for channels, _ in TEMPORAL_WIDTHS)

    def forward(self, motion: Tensor) -> Tensor:
        steps = motion[:, :, 1:] - motion[:, :, :-1]
        steps = torch.cat([torch.zeros_like(motion[:, :, :1]), steps], 2)
        maps = self.stem(torch.cat([motion - 0.5, AMPLIFIED * steps], 1))
        pooled = []
        for stage in self.stages:
            maps = stage(maps)
            frames = maps.mean((3, 4))
            pooled += [frames.mean(2), _spread(maps, (2, 3, 4)), _spread(frames, (2,))]
        return torch.cat(pooled, 1)


class _X3dBlock(nn.Module):
    """Widen, filter each channel over time and place, squeeze and excite, swish, narrow; a shortcut beside it."""

    def __init__(self, before: int, after: int, stride: int, squeezed: bool):
        super().__init__()
        inside = int(BOTTLENECK * after)
        self.widen = nn.Sequential(nn.Conv3d(before, inside, 1, bias=False), nn.BatchNorm3d(inside), nn.ReLU())
        self.filter = nn.Sequential(
            nn.Conv3d(inside, inside, 3, (1, stride, stride), 1, groups=inside, bias=False), nn.BatchNorm3d(inside)
        )
        self.excite = _SqueezeExcite(inside) if squeezed else nn.Identity()
        self.narrow = nn.Sequential(nn.SiLU(), nn.Conv3d(inside, after, 1, bias=False), nn.BatchNorm3d(after))
        self.shortcut = nn.Sequential()
        if stride > 1 or before != after:
            self.shortcut = nn.Sequential(
                nn.Conv3d(before, after, 1, (1, stride, stride), bias=False), nn.BatchNorm3d(after)
            )

    def forward(self, maps: Tensor) -> Tensor:
        inside = self.excite(self.filter(self.widen(maps)))
        return functional.relu(self.narrow(inside) + self.shortcut(maps))


class _SqueezeExcite(nn.Module):
    """Each channel weighted by what the whole clip says (Hu et al., CVPR 2018)."""

    def __init__(self, channels: int):
        super().__init__()
        narrow = max(8, channels // 16)
        self.weigh = nn.Sequential(nn.Linear(channels, narrow), nn.ReLU(), nn.Linear(narrow, channels), nn.Sigmoid())

    def forward(self, maps: Tensor) -> Tensor:
        return maps * self.weigh(maps.mean((2, 3, 4)))[:, :, None, None, None]


def _spread(maps: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Standard deviation over axes, never quite 0 so that its gradient stays finite."""
    centred = maps - maps.mean(axes, keepdim=True)
    return torch.sqrt((centred * centred).mean(axes) + SPREAD_FLOOR)


def _head() -> nn.Sequential:
    return nn.Sequential(nn.Linear(HIDDEN, 32), nn.SiLU(), nn.Linear(32, 1))


def _join(channels: int) -> nn.Sequential:
    """Cells brought to one scale and to a stage's channels."""
    return nn.Sequential(nn.BatchNorm2d(CELL_MAPS), nn.Conv2d(CELL_MAPS, channels, 1, bias=False))


def _regression(heads: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Dropout(0.2),
        nn.Linear(MEASURED, REGRESSION_WIDTH),
        nn.SiLU(),
        nn.Dropout(0.3),
        nn.Linear(REGRESSION_WIDTH, REGRESSION_WIDTH // 2),
        nn.SiLU(),
        nn.Dropout(0.3),
        nn.Linear(REGRESSION_WIDTH // 2, heads),
    )
