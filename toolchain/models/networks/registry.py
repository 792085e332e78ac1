"""Which networks exist: model id -> class. The module of a family is imported when one of its networks is built.

Adding a network: its class in its family's file, and one line here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from toolchain.errors import UsageError

if TYPE_CHECKING:
    from toolchain.models.networks.base import Network

NETWORKS: tuple[tuple[str, str, str], ...] = (
    ("agcm", "agcm", "Agcm"),
    ("hdrtvnetpp", "hdrtvnetpp", "HdrTvNetPlusPlus"),
    ("hdrtvnetpp-hr", "hdrtvnetpp", "HdrTvNetPlusPlus"),
    ("lsn", "lsn", "Lsn"),
    ("lsn-3dm", "lsn", "Lsn"),
    ("lsn-davinci", "lsn", "Lsn"),
    ("itmlut-tv1k", "itmlut", "ItmLut"),
    ("itmlut-davinci", "itmlut", "ItmLut"),
    ("lumen-shot", "lumen", "LumenShotNetwork"),
    ("lumen-local", "lumen_local", "LumenLocalNetwork"),
    ("codec-clean", "restore", "CodecClean"),
    ("clarity", "restore", "Clarity"),
)
"""(model id, module below toolchain.models.networks, class without arguments), in catalogue order."""


def network_ids() -> tuple[str, ...]:
    """Ids of all models that are networks, in catalogue order."""
    return tuple(model_id for model_id, _, _ in NETWORKS)


def build_network(model_id: str) -> Network:
    """The network of a model, in evaluation mode, with weights as torch initialises them. UsageError: unknown id."""
    for known, module, name in NETWORKS:
        if known == model_id:
            return getattr(import_module(f"toolchain.models.networks.{module}"), name)().eval()
    raise UsageError(f"Model {model_id!r} is no network: networks are {', '.join(network_ids()) or 'none'}.")
