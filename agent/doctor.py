"""Is this machine ready? Each check says what it found and, when it failed, what to do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import get_args

from agent.cli.render import show, write_line
from agent.store import RunStore
from analysis.mllm.settings import EngineName
from toolchain.errors import EnvironmentNotReady
from toolchain.models.spec import RUNTIME_ORDER, RuntimeName

DEFAULT_PROFILE = "balanced"
MIN_FREE_GIB = 2.0
_ENCODERS = ("libx265", "libsvtav1", "prores_ks", "ffv1")
_FILTERS = ("scdet", "idet", "bwdif", "deblock", "fftdnoiz", "cas", "pad", "fillborders", "crop")


@dataclass(frozen=True)
class Check:
    """One finding. `required` checks decide the exit code."""

    name: str
    ok: bool
    found: str
    remedy: str = ""
    required: bool = True


def examine(store: RunStore, as_json: bool) -> int:
    """Print every check; exit code 5 when a required one failed."""
    checks = [check(store) for check in CHECKS]
    for check in checks:
        if as_json:
            write_line(sys.stdout, json.dumps(check.__dict__))
        else:
            mark = "ok     " if check.ok else "MISSING" if check.required else "absent "
            remedy = f": {check.remedy}" if not check.ok and check.remedy else ""
            show(f"{mark} {check.name}: {check.found}{remedy}")
    return 0 if all(check.ok for check in checks if check.required) else EnvironmentNotReady.exit_code


def _python(_: RunStore) -> Check:
    return Check("Python", sys.version_info >= (3, 11), sys.version.split()[0], "install Python 3.11 or newer")


def _encoders(_: RunStore) -> Check:
    from av.codec import codecs_available

    missing = [name for name in _ENCODERS if name not in codecs_available]
    return Check("encoders", not missing, f"missing {missing}" if missing else "all", "reinstall PyAV from PyPI")


def _filters(_: RunStore) -> Check:
    from av.filter import filters_available

    missing = [name for name in _FILTERS if name not in filters_available]
    return Check("filters", not missing, f"missing {missing}" if missing else "all", "reinstall PyAV from PyPI")


def _ffmpeg(_: RunStore) -> Check:
    import imageio_ffmpeg

    try:
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-version"]
        found = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.split("\n")[0]
        return Check("ffmpeg", True, found)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        return Check("ffmpeg", False, str(error), "reinstall imageio-ffmpeg from PyPI")


def _space(store: RunStore) -> Check:
    free_gib = shutil.disk_usage(store.home).free / (1 << 30)
    found = f"{free_gib:.1f} GiB free for runs in {store.home}"
    return Check("disk", free_gib >= MIN_FREE_GIB, found, f"free at least {MIN_FREE_GIB:g} GiB, or set SDR2HDR_HOME")


def _cores(_: RunStore) -> Check:
    return Check("cores", True, str(len(os.sched_getaffinity(0))))


def _gpu(_: RunStore) -> Check:
    driver = shutil.which("nvidia-smi")
    return Check("NVIDIA driver", driver is not None, driver or "none; the CPU does the work", required=False)


def _extra(package: str, extra: str) -> Callable[[RunStore], Check]:
    def check(_: RunStore) -> Check:
        try:
            return Check(f"extra [{extra}]", True, f"{package} {version(package)}", required=False)
        except PackageNotFoundError:
            remedy = f"install sdr2hdr-agent[{extra}] if you need it"
            return Check(f"extra [{extra}]", False, "not installed", remedy, required=False)

    return check


def _runtime(name: RuntimeName, required: bool = False) -> Callable[[RunStore], Check]:
    def check(_: RunStore) -> Check:
        from toolchain.runtimes.registry import get_runtime

        found = get_runtime(name).available()
        remedy = "reinstall sdr2hdr-agent" if required else "another runtime does the work"
        return Check(f"runtime {name}", found.ready, found.reason, remedy, required)

    return check


def _models(_: RunStore) -> Check:
    from toolchain.models.registry import specs
    from toolchain.models.weights import state, weights_folder

    absent = [spec.id for spec in specs() if not state(spec).ready]
    found = f"not installed: {', '.join(absent)}" if absent else f"all; pulled weights are in {weights_folder()}"
    return Check("models", not absent, found, "`agent models pull` brings them if you want them", required=False)


def _analyser(name: EngineName) -> Callable[[RunStore], Check]:
    """Whether an engine of the analyser can work; the one that every profile falls back to must."""

    def check(_: RunStore) -> Check:
        from agent.engines import engine_state
        from analysis.selection.profile import load_profile

        found = engine_state(name, load_profile(DEFAULT_PROFILE).analyser)
        return Check(f"analyser {name}", found.ready, found.found, found.remedy, required=name == "signals")

    return check


CHECKS: tuple[Callable[[RunStore], Check], ...] = (
    _python, _encoders, _filters, _ffmpeg, _space, _cores, _gpu,
    *(_runtime(name, required=name == "openvino") for name in RUNTIME_ORDER), _models,
    *(_analyser(name) for name in get_args(EngineName)),
    _extra("vllm", "vllm"), _extra("tensorrt", "tensorrt"), _extra("trl", "train"), _extra("cvvdp", "vqa"),
    _extra("fastapi", "service"), _extra("ray", "cluster"), _extra("psycopg", "postgres"),
)  # fmt: skip
