"""What becomes float16 and what stays float32, and that the result still computes what the network computes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.toolchain.runtimes.nets import small
from toolchain.errors import EngineBuildError
from toolchain.runtimes import typed_fp16 as module
from toolchain.runtimes.onnx_rt import open_inference_session
from toolchain.runtimes.typed_fp16 import MAX_DIFFERENCE, MEAN_DIFFERENCE, typed, typed_fp16
from toolchain.runtimes.typed_lint import inferred, lint_typed, value_types

AXES = ("n", 3, "h", "w")


def model(*nodes: onnx.NodeProto, weights: Sequence[onnx.TensorProto] = (), output: str = "y") -> onnx.ModelProto:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, AXES) for name in ("x", output)]
    graph = helper.make_graph(list(nodes), "test", ends[:1], ends[1:], list(weights))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def weight(name: str, value: float = 0.25) -> onnx.TensorProto:
    return numpy_helper.from_array(np.full((3, 3, 1, 1), value, np.float32), name)


def node(kind: str, inputs: str, output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), [output], **attributes)  # type: ignore[arg-type]


def kinds(rewritten: onnx.ModelProto) -> dict[str, str]:
    """float16 or float32 of each value a node other than a cast makes."""
    types = value_types(inferred(rewritten))
    names: dict[int, str] = {TensorProto.FLOAT16: "float16", TensorProto.FLOAT: "float32"}
    return {n.output[0]: names[types[n.output[0]]] for n in rewritten.graph.node if n.op_type != "Cast"}


def test_the_middle_is_half_and_the_ends_are_not() -> None:
    rewritten = typed(
        model(
            node("Conv", "x w", "a"),
            node("Relu", "a", "b"),
            node("Conv", "b w", "c"),
            node("Conv", "c w", "d"),
            node("Add", "d x", "y"),
            weights=[weight("w")],
        )
    )
    assert kinds(rewritten) == {"a": "float16", "b": "float16", "c": "float16", "d": "float32", "y": "float32"}
    casts = [(n.input[0], n.attribute[0].i) for n in rewritten.graph.node if n.op_type == "Cast"]
    assert casts == [("x", TensorProto.FLOAT16), ("c", TensorProto.FLOAT)]
    assert {(t.name, t.data_type) for t in rewritten.graph.initializer} == {
        ("w", TensorProto.FLOAT),
        ("w_float16", TensorProto.FLOAT16),
    }


@pytest.mark.parametrize("kind", ["Softmax", "Exp", "Sqrt", "GlobalAveragePool", "ReduceMean"])
def test_delicate_operators_stay_float32_and_so_does_what_follows_them(kind: str) -> None:
    rewritten = typed(
        model(
            node("Conv", "x w", "a"),
            node(kind, "a", "b"),
            node("Sub", "a b", "c"),
            node("Mul", "c c", "d"),
            node("Conv", "d w", "e"),
            node("Conv", "e w", "y"),
            weights=[weight("w")],
        )
    )
    found = kinds(rewritten)
    assert [found[name] for name in "abcde"] == ["float16", "float32", "float32", "float32", "float16"]


def test_a_product_without_weights_is_attention_and_stays_float32() -> None:
    rewritten = typed(
        model(
            node("Conv", "x w", "a"),
            node("Transpose", "a", "t", perm=[0, 1, 3, 2]),
            node("MatMul", "a t", "b"),
            node("MatMul", "b a", "c"),
            node("Conv", "c w", "y"),
            weights=[weight("w")],
        )
    )
    assert [kinds(rewritten)[name] for name in "atbc"] == ["float16", "float16", "float32", "float32"]


def test_a_weight_too_large_for_half_keeps_its_node_float32() -> None:
    rewritten = typed(
        model(
            node("Conv", "x big", "a"),
            node("Conv", "a w", "b"),
            node("Conv", "b w", "y"),
            weights=[weight("w"), weight("big", 1e5)],
        )
    )
    assert kinds(rewritten) == {"a": "float32", "b": "float16", "y": "float32"}


def test_numbers_that_are_no_data_keep_their_types() -> None:
    """Resize takes its scales as float32 whatever its picture is."""
    scales = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")
    constant = helper.make_node("Constant", [], ["low"], value=numpy_helper.from_array(np.array(0, np.float32)))
    rewritten = typed(
        model(
            constant,
            node("Conv", "x w", "a"),
            helper.make_node("Resize", ["a", "", "scales"], ["b"], mode="nearest"),
            helper.make_node("Clip", ["b", "low"], ["c"]),
            node("AveragePool", "c", "d", kernel_shape=[2, 2], strides=[2, 2]),
            node("Conv", "d w", "y"),
            weights=[weight("w"), scales],
        )
    )
    assert [kinds(rewritten)[name] for name in "abcd"] == ["float16", "float16", "float16", "float32"]
    assert {t.name: t.data_type for t in rewritten.graph.initializer}["scales"] == TensorProto.FLOAT


def test_control_flow_is_refused() -> None:
    branch = helper.make_graph([node("Identity", "x", "z")], "branch", [], [helper.make_empty_tensor_value_info("z")])
    condition = numpy_helper.from_array(np.array(True), "yes")
    with pytest.raises(EngineBuildError, match="If"):
        typed(model(node("If", "yes", "y", then_branch=branch, else_branch=branch), weights=[condition]))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("typed")


def test_a_network_survives_half_precision(cache: Path) -> None:
    loaded = small()
    found = typed_fp16(loaded, "restore", cache)
    assert lint_typed(found.path, loaded.network.graph("restore")) == []
    assert 0 < found.parity.largest <= MAX_DIFFERENCE
    assert 0 < found.parity.mean <= MEAN_DIFFERENCE
    assert found.parity.half_nodes > 0
    assert typed_fp16(loaded, "restore", cache) == found
    assert open_inference_session(found.path, "CPUExecutionProvider").get_inputs()[0].type == "tensor(float)"


def test_a_graph_that_is_all_end_stays_float32(cache: Path) -> None:
    """The modulated pixels of `render` have no weighted operator before the last."""
    found = typed_fp16(small(), "render", cache)
    assert (found.parity.half_nodes, found.parity.casts) == (0, 0)
    assert found.parity.largest < 1e-6


def test_a_graph_that_loses_too_much_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_DIFFERENCE", 1e-7)
    monkeypatch.setattr(module, "RECIPE", "another")
    before = set(cache.iterdir())
    with pytest.raises(EngineBuildError, match="use fp32"):
        typed_fp16(small(), "restore", cache)
    assert {path for path in set(cache.iterdir()) - before if not path.name.endswith(".lock")} == set()


def test_the_lint_finds_what_is_wrong(tmp_path: Path) -> None:
    half = numpy_helper.from_array(np.ones((3, 3, 1, 1), np.float16), "half")
    wrong = {
        "mixes types": model(node("Conv", "x half", "y"), weights=[half]),
        "not known to TensorRT": model(node("Det", "x", "a"), node("Hardmax", "x", "y")),
        "float64": model(node("Cast", "x", "a", to=TensorProto.DOUBLE), node("Cast", "a", "y", to=TensorProto.FLOAT)),
    }
    for words, broken in wrong.items():
        path = tmp_path / "wrong.onnx"
        path.write_bytes(broken.SerializeToString())
        assert any(words in complaint for complaint in lint_typed(path)), (words, lint_typed(path))


def test_the_lint_asks_for_float32_ends_and_dynamic_axes(tmp_path: Path) -> None:
    spec = small().network.graph("restore")
    path = tmp_path / "fixed.onnx"
    fixed = model(node("Relu", "x", "y"))
    path.write_bytes(fixed.SerializeToString())
    assert len(lint_typed(path, spec)) == 2  # other names
    fixed.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    path.write_bytes(fixed.SerializeToString())
    assert lint_typed(path) != []
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 3, 8, 8)) for name in ("rgb", "picture")]
    graph = helper.make_graph([node("Relu", "rgb", "picture")], "fixed", ends[:1], ends[1:])
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))
    assert [complaint.startswith("the axes of") for complaint in lint_typed(path, spec)] == [True, True]


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x80\x02}q\x00."])
def test_what_is_no_onnx_file_is_a_complaint_and_not_a_crash(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(content)
    assert lint_typed(tmp_path / "x.onnx") != []
