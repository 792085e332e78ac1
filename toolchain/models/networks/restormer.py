"""A small Restormer (Zamir et al., CVPR 2022): the local branches of LSN. No convolution has a bias.

Its attention is between channels and over all pixels, so every pixel of the result depends on the whole picture.
Names of modules are checkpoint keys.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH = 16
HEADS = (1, 2, 4)
"""Attention heads at full, half and quarter size."""


class Restormer(nn.Module):
    """One block at each of three sizes down and two up: (N, 3, H, W) -> the same shape; H and W multiples of 4."""

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed()
        self.encoder_level1 = nn.Sequential(Block(WIDTH, HEADS[0]))
        self.down1_2 = Resample(_conv3(WIDTH, WIDTH // 2), nn.PixelUnshuffle(2))
        self.encoder_level2 = nn.Sequential(Block(2 * WIDTH, HEADS[1]))
        self.down2_3 = Resample(_conv3(2 * WIDTH, WIDTH), nn.PixelUnshuffle(2))
        self.latent = nn.Sequential(Block(4 * WIDTH, HEADS[2]))
        self.up3_2 = Resample(_conv3(4 * WIDTH, 8 * WIDTH), nn.PixelShuffle(2))
        self.reduce_chan_level2 = _conv1(4 * WIDTH, 2 * WIDTH)
        self.decoder_level2 = nn.Sequential(Block(2 * WIDTH, HEADS[1]))
        self.up2_1 = Resample(_conv3(2 * WIDTH, 4 * WIDTH), nn.PixelShuffle(2))
        self.decoder_level1 = nn.Sequential(Block(2 * WIDTH, HEADS[0]))
        self.output = _conv3(2 * WIDTH, 3)

    def forward(self, picture: Tensor) -> Tensor:
        full = self.encoder_level1(self.patch_embed(picture))
        half = self.encoder_level2(self.down1_2(full))
        quarter = self.latent(self.down2_3(half))
        features = self.reduce_chan_level2(torch.cat([self.up3_2(quarter), half], 1))
        features = self.up2_1(self.decoder_level2(features))
        return self.output(self.decoder_level1(torch.cat([features, full], 1)))


class PatchEmbed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj = _conv3(3, WIDTH)

    def forward(self, picture: Tensor) -> Tensor:
        return self.proj(picture)


class Resample(nn.Module):
    """A convolution and a rearrangement of pixels."""

    def __init__(self, convolution: nn.Module, rearrange: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(convolution, rearrange)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = ChannelNorm(width)
        self.attn = Attention(width, heads)
        self.norm2 = ChannelNorm(width)
        self.ffn = FeedForward(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.ffn(self.norm2(x))


class ChannelNorm(nn.Module):
    """Layer normalisation of each pixel over its channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.LayerNorm(width, eps=1e-5)  # holds the parameters; its layout would cost two transpositions

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(dim=1, keepdim=True)
        deviation = torch.sqrt(centred.square().mean(dim=1, keepdim=True) + self.body.eps)
        return centred / deviation * self.body.weight.view(-1, 1, 1) + self.body.bias.view(-1, 1, 1)


class Attention(nn.Module):
    """Multi-head attention between channels: the map is (channels x channels), its sums run over all pixels."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = _conv1(width, 3 * width)
        self.qkv_dwconv = _depthwise(3 * width)
        self.project_out = _conv1(width, width)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        parts = self.qkv_dwconv(self.qkv(x)).flatten(2).chunk(3, dim=1)
        query, key, value = (part.unflatten(1, (self.heads, -1)) for part in parts)
        query, key = functional.normalize(query, dim=-1), functional.normalize(key, dim=-1)
        weights = (query @ key.transpose(-2, -1) * self.temperature).softmax(dim=-1)
        return self.project_out((weights @ value).flatten(1, 2).unflatten(2, (height, width)))


class FeedForward(nn.Module):
    """A gate: one half of the hidden channels through GELU times the other half."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project_in = _conv1(width, 4 * width)
        self.dwconv = _depthwise(4 * width)
        self.project_out = _conv1(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        gate, content = self.dwconv(self.project_in(x)).chunk(2, dim=1)
        return self.project_out(functional.gelu(gate) * content)


def _conv1(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, bias=False)


def _conv3(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)


def _depthwise(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
