"""Small networks whose layers are those of the catalogue's networks, for tests of the runtimes."""

from __future__ import annotations

import hashlib
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, pixel_shuffle, relu

from toolchain.models.networks.base import GraphSpec, Network, TensorSpec
from toolchain.runtimes.base import LoadedNetwork

PICTURE = TensorSpec("rgb", ("batch", 3, "height", "width"))
NUMBERS = TensorSpec("numbers", ("batch", 4))
OUTPUT = TensorSpec("picture", ("batch", 3, "height", "width"))


class SmallNetwork(Network):
    """`condition`: pooled statistics; `render`: modulated pixels, a final PQ signal; `restore`: a little U-Net."""

    graphs: ClassVar[tuple[GraphSpec, ...]] = (
        GraphSpec("condition", (PICTURE,), (NUMBERS,), least_size=24, tolerance=1e-5),
        GraphSpec("render", (PICTURE, NUMBERS), (OUTPUT,), tolerance=1e-5, pq_output=True),
        GraphSpec("restore", (PICTURE,), (OUTPUT,), size_multiple=4, tolerance=1e-5),
    )

    def __init__(self) -> None:
        super().__init__()
        self.sense = nn.Sequential(
            nn.Conv2d(3, 8, 1), nn.AvgPool2d(3, 2, 1), nn.LeakyReLU(0.2), nn.InstanceNorm2d(8, affine=True),
            nn.Conv2d(8, 4, 1), nn.AdaptiveAvgPool2d(1),
        )  # fmt: skip
        self.scale = nn.Linear(4, 3)
        self.down = nn.Conv2d(3, 16, 3, 2, 1)
        self.deeper = nn.Conv2d(16, 16, 3, 2, 1)
        self.query = nn.Conv2d(16, 48, 1)
        self.up = nn.Conv2d(16, 64, 3, 1, 1)
        self.last = nn.Conv2d(16, 12, 3, 1, 1)

    def condition(self, rgb: Tensor) -> Tensor:
        return self.sense(rgb).flatten(1)

    def render(self, rgb: Tensor, numbers: Tensor) -> Tensor:
        return torch.clamp(rgb * torch.sigmoid(self.scale(numbers))[..., None, None] + 0.1 * rgb.square(), 0, 1)

    def restore(self, rgb: Tensor) -> Tensor:
        half = relu(self.down(rgb))
        deep = relu(self.deeper(half))
        n, c, h, w = deep.shape
        q, k, v = self.query(deep).reshape(n, 3, c, h * w).unbind(1)
        attention = torch.softmax(normalize(q, dim=-1) @ normalize(k, dim=-1).transpose(-1, -2), dim=-1)
        deep = deep + (attention @ v).reshape(n, c, h, w) + deep.mean((2, 3), keepdim=True)
        return rgb + pixel_shuffle(self.last(pixel_shuffle(self.up(deep), 2) + half), 2)


class Unexportable(SmallNetwork):
    """What a graph does depends on the pixels: no exporter can write that down."""

    graphs: ClassVar[tuple[GraphSpec, ...]] = (GraphSpec("restore", (PICTURE,), (OUTPUT,), size_multiple=4),)

    def restore(self, rgb: Tensor) -> Tensor:
        return super().restore(rgb) if float(rgb.mean()) > 0.5 else rgb


def small(seed: int = 0, network: type[Network] = SmallNetwork) -> LoadedNetwork:
    torch.manual_seed(seed)
    built = network().eval()
    digest = hashlib.sha256(b"".join(value.numpy().tobytes() for value in built.state_dict().values())).hexdigest()
    return LoadedNetwork("small", built, digest)
