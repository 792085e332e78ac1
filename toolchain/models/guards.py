"""Guard rails after every expanding model, and the one way the rest of the program binds a model.

In order: values that are no numbers are replaced by the SDR picture; a grey axis that turns back is made monotone;
skin keeps the source's hue; colours outside BT.2020 move to the nearest of their own hue and luminance; no component
exceeds `peak_nits`. A model that needs none of it comes through unchanged, with one exception: within 1 % of the
peak the cap takes up to 0.37 % (a third of a 10-bit code), so that it can be smooth.
"""

from __future__ import annotations

import numpy as np

from toolchain.color.gamut import clip_to_gamut
from toolchain.color.ictcp import ictcp_from_nits, nits_from_ictcp
from toolchain.color.tonescale import bt2390_eetf
from toolchain.color.transfer import PQ_PEAK_NITS, REFERENCE_WHITE_NITS, bt1886_eotf
from toolchain.models.anchor import anchored
from toolchain.models.curves import BT2020_WEIGHTS, grey_nits, largest_component, luminance, smoothstep
from toolchain.models.lumen_local import LumenLocal
from toolchain.models.registry import check_parameters, get_model
from toolchain.models.spec import Controls, FloatArray, PixelFunction, ShotContext

CAP_KNEE = 0.99
"""Share of the peak from which the cap bends. Higher is a hard clip; lower would touch published white (999.5 of
1000 nits) by more than half a per cent."""

SKIN_HUE_DEG = (134.0, 22.0, 40.0)
"""Centre in the CtCp plane, half-width of full lock, half-width where it ends. Measured on this project's formulas:
both skin patches of the ColorChecker and the ten Monk tones at 203-nit white lie between 122 and 155 degrees, flushed
skin at 113."""

SKIN_CHROMA = (0.005, 0.012, 0.11, 0.16)
"""sqrt(Ct^2 + Cp^2): rises to full lock over the first pair, falls over the second. Same patches: .013-.10."""

GREY_SIGNALS = np.linspace(0, 1.1, 1101)


def bind_guarded(model_id: str, shot: ShotContext | None, controls: Controls) -> PixelFunction:
    """The model as the pipeline and the command line use it: native, then anchored, saturated and guarded.

    A model honours the controls its data sheet names: `direct203` names none and stays doing nothing under any
    control but the cap. A model that is not pointwise takes a picture (H, W, 3). Raises UsageError for an unknown
    model and for `controls.extra` it does not take.
    """
    model = get_model(model_id)
    if isinstance(model, LumenLocal):  # its guards lie under the gain, in every table of the stack
        return model.bind_image(shot, controls)
    return guarded(bind_unguarded(model_id, shot, controls), controls)


def bind_unguarded(model_id: str, shot: ShotContext | None, controls: Controls) -> PixelFunction:
    """What `bind_guarded` puts the guards behind; `gamut_clip_share` counts on it how much they change."""
    model = get_model(model_id)
    check_parameters(model.spec, controls.extra)
    expand = monotone_grey(model.bind(shot, controls))
    if controls.mid_gain_ev is not None and "mid_gain_ev" in model.spec.parameters:
        expand = anchored(expand, controls.mid_gain_ev)
    if "saturation" in model.spec.parameters:
        expand = saturated(expand, controls.saturation)
    return expand


def guarded(expand: PixelFunction, controls: Controls) -> PixelFunction:
    """`expand` behind every guard: float64, finite, components in [0, peak_nits], grey axis monotone."""
    repaired = monotone_grey(finite(expand, controls.peak_nits))
    white_nits = float(np.clip(grey_nits(repaired, [1.0])[0], controls.peak_nits, PQ_PEAK_NITS))

    def guard(rgb: FloatArray) -> FloatArray:
        rgb = np.asarray(rgb, dtype=np.float64)
        nits = _lock_skin_hue(repaired(rgb), rgb * REFERENCE_WHITE_NITS)
        return _cap(_into_gamut(nits), controls.peak_nits, white_nits)

    return _monotone_under_the_cap(guard)


def saturated(expand: PixelFunction, saturation: float) -> PixelFunction:
    """`expand` with its chroma multiplied about the grey of the same luminance; 1 is `expand` itself."""
    if saturation == 1:
        return expand

    def scale(rgb: FloatArray) -> FloatArray:
        nits = expand(rgb)
        grey = luminance(nits)[..., np.newaxis]
        return grey + saturation * (nits - grey)

    return scale


def gamut_clip_share(nits: FloatArray, peak_nits: float) -> float:
    """Share of pixels (..., 3) of an output not yet guarded, 0 to 1, that lie outside BT.2020 in [0, peak_nits].

    They are the colours that the guards bring back: a few thousand pixels of a shot's key frames tell a shot's share.
    """
    tolerance = 1e-6 * peak_nits
    inside = (nits >= -tolerance) & (nits <= peak_nits + tolerance)  # NaN is outside
    return float(1 - np.mean(inside.all(axis=-1)))


def finite(expand: PixelFunction, peak_nits: float) -> PixelFunction:
    """`expand` with every pixel that holds a NaN or an infinity replaced by the SDR pixel at 203-nit white."""

    def repair(rgb: FloatArray) -> FloatArray:
        nits = expand(rgb)
        finite_values = np.isfinite(nits)
        if finite_values.all():
            return nits
        usable = finite_values.all(axis=-1, keepdims=True)
        return np.where(usable, nits, np.minimum(rgb * REFERENCE_WHITE_NITS, peak_nits))

    return repair


def monotone_grey(expand: PixelFunction) -> PixelFunction:
    """`expand` with its grey axis made monotone by a luminance ratio; a monotone model is returned itself.

    The repaired axis is the running maximum over signals 0 to 1.1, and holds its end above.
    """
    before = grey_nits(expand, GREY_SIGNALS)
    return _with_grey_axis(expand, before, np.maximum.accumulate(before))


def _monotone_under_the_cap(expand: PixelFunction) -> PixelFunction:
    """As `monotone_grey`, from above: a grey that a network tints loses luminance where its largest component is
    capped, and what lies under it must not outshine it. Nothing gets brighter here, so the cap holds."""
    before = grey_nits(expand, GREY_SIGNALS)
    return _with_grey_axis(expand, before, np.minimum.accumulate(before[::-1])[::-1])


def _with_grey_axis(expand: PixelFunction, before: FloatArray, after: FloatArray) -> PixelFunction:
    """`expand` scaled by the luminance ratio that takes its grey axis from `before` to `after` (at GREY_SIGNALS)."""
    if np.all(np.abs(after - before) <= 1e-9 * after):
        return expand
    ratio = np.divide(after, before, out=np.ones_like(before), where=before > 0)
    light = bt1886_eotf(GREY_SIGNALS)

    def repair(rgb: FloatArray) -> FloatArray:
        return expand(rgb) * np.interp(luminance(rgb), light, ratio)[..., np.newaxis]

    return repair


def _lock_skin_hue(nits: FloatArray, source_nits: FloatArray) -> FloatArray:
    """Turns the output's hue in CtCp back to the source's where the source looks like skin."""
    # Single precision is enough to leave out what is nowhere near skin, and that is most pixels.
    _, rough_ct, rough_cp = np.moveaxis(ictcp_from_nits(source_nits.astype(np.float32)), -1, 0)
    skin = _skin_weight(np.arctan2(rough_cp, rough_ct), np.hypot(rough_ct, rough_cp)) > 0
    if not skin.any():
        return nits
    source = ictcp_from_nits(source_nits[skin])
    source_hue = np.arctan2(source[:, 2], source[:, 1])
    weight = _skin_weight(source_hue, np.hypot(source[:, 1], source[:, 2]))
    ictcp = ictcp_from_nits(nits[skin])
    chroma = np.hypot(ictcp[:, 1], ictcp[:, 2])
    hue = np.arctan2(ictcp[:, 2], ictcp[:, 1])
    turn = _wrapped(source_hue - hue) * weight
    turned = np.stack([ictcp[:, 0], chroma * np.cos(hue + turn), chroma * np.sin(hue + turn)], axis=-1)
    locked = nits.copy()
    # A turn too small to see is left alone, so that a model which keeps hue comes through bit by bit.
    locked[skin] = np.where(np.abs(turn)[:, np.newaxis] > 1e-6, nits_from_ictcp(turned), nits[skin])
    return locked


def _skin_weight(hue_rad: FloatArray, chroma: FloatArray) -> FloatArray:
    centre, full, end = np.radians(SKIN_HUE_DEG)
    near_hue = 1 - smoothstep(full, end, np.abs(_wrapped(hue_rad - centre)))
    rise_start, rise_end, fall_start, fall_end = SKIN_CHROMA
    return near_hue * smoothstep(rise_start, rise_end, chroma) * (1 - smoothstep(fall_start, fall_end, chroma))


def _wrapped(angle_rad: FloatArray) -> FloatArray:
    return (angle_rad + np.pi) % (2 * np.pi) - np.pi


def _into_gamut(nits: FloatArray) -> FloatArray:
    """Negative components lifted at constant hue and luminance; light above the peak is the cap's matter."""
    negative = nits < 0
    if not negative.any():
        return nits
    outside = negative.any(axis=-1)
    inside = nits.copy()
    inside[outside] = clip_to_gamut(nits[outside], BT2020_WEIGHTS, peak=PQ_PEAK_NITS)
    return inside


def _cap(nits: FloatArray, peak_nits: float, white_nits: float) -> FloatArray:
    """Scales each pixel so that its largest component rolls off to the peak; hue and saturation stay.

    A model whose white lies above the peak is rolled off from there by the Hermite of BT.2390 section 5.4.1, which
    leaves all below its knee alone and is no change at all for a white within the peak. An exponential shoulder from
    `CAP_KNEE` then takes what is left: super-white and saturated colours.
    """
    largest = largest_component(nits)[..., np.newaxis]
    rolled = bt2390_eetf(largest, white_nits, peak_nits) if white_nits > peak_nits else largest
    knee_nits, room_nits = CAP_KNEE * peak_nits, (1 - CAP_KNEE) * peak_nits
    excess = np.maximum(rolled - knee_nits, 0) / room_nits
    rolled = np.where(excess > 0, knee_nits + room_nits * -np.expm1(-excess), rolled)
    scale = np.divide(rolled, largest, out=np.ones_like(largest), where=largest > 0)
    return np.minimum(nits * scale, peak_nits)
