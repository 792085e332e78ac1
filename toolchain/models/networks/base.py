"""What every network of the catalogue declares, so that one exporter and one conformance suite serve them all.

A network is a torch module cut into *graphs*: functions from tensors to tensors that each become one ONNX file and
one engine. An SDR-to-HDR network has two: `condition` (a small picture -> numbers, held over a shot, so that nothing
flickers) and `render` (picture and numbers -> picture). A restoring network has one: `restore`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class TensorSpec:
    """One float32 input or output. A string in `shape` names a dynamic axis ("batch", "height", "width")."""

    name: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class GraphSpec:
    """One exportable function: the method of the same name of the network.

    `size_multiple`: dynamic heights and widths must be multiples of it; the caller pads. `least_size`: the smallest
    height and width. `tolerance`: largest absolute difference from float32 torch that a float32 runtime may show, in
    the output's own unit. `pq_output`: the output is a final PQ signal, which never passes through bf16 or fp16.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    size_multiple: int = 1
    least_size: int = 16
    tolerance: float = 1e-4
    pq_output: bool = False


class Network(nn.Module):
    """Base of all networks: declares its graphs; weights are loaded with `load_state_dict(..., strict=True)`."""

    graphs: ClassVar[tuple[GraphSpec, ...]] = ()

    def graph(self, name: str) -> GraphSpec:
        """The declaration of one graph; KeyError for a name the network does not declare."""
        return {graph.name: graph for graph in self.graphs}[name]

    def example(self, name: str, height: int, width: int, seed: int = 0) -> tuple[Tensor, ...]:
        """Inputs in [0, 1] of one graph at a picture size, for export, parity and conformance."""
        generator = torch.Generator().manual_seed(seed)
        axes = {"batch": 1, "height": height, "width": width}
        shapes = [[axes[n] if isinstance(n, str) else n for n in tensor.shape] for tensor in self.graph(name).inputs]
        return tuple(torch.rand(shape, generator=generator) for shape in shapes)


class GraphModule(nn.Module):
    """One graph of a network as a module of its own: what exporters and `torch.compile` take."""

    def __init__(self, network: Network, graph: str):
        super().__init__()
        self.network = network
        self.graph_name = graph

    def forward(self, *inputs: Tensor) -> Tensor:
        return getattr(self.network, self.graph_name)(*inputs)


class SdrToHdrNetwork(Network, ABC):
    """An SDR-to-HDR network. Pictures are (N, 3, H, W) float32.

    `condition(small)`: BT.709 R'G'B' in [0, 1] at 1 / `condition_scale` of the picture -> (N, K) numbers.
    `render(rgb, numbers)`: BT.709 R'G'B' in [0, 1] and (N, K) -> PQ BT.2020 R'G'B' in [0, 1].
    """

    condition_scale: ClassVar[int]

    @abstractmethod
    def shrink(self, rgb: Tensor) -> Tensor:
        """The small picture that `condition` takes, made of a full one the way the network was trained."""

    def numbers_of(self, rgb: Tensor, condition: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """The numbers of a full picture, exactly as published. `condition`: an engine in place of the method.

        A network whose numbers are not all seen in the small picture overrides it.
        """
        return (condition or self.condition)(self.shrink(rgb))

    @abstractmethod
    def condition(self, small: Tensor) -> Tensor:
        """See the class."""

    @abstractmethod
    def render(self, rgb: Tensor, numbers: Tensor) -> Tensor:
        """See the class."""
