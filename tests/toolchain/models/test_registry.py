from __future__ import annotations

from importlib.resources import files

import pytest
import yaml

from toolchain.errors import UsageError
from toolchain.models.registry import check_parameters, get_model, get_spec, model_ids, specs
from toolchain.models.spec import Controls, ModelSpec


def test_catalogue_order_is_expand_then_restore():
    assert model_ids("sdr2hdr")[:5] == ("direct203", "bt2446a", "bt2446b", "bt2446c", "spline")
    assert model_ids("restore")[0] == "deinterlace"
    assert model_ids() == model_ids("sdr2hdr") + model_ids("restore")
    assert tuple(spec.id for spec in specs()) == model_ids()


def test_every_file_is_in_the_catalogue_and_valid():
    names = sorted(entry.name for entry in (files("configs") / "models").iterdir() if entry.name.endswith(".yaml"))
    assert names == sorted(f"{model_id}.yaml" for model_id in model_ids())
    for name in names:
        spec = ModelSpec.model_validate(yaml.safe_load((files("configs") / "models" / name).read_text("utf-8")))
        assert f"{spec.id}.yaml" == name


@pytest.mark.parametrize("model_id", model_ids())
def test_data_sheet_says_what_a_selector_needs(model_id):
    spec = get_spec(model_id)
    assert spec.title and spec.source and spec.licence and spec.suits
    assert spec.task == "restore" or not spec.filters
    assert spec.filters or spec.weights or spec.pointwise or spec.id == "deband"  # something must do the work
    assert spec.weights is None or (spec.input and spec.output and spec.weights.credit)
    for known in spec.parameters.values():
        assert known.minimum <= known.default <= known.maximum
        assert known.minimum < known.maximum


def test_common_controls_have_the_defaults_and_ranges_of_controls():
    for spec in specs("sdr2hdr"):
        for name in set(spec.parameters) & set(Controls.model_fields):
            known = spec.parameters[name]
            assert known.default == getattr(Controls(), name)
            Controls.model_validate({name: known.minimum})
            Controls.model_validate({name: known.maximum})


def test_unknown_model_is_refused_with_the_known_names():
    with pytest.raises(UsageError, match=r"'bt2446z'.*direct203.*sharpen"):
        get_model("bt2446z")


def test_restore_model_is_no_expanding_model():
    with pytest.raises(UsageError, match="'denoise' restores"):
        get_model("denoise")


@pytest.mark.parametrize("hostile", ["../models/spline", "spline.yaml", "", "SPLINE"])
def test_id_is_never_used_as_a_path(hostile):
    with pytest.raises(UsageError, match="There is no model"):
        get_spec(hostile)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"strenght": 1.0}, "no parameter 'strenght'"),
        ({"strength": 1.6}, "from 0 to 1.5"),
        ({"strength": float("nan")}, "strength is nan"),
        ({"knee_shift": float("-inf")}, "knee_shift is -inf"),
    ],
)
def test_bad_parameters_are_refused(parameters, message):
    with pytest.raises(UsageError, match=message):
        check_parameters(get_spec("spline"), parameters)


def test_doing_nothing_takes_no_parameter():
    with pytest.raises(UsageError, match="it takes none"):
        check_parameters(get_spec("direct203"), {"saturation": 1.0})
