"""Every damage of the suite: what it does, in which strengths, and which gate should see it.

Strengths are light, medium and severe. Medium was fixed before anything was measured: about twice the limit proposed
in the reference table of gates, or, where that has no number, what a viewer sees at a glance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from analysis.vqa.spec import Image
from benchmarks.damage import detail, light, time
from benchmarks.damage.place import Place

Strength = Literal["light", "medium", "severe"]
STRENGTHS: tuple[Strength, ...] = ("light", "medium", "severe")
GAIN = "gain"
"""Stands for the verdict "worse than doing nothing", where no gate but the gain should object."""


@dataclass(frozen=True)
class Damage:
    """`apply(good output, where it stands, strength)` in nits. `gates`: its own, any of which counts as a catch.

    `suits(first good frame of a shot, where, medium strength)`: whether a shot has what can be damaged; a clip takes
    part if one of its shots does. `moving`: all frames of the clip are needed, else two a shot do. `coded`: False for
    colours that no encoder can carry; they are judged as a model made them.
    """

    name: str
    gates: tuple[str, ...]
    unit: str
    strengths: tuple[float, float, float]
    apply: Callable[[Image, Place, float], Image]
    suits: Callable[[Image, Place, float], bool] = light.always
    moving: bool = False
    coded: bool = True

    def strength(self, name: Strength) -> float:
        """The number behind light, medium or severe."""
        return self.strengths[STRENGTHS.index(name)]


_COLOUR = ("fidelity_median", "fidelity_p95", "unevenness")
_PATCHES = ("unevenness", "fidelity_median", "fidelity_p95")
_DETAIL = ("fidelity_p95",)
_STEPS = ("contours", "banding")

DAMAGES: tuple[Damage, ...] = (
    Damage("too bright", ("exposure",), "stop", (0.6, 1.0, 1.5), light.expose),
    Damage("too dark", ("exposure",), "stop", (-0.6, -1.0, -1.5), light.expose),
    Damage("highlights clipped", ("clipping",), "% of pixels", (1.0, 2.0, 8.0), light.ceiling),
    Damage("shadows crushed", ("crushing",), "% of pixels", (1.0, 2.0, 8.0), light.toe),
    Damage("black subtracted", ("crushing",), "nits", (0.5, 1.0, 3.0), light.subtract, light.has_shadows),
    Damage("over-expanded", ("harm", GAIN), "exponent", (0.4, 0.7, 1.0), light.overexpand),
    Damage("hue turned", ("hue_median", "hue_p95"), "degree", (3.0, 6.0, 12.0), light.turn, light.has_colour),
    Damage("one hue turned", ("hue_p95",), "degree", (6.0, 12.0, 24.0), light.turn_one, light.has_second_hue),
    Damage("skin tinted", ("skin",), "degree", (6.0, 12.0, 24.0), light.tint_skin, light.has_skin),
    Damage("oversaturated", _COLOUR, "factor", (1.25, 1.5, 2.0), light.saturate, light.has_colour),
    Damage("outside P3", ("gamut_p3",), "% of pixels", (1.5, 2.0, 8.0), light.leave_p3, light.has_wide_hues),
    Damage("negative light", ("gamut",), "factor", (1.5, 2.0, 3.0), light.negative, light.has_vivid, coded=False),
    Damage("not a number", ("gamut",), "% of pixels", (0.01, 0.1, 1.0), light.holes, coded=False),
    Damage("blotches of light", _PATCHES, "nits", (5.0, 10.0, 20.0), light.blotch),
    Damage("blotches of gain", _PATCHES, "stop", (0.25, 0.5, 1.0), light.uneven),
    Damage("blotches of colour", _PATCHES, "share", (0.05, 0.1, 0.2), light.stain),
    Damage("glaring graphics", ("graphics",), "nits", (400.0, 600.0, 1000.0), light.glare, light.has_graphics),
    Damage("noise", ("noise",), "x the source's", (2.5, 3.5, 6.0), detail.grain),
    Damage("banding", _STEPS, "ten-bit codes", (4.0, 8.0, 16.0), detail.requantise, detail.has_gradients),
    Damage("blur", ("sharpness", "structure_vmaf"), "pixel", (0.7, 1.2, 2.5), detail.blur, detail.has_detail),
    Damage("halos, thin", ("sharpness", "ringing"), "amount", (0.5, 1.0, 2.0), detail.sharpen, detail.has_detail),
    Damage("halos, wide", ("ringing", *_DETAIL), "amount", (0.25, 0.5, 1.0), detail.wide_halo, detail.has_detail),
    Damage("invented texture", ("structure_vmaf", *_DETAIL), "PU21 units", (4.0, 8.0, 16.0), detail.texture),
    Damage("bent", ("structure_vmaf", *_DETAIL), "pixel", (1.0, 2.0, 4.0), detail.bend, detail.has_detail),
    Damage("blocks", ("structure_vmaf", *_DETAIL), "share", (0.25, 0.5, 1.0), detail.mosaic, detail.has_detail),
    Damage("flicker", ("flicker",), "stop", (0.045, 0.06, 0.15), time.alternate, moving=True),
    Damage("flash", ("flicker",), "stop", (0.045, 0.06, 0.15), time.flash, moving=True),
    Damage("flicker of a part", ("flicker_tile",), "stop", (0.09, 0.12, 0.25), time.alternate_part, moving=True),
    Damage("flicker of patches", ("flicker_tile",), "stop", (0.09, 0.12, 0.25), time.patches, moving=True),
    Damage("shot jump", ("shot_jump",), "stop", (0.35, 0.5, 1.0), time.jump, time.has_common_tones, moving=True),
)
