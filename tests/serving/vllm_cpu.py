"""Starts vLLM's own command on a CPU, in vLLM's own environment: `python vllm_cpu.py serve MODEL ...`.

torchvision is built for CUDA only and refuses to be imported beside a CPU torch, because two operators are missing
that nobody here calls. They are declared first, in this process and in those that vLLM starts from it.
"""

from __future__ import annotations

import torch

_OPERATORS = torch.library.Library("torchvision", "DEF")
for _name in ("nms", "qnms"):
    _OPERATORS.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

if __name__ == "__main__":
    from vllm.entrypoints.cli.main import main

    main()
