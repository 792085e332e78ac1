"""How openvino and onnxruntime are imported here: without the usage statistics they would send to their makers."""

from __future__ import annotations

import os
import sys
from types import ModuleType


def load_openvino() -> ModuleType:
    """The openvino package.

    Its import sends an event through the package `openvino_telemetry` and leaves an identifier in the home folder;
    where that package cannot be imported, it does neither.
    """
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # how Python is told to refuse an import
    import openvino

    return openvino


def load_onnxruntime() -> ModuleType:
    """The onnxruntime package. Its switch (Privacy.md, "Disabling Telemetry") must be set before its first use."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    return onnxruntime
