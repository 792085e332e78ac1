"""What BILIVQA measures before it learns: filters without weights, at the pictures' own scale.

Grain, softness, steps, block edges, clipping, beating light and held frames are energies that are lost once a picture
is shrunk, and that a small network would need far more pictures to find. Energies are taken in cells, as logarithms;
cells feed the network's stages, and their mean, spread, softly highest and softly lowest value its regression.
Natural scene statistics as in BRISQUE (Mittal et al., TIP 2012): locally normalised luma and products of neighbours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

CELL = 8
"""Pixels on a side of a cell, at every scale."""
SCALES = 4
BINS = 16
LUMA = (0.26, 0.68, 0.06)
SHARE_FLOOR, ENERGY_FLOOR = 1e-3, 2e-4
FLAT = (4e-4, 2.5e-3)
"""Differences of neighbours, of 1 at the display's peak, that count as none: of a coded picture, of a noisy one."""
BLOCK = 8
NEAR = 0.012
"""Distance to an end of the picture's levels that still lies at it."""


def colours(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 3, ...) -> luma (N, 1, ...) and two colour differences (N, 2, ...)."""
    red, green, blue = rgb[:, 0:1], rgb[:, 1:2], rgb[:, 2:3]
    luma = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    return luma, torch.cat([red - green, 0.5 * (red + green) - blue], 1)


def smooth(maps: Tensor, reach: int = 1) -> Tensor:
    """Binomial 3x3 with holes of `reach`, edges continued; each channel by itself."""
    across = torch.tensor((0.25, 0.5, 0.25), dtype=maps.dtype, device=maps.device)
    kernel = (across[:, None] * across).expand(maps.shape[1], 1, 3, 3)
    wide = functional.pad(maps, (reach, reach, reach, reach), mode="replicate")
    return functional.conv2d(wide, kernel, dilation=reach, groups=maps.shape[1])


def steps_x(maps: Tensor) -> Tensor:
    """Difference to the next pixel on the right, 0 at the end; same shape."""
    return functional.pad(maps[..., 1:] - maps[..., :-1], (0, 1))


def steps_y(maps: Tensor) -> Tensor:
    return functional.pad(maps[..., 1:, :] - maps[..., :-1, :], (0, 0, 0, 1))


def flatness(step: Tensor, width: float) -> Tensor:
    """1 where there is no step, 0 where it is much above `width`."""
    return torch.exp(-step.abs() / width)


def root(values: Tensor, floor: float) -> Tensor:
    """Square root of values + floor. ONNX's optimiser drops terms of 1e-8 and below, so it is written otherwise."""
    return floor**0.5 * torch.sqrt(values / floor + 1)


def energies(maps: Tensor, floor: float = ENERGY_FLOOR) -> Tensor:
    """Logarithm of the mean over each cell of what is not negative; parts of cells at the end are left out."""
    return torch.log(functional.avg_pool2d(maps, CELL) + floor)


def pooled(cells: Tensor) -> Tensor:
    """(N, C, h, w) logarithms -> (N, 4 C): mean, spread, log of the mean, and minus log of the mean inverse."""
    mean = cells.mean((2, 3))
    spread = torch.sqrt(((cells - mean[:, :, None, None]) ** 2).mean((2, 3)) + 1e-4)
    high = torch.log(torch.exp(cells).mean((2, 3)))
    low = -torch.log(torch.exp(-cells).mean((2, 3)))
    return torch.cat([mean, spread, high, low], 1)


def _spread(values: Tensor, axis: int = 1) -> Tensor:
    centred = values - values.mean(axis, keepdim=True)
    return root((centred * centred).mean(axis), 1e-8)


def shares(values: Tensor) -> Tensor:
    """(N, 1, ...) in [0, 1] -> (N, BINS + 1): root of the share of pixels at each level, each split between two."""
    flat = values.flatten(1)[:, None] * BINS
    levels = torch.arange(BINS + 1, dtype=values.dtype, device=values.device)[None, :, None]
    return torch.sqrt((1 - (flat - levels).abs()).clamp_min(0).mean(2) + 1e-6)


CELL_MAPS = 20
MEASURED = 741
"""Maps of a scale's cells, and numbers of a clip."""


class Front(nn.Module):
    """Key (N, 3, H, W) and motion (N, 3, T, h, w), perceived light in [0, 1] -> (N, MEASURED), and `cells`."""

    def forward(self, key: Tensor, motion: Tensor) -> tuple[Tensor, list[Tensor]]:
        cells = self.cells(key)
        return torch.cat([_of_key(key, cells), _of_motion(motion)], 1), cells

    def cells(self, key: Tensor) -> list[Tensor]:
        """(N, CELL_MAPS, H / 8, W / 8) and so on: the logarithms of each scale's cells."""
        return [_energy_maps(*scale) for scale in _scales(*colours(key))]


def _scales(luma: Tensor, chroma: Tensor) -> list[tuple[Tensor, Tensor]]:
    found = [(luma, chroma)]
    for _ in range(SCALES - 1):
        luma, chroma = functional.avg_pool2d(luma, 2), functional.avg_pool2d(chroma, 2)
        found.append((luma, chroma))
    return found


def _of_key(key: Tensor, cells: list[Tensor]) -> Tensor:
    luma, chroma = colours(key)
    numbers = []
    for (scaled, _), found in zip(_scales(luma, chroma), cells, strict=True):
        numbers += [pooled(found), _neighbours(scaled)]
    numbers += [_blockiness(luma), _banding(luma), _ends(key, luma), _veil(key), _tints(luma, chroma)]
    numbers += [shares(luma[:, :, ::2, ::2]), shares(key.amax(1, keepdim=True)[:, :, ::2, ::2])]
    return torch.cat(numbers, 1)


def _of_motion(motion: Tensor) -> Tensor:
    luma, chroma = colours(motion)
    luma = luma[:, 0]
    numbers = [_beating(luma), _repeats(luma), _wavering(luma), _unrest(luma)]
    numbers += [_unrest(chroma[:, 0]), _wavering(chroma[:, 1]), _middle(motion)]
    numbers += [shares(luma[:, ::4, ::2, ::2])]
    return torch.cat(numbers, 1)


def _energy_maps(luma: Tensor, chroma: Tensor) -> Tensor:
    """Logarithms of what stands out: to the surround, in the noise filter, from neighbour to neighbour, in colour;
    shares of flat pixels."""
    surround = smooth(luma)
    rest = luma - surround
    wider = surround - smooth(surround, 2)
    across, down = steps_x(luma), steps_y(luma)
    noise = steps_y(steps_x(steps_y(steps_x(luma))))
    tint = chroma - smooth(chroma)
    tint_wider = smooth(chroma) - smooth(smooth(chroma), 2)
    size = across.abs() + down.abs()
    flat = [flatness(size, width) for width in FLAT]
    maps = [rest.abs(), wider.abs(), across.abs(), down.abs(), noise.abs(), tint.abs(), tint_wider.abs()]
    squares = root(functional.avg_pool2d(torch.cat([rest, across, down, tint], 1) ** 2, CELL), 1e-9)
    together = (rest * wider).clamp_min(0), (-rest * wider).clamp_min(0)
    rooted = root(functional.avg_pool2d(torch.cat(together, 1), CELL), 1e-9)
    quiet = [rest.abs() * flat[1], noise.abs() * flatness(wider, 4e-3)]
    return torch.cat(
        [
            energies(torch.cat([*maps, *quiet], 1)),
            torch.log(torch.cat([squares, rooted], 1) + ENERGY_FLOOR),
            energies(torch.cat(flat, 1), SHARE_FLOOR),
        ],
        1,
    )


def _neighbours(luma: Tensor) -> Tensor:
    """Moments of locally normalised luma and of its products with neighbours, in two strengths of normalisation."""
    found: list[Tensor] = []
    mean = smooth(smooth(luma), 2)
    rest = luma - mean
    spread = root(smooth(smooth(rest * rest), 2), 1e-10)
    for floor in (1e-3, 1e-2):
        normal = rest / (spread + floor)
        products = [
            normal[..., :-1] * normal[..., 1:],
            normal[..., :-1, :] * normal[..., 1:, :],
            normal[..., :-1, :-1] * normal[..., 1:, 1:],
            normal[..., :-2] * normal[..., 2:],
            normal[..., :-2, :] * normal[..., 2:, :],
        ]
        size = normal.abs()
        found += [part.mean((1, 2, 3)) for part in (size, size**2, size**3, normal**3)]
        for product in products:
            found += [product.mean((1, 2, 3)), product.abs().mean((1, 2, 3))]
    return torch.stack(found, 1)


def _blockiness(luma: Tensor) -> Tensor:
    """How much one of eight phases of third differences stands out, across and down, whichever it is."""
    found = []
    for picture in (luma, luma.transpose(2, 3)):
        jump = (picture[..., 3:] - 3 * picture[..., 2:-1] + 3 * picture[..., 1:-2] - picture[..., :-3]).abs()
        for capped in (jump, jump.clamp_max(0.02)):
            line = capped.mean((1, 2))
            whole = line.shape[1] // BLOCK * BLOCK
            phases = line[:, :whole].reshape(-1, whole // BLOCK, BLOCK).mean(1)
            logs = torch.log(phases + ENERGY_FLOOR)
            mean = logs.mean(1)
            found += [logs.amax(1) - mean, mean - logs.amin(1), _spread(logs)]
    return torch.stack(found, 1)


def _banding(luma: Tensor) -> Tensor:
    """Lone steps between flat pixels, by their size; and how pixels share levels."""
    found = []
    for picture in (luma, luma.transpose(2, 3)):
        step = (picture[..., 1:] - picture[..., :-1]).abs()
        inner = step[..., 3:-3]
        for width in FLAT:
            still = flatness(step, width)
            before, after = still[..., :-6] * still[..., 1:-5] * still[..., 2:-4], still[..., 4:-2] * still[..., 5:-1]
            calm = before * after * still[..., 6:]
            for low, high in ((0.003, 0.008), (0.008, 0.02), (0.02, 0.05), (0.05, 0.3)):
                inside = torch.sigmoid((inner - low) * 2000) * torch.sigmoid((high - inner) * 2000)
                found.append(torch.log((calm * inside).mean((1, 2, 3)) + 1e-5))
            found.append(torch.log(calm.mean((1, 2, 3)) + 1e-3))
    return torch.stack(found, 1)


def _ends(key: Tensor, luma: Tensor) -> Tensor:
    """How many pixels lie at the picture's own ends, and how flat it is there; for luma and each colour."""
    found = []
    for part in (luma, key[:, 0:1], key[:, 1:2], key[:, 2:3], key.amax(1, keepdim=True)):
        top, bottom = part.amax((2, 3), keepdim=True), part.amin((2, 3), keepdim=True)
        still = flatness(steps_x(part).abs() + steps_y(part).abs(), FLAT[1])
        found += [top[:, 0, 0, 0], bottom[:, 0, 0, 0]]
        for near in (torch.exp((part - top) / NEAR), torch.exp((bottom - part) / NEAR)):
            found.append(torch.log(near.mean((1, 2, 3)) + 1e-4))
            found.append((near * still).sum((1, 2, 3)) / (near.sum((1, 2, 3)) + 1))
    for level in (0.02, 0.05, 0.1):
        found.append(torch.sigmoid((level - luma) * 200).mean((1, 2, 3)))
    for level in (0.69, 0.735, 0.9, 0.98):
        found.append(torch.sqrt(torch.sigmoid((key - level) * 200).mean((1, 2, 3)) + 1e-6))
    return torch.stack(found, 1)


def _veil(key: Tensor) -> Tensor:
    """The dark channel (He et al., CVPR 2009): the darkest component of a neighbourhood, which light over all lifts;
    and the brightest."""
    dark = -functional.max_pool2d(-key.amin(1, keepdim=True), 8, 8)
    bright = functional.max_pool2d(key.amax(1, keepdim=True), 8, 8)
    found = []
    for part in (dark, bright):
        mean = part.mean((1, 2, 3))
        found += [mean, torch.sqrt(((part - mean[:, None, None, None]) ** 2).mean((1, 2, 3)) + 1e-6)]
        found += [part.amin((1, 2, 3)), part.amax((1, 2, 3))]
        found += [torch.exp(-part / 0.05).mean((1, 2, 3)), torch.exp(-part / 0.2).mean((1, 2, 3))]
    local = bright - dark
    return torch.stack([*found, local.mean((1, 2, 3)), torch.log(local + 0.01).mean((1, 2, 3))], 1)


def _tints(luma: Tensor, chroma: Tensor) -> Tensor:
    """Colour in dark, middle and light parts: its mean, its size; and over all its spread and how near grey it is."""
    found = []
    size = root((chroma**2).sum(1, keepdim=True), 1e-8)
    for middle in (0.1, 0.35, 0.65):
        weight = torch.exp(-(((luma - middle) / 0.15) ** 2))
        whole = weight.sum((2, 3)) + 1.0
        mean = (weight * chroma).sum((2, 3)) / whole
        found += [mean, mean.abs(), (weight * size).sum((2, 3)) / whole, whole / luma[0, 0].numel()]
    greys = [torch.exp(-size / width).mean((2, 3)) for width in (0.01, 0.03, 0.1)]
    centre = chroma.mean((2, 3))
    spread = root(((chroma - centre[:, :, None, None]) ** 2).mean((2, 3)), 1e-8)
    return torch.cat([*found, *greys, centre, centre.abs(), spread, size.mean((2, 3)), size.amax((2, 3))], 1)


def _log_sizes(series: Tensor) -> list[Tensor]:
    """Of (N, T, ...) the logarithms of its mean size, of that of its changes, and of the change of those."""
    first = series[:, 1:] - series[:, :-1]
    second = first[:, 1:] - first[:, :-1]
    third = second[:, 1:] - second[:, :-1]
    return [torch.log(part.abs().mean(1) + ENERGY_FLOOR) for part in (first, second, third)]


def _beating(luma: Tensor) -> Tensor:
    """The whole picture's light from frame to frame: levels, gain, and whether changes turn back at once."""
    found = []
    flat = luma.flatten(2)
    sign = torch.tanh((flat[:, 1:] - flat[:, :-1]) / 0.01).mean(2)
    for series in (flat.mean(2), torch.log(flat + 0.05).mean(2), sign):
        found += _log_sizes(series)
        centred = series - series.mean(1, keepdim=True)
        found.append(torch.log(centred.abs().mean(1) + ENERGY_FLOOR))
        change = series[:, 1:] - series[:, :-1]
        power = 1e8 * (change**2).mean(1) + 1
        found += [1e8 * (change[:, lag:] * change[:, :-lag]).mean(1) / power for lag in (1, 2)]
        found.append(torch.log(change.abs().amax(1) + ENERGY_FLOOR))
    found.append(sign.abs().mean(1))
    return torch.stack(found, 1)


def _repeats(luma: Tensor) -> Tensor:
    """How much frames differ from the one before: on the whole, at least, at most, and how often not at all."""
    change = (luma[:, 1:] - luma[:, :-1]).abs().mean((2, 3))
    logs = torch.log(change + 1e-5)
    mean = change.mean(1, keepdim=True)
    found = [logs.mean(1), logs.amin(1), logs.amax(1), _spread(logs)]
    found += [torch.exp(-change / width).mean(1) for width in (1e-4, 5e-4)]
    found.append(torch.exp(-4 * change / (mean + 1e-6)).mean(1))
    found.append((logs[:, 1:] - logs[:, :-1]).abs().mean(1))
    return torch.stack(found, 1)


def _wavering(luma: Tensor) -> Tensor:
    """The same of tiles of 8x8: changes that turn back, against changes that go on."""
    tiles = functional.avg_pool2d(luma, CELL)
    cells = torch.stack(_log_sizes(tiles), 1)
    mean_tile = tiles.mean((2, 3), keepdim=True)
    own = torch.stack(_log_sizes(tiles - mean_tile), 1)
    change = tiles[:, 1:] - tiles[:, :-1]
    power = (change**2).mean(1) + 1e-7
    turned = torch.stack([(change[:, lag:] * change[:, :-lag]).mean(1) / power for lag in (1, 2)], 1)
    turned_mean = turned.mean((2, 3))
    return torch.cat([pooled(cells), pooled(own), turned_mean, turned.amin((2, 3)), _spread(turned.flatten(2), 2)], 1)


def _unrest(luma: Tensor) -> Tensor:
    """Pixels: change to the mean of the frames around, its fine part, and whether changes turn back."""
    change = luma[:, 1:] - luma[:, :-1]
    turn = 0.5 * (change[:, 1:] - change[:, :-1])
    fine = turn - smooth(turn)
    fine_change = change - smooth(change)
    still = luma - smooth(luma)
    parts = [part.abs().mean(1, keepdim=True) for part in (change, turn, fine_change, fine, still)]
    cells = energies(torch.cat(parts, 1))
    ratio = (change[:, 1:] * change[:, :-1]).mean(1) / ((change**2).mean(1) + 1e-7)
    return torch.cat([pooled(cells), ratio.mean((1, 2))[:, None], _spread(ratio.flatten(1))[:, None]], 1)


def _middle(motion: Tensor) -> Tensor:
    """Each colour's mean, spread, highest and lowest, over the clip."""
    flat = motion.flatten(2)
    mean = flat.mean(2)
    spread = torch.sqrt(((flat - mean[:, :, None]) ** 2).mean(2) + 1e-6)
    return torch.cat([mean, spread, flat.amax(2), flat.amin(2)], 1)
