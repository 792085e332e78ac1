"""BILIVQA, a distortion-ranking model: how damaged a video looks, without its source.

It was taught by reference metrics on synthetic damage, so its score ranks distortions; it is no mean opinion score
until people's scores replace the labels (`agent train vqa --data mos.csv`). It sees light (`analysis.vqa.display`),
SDR and HDR alike. A clip is one key picture and 32 consecutive small ones; a video's score is the mean of its clips'.
"""

from __future__ import annotations

import functools
import hashlib
import json
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from analysis.vqa.bilivqa_clips import CLIPS, WORKING_SIDE, open_clips
from analysis.vqa.display import CLIP_FRAMES, KEY_SIZE, MOTION_SIZE, key_picture, motion_picture, perceived
from analysis.vqa.spec import Image
from toolchain.errors import EnvironmentNotReady, InputError
from toolchain.models.spec import RuntimeName
from toolchain.runtimes.base import LoadedNetwork, Session, SessionOptions

if TYPE_CHECKING:  # torch is imported by what runs networks
    from toolchain.models.networks.bilivqa import BilivqaNetwork

MODEL_ID = "bilivqa"
MODEL_NAME = "BILIVQA, distortion-ranking model"
"""What scores are shown under: never as opinion scores."""

SCORE_MEANING = (
    "0 to 100: how undamaged the picture looks to a model that was taught by reference metrics on synthetic damage; "
    "100 is an untouched master. A ranking of distortions, not a mean opinion score."
)

KEY_FRAME = CLIP_FRAMES // 2
"""Which of a clip's frames is its key picture."""


@dataclass(frozen=True)
class JudgingModel:
    """A network with weights in place. `heads`: its label sources in the order of its outputs."""

    network: BilivqaNetwork
    heads: tuple[str, ...]
    sha256: str


@dataclass(frozen=True)
class ClipScore:
    """One clip: the mean of the heads, and each head's own score, all 0 to 100 (`SCORE_MEANING`)."""

    shot: int
    clip: int
    score: float
    heads: dict[str, float]


@dataclass(frozen=True)
class VideoScore:
    """A video: means over its clips, and each clip's score in the order of shots and clips, 0 to 100."""

    score: float
    heads: dict[str, float]
    clips: tuple[float, ...]


def shipped_weights() -> Path:
    """The weights that come with the product."""
    return Path(str(files("analysis.vqa.shipped") / "bilivqa.safetensors"))


def load_weights(path: Path) -> JudgingModel:
    """A network from a safetensors file that `agent train vqa` wrote, on the CPU, in evaluation mode.

    EnvironmentNotReady for a file that is absent, damaged, or of another network.
    """
    from safetensors import SafetensorError, safe_open

    from toolchain.models.networks.bilivqa import BilivqaNetwork

    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with safe_open(path, "pt") as file:
            heads = json.loads((file.metadata() or {})["heads"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        if not isinstance(heads, list) or not heads or not all(isinstance(head, str) for head in heads):
            raise ValueError("it names no heads")
        network = BilivqaNetwork(len(heads)).eval()
        network.load_state_dict(tensors, strict=True)
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise EnvironmentNotReady(
            f"{path} holds no weights of {MODEL_ID} ({reason}): reinstall sdr2hdr-agent or train them again."
        ) from error
    return JudgingModel(network, tuple(heads), digest)


@functools.cache
def shipped_model() -> JudgingModel:
    """`load_weights` of what ships, read once."""
    return load_weights(shipped_weights())


def model_hash(model: JudgingModel | None = None) -> str:
    """Which model a score is of: the SHA-256 of its weights; None: of those that ship."""
    return (model or shipped_model()).sha256


def preprocessing_hash() -> str:
    """Which rendering a score is of: sizes, and what the display model makes of some lights, to 1e-5."""
    lights = np.linspace(0, 40, 81, dtype=np.float32)[:, None] ** 2 * np.ones((1, 3), np.float32)
    shown = np.rint(perceived(lights) * 1e5).astype(int).tolist()
    facts = {"key": KEY_SIZE, "motion": MOTION_SIZE, "frames": CLIP_FRAMES, "key_frame": KEY_FRAME, "shown": shown}
    facts |= {"clips": CLIPS, "side": WORKING_SIDE}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


class Scorer:
    """Takes clips one by one and keeps their scores, never a picture.

    Clips run one at a time on one thread each, so neither the number of clips given nor of threads changes a score.
    `model` None: what ships; `runtime` None: the first of the chain that works here. Any thread may add.
    """

    def __init__(self, model: JudgingModel | None = None, runtime: RuntimeName | None = None):
        self.model = model or shipped_model()
        self._session = _open(self.model, runtime)
        self._turn = threading.Lock()
        self._clips: list[ClipScore] = []

    @property
    def provider(self) -> str:
        """What runs the network, in the runtime's own words."""
        return self._session.provider

    def add(self, shot: int, clip: int, frames_nits: Iterable[Image]) -> ClipScore:
        """Score consecutive frames in nits (HxWx3, BT.2020, working size): the first 32 of them.

        Fewer frames are continued by the last one. InputError where there is none.
        """
        key, motion = clip_pictures(frames_nits)
        return self.add_pictures(shot, clip, key, motion)

    def add_pictures(self, shot: int, clip: int, key: Image, motion: Image) -> ClipScore:
        """Score a clip as `clip_pictures` gives it; values that are no numbers count as black."""
        given = {"key": _network_input(key), "motion": _network_input(motion)}
        with self._turn:
            (scores,) = self._session.run(given)["scores"]
        heads = {name: 100 * float(value) for name, value in zip(self.model.heads, scores, strict=True)}
        found = ClipScore(shot, clip, float(np.mean(list(heads.values()))), heads)
        with self._turn:
            self._clips.append(found)
        return found

    def result(self) -> VideoScore:
        """The mean over all clips added. InputError where there is none."""
        if not self._clips:
            raise InputError("there is no clip to score: give a video with at least one frame")
        clips = tuple(sorted(self._clips, key=lambda clip: (clip.shot, clip.clip)))
        heads = {name: float(np.mean([clip.heads[name] for clip in clips])) for name in self.model.heads}
        scores = tuple(clip.score for clip in clips)
        return VideoScore(float(np.mean(scores)), heads, scores)


def score_video(path: Path, clips: int = CLIPS, scorer: Scorer | None = None) -> VideoScore:
    """The score of a file, SDR or HDR, over `clips` clips spread over it (fewer where it is short).

    `scorer`: one without clips, to use in place of a new one of what ships. InputError for a file that cannot be read
    or shown as light.
    """
    reader = open_clips(path)
    scorer = scorer or Scorer()
    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="bilivqa") as pool:
        pictures = pool.map(lambda start: clip_pictures(reader.frames(start)), reader.starts(clips))
        for clip, (key, motion) in enumerate(pictures):
            scorer.add_pictures(0, clip, key, motion)
    return scorer.result()


def clip_pictures(frames_nits: Iterable[Image]) -> tuple[Image, Image]:
    """(256, 448, 3) and (32, 72, 128, 3) perceived light of up to 32 frames in nits; the last one fills what lacks.

    The key picture is the 17th frame's, or the last one's. Working memory is a frame at a time. InputError: no frame.
    """
    key_frame: Image | None = None
    motion: list[Image] = []
    for number, frame in zip(range(CLIP_FRAMES), frames_nits, strict=False):
        motion.append(motion_picture(frame))
        if number <= KEY_FRAME:
            key_frame = frame
    if key_frame is None:
        raise InputError("there is no frame to score: give a clip with at least one frame")
    motion += motion[-1:] * (CLIP_FRAMES - len(motion))
    return key_picture(key_frame), np.stack(motion)


def _network_input(pictures: Image) -> Image:
    """(..., 3) -> (1, 3, ...) in [0, 1], finite."""
    shown = np.clip(np.nan_to_num(np.asarray(pictures, np.float32), nan=0.0, posinf=0.0, neginf=0.0), 0, 1)
    return np.ascontiguousarray(np.moveaxis(shown, -1, 0)[None])


def _open(model: JudgingModel, runtime: RuntimeName | None) -> Session:
    from toolchain.runtimes.cache import engine_folder
    from toolchain.runtimes.chain import open_session

    loaded = LoadedNetwork(MODEL_ID, model.network, model.sha256)
    # One thread: a sum over another number of threads rounds differently.
    return open_session(loaded, "score", SessionOptions(threads=1), engine_folder(), runtime)
