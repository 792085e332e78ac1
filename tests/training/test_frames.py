import numpy as np
import pytest

from training.data.frames import to_yuv420


def _planes(frame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    flat = frame.to_ndarray().ravel()
    pixels = frame.width * frame.height
    return flat[:pixels].reshape(frame.height, frame.width), *flat[pixels:].reshape(2, frame.height // 2, -1)


@pytest.mark.parametrize(
    ("rgb", "codes"),
    [
        ((0.0, 0.0, 0.0), (16, 128, 128)),
        ((1.0, 1.0, 1.0), (235, 128, 128)),
        ((0.75, 0.0, 0.0), (51, 109, 212)),  # 75 % red and blue of BT.709 colour bars
        ((0.0, 0.0, 0.75), (28, 212, 120)),
    ],
)
def test_bt709_codes_of_colour_bars(rgb: tuple[float, ...], codes: tuple[int, ...]) -> None:
    frame = to_yuv420(np.full((4, 6, 3), rgb, np.float32), "bt709", 8)
    assert frame.format.name == "yuv420p"
    assert all((plane == code).all() for plane, code in zip(_planes(frame), codes, strict=True))


def test_ten_bits_of_bt2020_white_and_reference_white() -> None:
    for signal, luma in ((1.0, 940), (0.58, 572)):
        frame = to_yuv420(np.full((4, 4, 3), signal, np.float32), "bt2020nc", 10)
        y, cb, cr = _planes(frame)
        assert frame.format.name == "yuv420p10le"
        assert (y == luma).all()
        assert (cb == 512).all()
        assert (cr == 512).all()


@pytest.mark.parametrize(("bit_depth", "row_offset"), [(8, 0.5), (10, 0.0)])
def test_chroma_is_sited_left_at_8_bits_and_topleft_at_10(bit_depth, row_offset: float) -> None:
    """On a ramp a chroma sample equals the ramp at its own place, away from the borders."""
    rows, columns = np.mgrid[0:16, 0:16].astype(np.float64)
    matrix = "bt709" if bit_depth == 8 else "bt2020nc"
    blue = 0.2 + 0.02 * columns + 0.015 * rows
    signal = np.dstack([np.full_like(blue, 0.2), np.full_like(blue, 0.2), blue]).astype(np.float32)
    _, cb, _ = _planes(to_yuv420(signal, matrix, bit_depth))
    expected_blue = 0.2 + 0.02 * columns[::2, ::2] + 0.015 * (rows[::2, ::2] + row_offset)
    step = 2 ** (bit_depth - 8)
    expected = 128 * step + 224 * step * 0.5 * (expected_blue - 0.2)  # Cb = (B' - Y') / (2 (1 - K_B))
    assert np.abs(cb - expected)[1:-1, 1:-1].max() <= 0.5 + 1e-3
