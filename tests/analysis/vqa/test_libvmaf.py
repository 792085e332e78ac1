"""libvmaf as a child process: what it measures, what it refuses, what it leaves behind."""

import math
import os
import subprocess
import sys

import imageio_ffmpeg
import numpy as np
import pytest

from analysis.vqa import libvmaf
from analysis.vqa.libvmaf import LibvmafUnavailable, LumaFile, measure, pick
from toolchain.errors import AgentError

CAMBI = "name=cambi:eotf=pq:max_log_contrast=5:full_ref=true"
SSIM = "name=float_ssim"


def bands(width=480, height=270, codes=16):
    ramp = np.linspace(300, 500, width) // codes * codes
    return np.tile(ramp.astype(np.uint16), (height, 1))


def measured(distorted, reference, features, model=""):
    height, width = distorted.shape
    with LumaFile(width, height) as one, LumaFile(width, height) as other:
        one.append(distorted)
        other.append(reference)
        return measure(one, other, features, model)[0]


def test_one_run_gives_many_features_of_the_codes_it_was_given():
    clean = np.full((270, 480), 400)
    row = measured(bands(), clean, [CAMBI, SSIM, "name=psnr"], libvmaf.NEG_MODEL)
    assert pick(row, "cambi_eotf") > 3 > pick(row, "cambi_source")
    assert 0 <= pick(row, "vmaf") <= 100
    error = np.mean((bands().astype(float) - clean) ** 2)
    assert pick(row, "psnr_y") == pytest.approx(10 * math.log10(1023**2 / error), abs=0.01)


def test_frames_come_back_in_order_and_do_not_depend_on_each_other():
    noise = np.random.default_rng(1).integers(-40, 41, (270, 480))
    pictures = [bands(codes=1) + 0, bands(codes=1) + noise, bands(codes=1) + noise // 8]
    with LumaFile(480, 270) as one, LumaFile(480, 270) as other:
        for picture in pictures:
            one.append(picture)
            other.append(pictures[0])
        rows = measure(one, other, [SSIM], libvmaf.NEG_MODEL)
    alone = [measured(picture, pictures[0], [SSIM], libvmaf.NEG_MODEL) for picture in pictures]
    for name in ("vmaf", "float_ssim"):
        assert [pick(row, name) for row in rows] == [pick(row, name) for row in alone]
    assert pick(rows[1], "float_ssim") < pick(rows[2], "float_ssim") < pick(rows[0], "float_ssim")


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (480, 200), (271, 481), (215, 217)])
def test_any_size_is_measured(size):
    picture = np.random.default_rng(0).integers(0, 1024, size[::-1])
    row = measured(picture, picture, [CAMBI, SSIM, "name=float_ms_ssim"], libvmaf.NEG_MODEL)
    assert pick(row, "float_ssim") > 0.99
    assert pick(row, "float_ms_ssim") > 0.99
    assert all(math.isfinite(value) for value in row.values())


def test_codes_beyond_ten_bits_are_clipped_and_an_infinite_value_is_not_a_number():
    picture = np.full((270, 480), 1023)
    row = measured(picture + 5000, picture, ["name=ciede"])
    assert math.isnan(pick(row, "ciede2000"))


def test_an_unknown_feature_is_named():
    with pytest.raises(LibvmafUnavailable, match="nosuch"):
        measured(bands(), bands(), ["name=nosuch"])
    with pytest.raises(LibvmafUnavailable, match="no cambi_source"):
        pick({"cambi": 1.0}, "cambi_source")


def test_a_missing_program_is_said(monkeypatch):
    def missing():
        raise RuntimeError("No ffmpeg exe could be found.")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", missing)
    with pytest.raises(LibvmafUnavailable, match="could not be started"):
        measured(bands(), bands(), [SSIM])


def test_a_run_that_takes_too_long_is_ended(monkeypatch):
    monkeypatch.setattr(libvmaf, "CPU_LIMIT_S", 1)
    with LumaFile(480, 270) as file:
        for _ in range(150):
            file.append(bands())
        with pytest.raises(LibvmafUnavailable, match="libvmaf failed: status -"):
            measure(file, None, ["name=float_ms_ssim"])


def test_wrong_pictures_are_our_bug():
    with LumaFile(480, 270) as file, LumaFile(480, 272) as other:
        with pytest.raises(AgentError, match="was given"):
            file.append(np.zeros((4, 4), np.uint16))
        with pytest.raises(AgentError, match="0 and 0 were given"):
            measure(file, None, [SSIM])
        file.append(bands())
        with pytest.raises(AgentError, match="same size"):
            measure(file, other, [SSIM])
    with pytest.raises(AgentError, match="0x5"):
        LumaFile(0, 5)


def test_files_have_no_name_and_go_with_the_process(tmp_path):
    with LumaFile(480, 270, tmp_path) as file:
        file.append(bands())
        before = os.fstat(file.fileno())
        assert before.st_size > 480 * 270 * 2
        assert before.st_nlink == 0
        assert not list(tmp_path.iterdir())


def test_memory_may_be_limited():
    script = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "import numpy as np\nfrom analysis.vqa.libvmaf import *\n"
        "file = LumaFile(480, 270); file.append(np.zeros((270, 480), int))\n"
        f"assert 'vmaf' in measure(file, None, ['{CAMBI}'], NEG_MODEL)[0]"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
