"""Selectors mean exactly what they say, and a selector that means nothing never passes in silence."""

from __future__ import annotations

import pytest
from torch import nn

from asr_transfer.errors import SelectionError
from asr_transfer.transfer.selection import select, select_modules, state_names
from tests.small import small_model

HEADS = {"en": 5, "zh-cn": 7, "zh-tw": 6}


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """Return a model of eleven layers, so that `layers.1` and `layers.10` both exist."""
    return small_model(layers=11, heads=HEADS)


def _below(model: nn.Module, *prefixes: str) -> list[str]:
    return [
        name
        for name in state_names(model)
        if any(name.startswith(prefix + ".") or name == prefix for prefix in prefixes)
    ]


@pytest.mark.parametrize(
    ("selector", "prefixes"),
    [
        ("encoder.layers.1", ["encoder.layers.1"]),
        ("encoder.layers.10", ["encoder.layers.10"]),
        ("encoder.layers[:2]", ["encoder.layers.0", "encoder.layers.1"]),
        ("encoder.layers[-2:]", ["encoder.layers.9", "encoder.layers.10"]),
        ("encoder.layers[9:]", ["encoder.layers.9", "encoder.layers.10"]),
        ("encoder.layers[1:3]", ["encoder.layers.1", "encoder.layers.2"]),
        ("encoder.layers[0]", ["encoder.layers.0"]),
        ("encoder.layers[-1]", ["encoder.layers.10"]),
        ("encoder.layers[-11]", ["encoder.layers.0"]),
        ("encoder.layers[:]", ["encoder.layers"]),
        ("encoder.layers[0].norm", ["encoder.layers.0.norm"]),
        ("encoder.layers.0[0]", ["encoder.layers.0.convolution"]),
        ("encoder.layers[:2][0]", ["encoder.layers.0.convolution", "encoder.layers.1.convolution"]),
        ("*", ["frontend", "encoder", "heads"]),
        ("**", ["frontend", "encoder", "heads"]),
        ("heads.*", ["heads"]),
        ("heads.zh-cn", ["heads.zh-cn"]),
        ("heads.zh-*", ["heads.zh-cn", "heads.zh-tw"]),
        ("heads.?n", ["heads.en"]),
        ("heads.zh-cn.bias", ["heads.zh-cn.bias"]),
        ("frontend | heads.en", ["frontend", "heads.en"]),
        ("frontend|heads.en", ["frontend", "heads.en"]),
        ("  frontend  |  heads.en  ", ["frontend", "heads.en"]),
        ("** - encoder - frontend", ["heads"]),
        ("heads - heads.zh-cn", ["heads.en", "heads.zh-tw"]),
        ("heads - heads.zh-* | heads.zh-cn", ["heads.en", "heads.zh-cn"]),
        ("frontend.layers[0].norm.running_mean", ["frontend.layers.0.norm.running_mean"]),
    ],
)
def test_a_selector_means_these_tensors_in_the_models_order(
    model: nn.Module, selector: str, prefixes: list[str]
) -> None:
    chosen = select(model, selector)
    assert chosen == _below(model, *prefixes)
    assert chosen


def test_two_stars_stand_for_any_depth(model: nn.Module) -> None:
    assert select(model, "**.bias") == [name for name in state_names(model) if name.endswith(".bias")]
    norms = select(model, "encoder.**.norm")
    assert norms == [name for name in _below(model, "encoder") if ".norm." in name]
    assert _below(model, "encoder.norm")[0] in norms
    assert select(model, "**.layers[0]") == _below(model, "frontend.layers.0", "encoder.layers.0")


def test_layer_one_is_not_layer_ten(model: nn.Module) -> None:
    assert not any("layers.10" in name for name in select(model, "encoder.layers.1"))
    assert {name.split(".")[2] for name in select(model, "encoder.layers.1*")} == {"1", "10"}


@pytest.mark.parametrize(
    ("selector", "parts"),
    [
        ("encodr.layers", ["'encodr'", "at the top of the model", "Did you mean 'encoder'?"]),
        ("encoder.layer[0]", ["below 'encoder'", "Did you mean 'layers'?"]),
        ("encoder.layers.11", ["below 'encoder.layers'", "no '11'"]),
        ("heads.fr", ["below 'heads'", "no 'fr'"]),
        ("heads.zzzzz", ["Known: en, zh-cn, zh-tw."]),
        ("encoder.layers[11]", ["no 'layers[11]'", "'layers' has 11 children"]),
        ("encoder.layers[-12]", ["'layers' has 11 children"]),
        ("encoder.layers[11:]", ["'layers' has 11 children"]),
        ("encoder.layers[5:5]", ["'layers' has 11 children"]),
        ("frontend | encodr", ["'encodr' in the selector 'frontend | encodr'"]),
        ("** - encodr", ["'encodr' in the selector '** - encodr'", "Did you mean 'encoder'?"]),
        ("encoder | decoder.*", ["'decoder.*'"]),
        ("heads.en.bias.x", ["below 'heads.en.bias'"]),
        ("encoder -heads", ["matches nothing"]),
        ("encoder - encoder", ["leaves nothing"]),
    ],
)
def test_what_matches_nothing_is_refused_with_what_exists(model: nn.Module, selector: str, parts: list[str]) -> None:
    with pytest.raises(SelectionError) as caught:
        select(model, selector)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "selector",
    ["encoder.layers[", "encoder.layers]", "encoder.layers[]", "encoder.layers[a]", "encoder.layers[1.5]",
     "encoder.layers[::2]", "encoder.layers[0]x", "encoder..layers", ".encoder", "encoder.", "[0]", "x[[0]]"],
)  # fmt: skip
def test_a_malformed_selector_is_refused_as_such(model: nn.Module, selector: str) -> None:
    with pytest.raises(SelectionError, match="malformed"):
        select(model, selector)


@pytest.mark.parametrize("selector", ["", " ", "|", "encoder |", "| encoder", "encoder || heads"])
def test_an_empty_alternative_is_refused(model: nn.Module, selector: str) -> None:
    with pytest.raises(SelectionError, match="empty alternative"):
        select(model, selector)


def test_modules_without_parameters_are_no_match(model: nn.Module) -> None:
    with pytest.raises(SelectionError, match="only modules without parameters"):
        select(model, "encoder.layers.0.dropout")


def test_modules_are_selected_only_whole(model: nn.Module) -> None:
    assert select_modules(model, "heads") == ["heads.en", "heads.zh-cn", "heads.zh-tw"]
    assert select_modules(model, "heads.en.bias | heads.zh-cn") == ["heads.zh-cn"]


def test_every_name_is_chosen_once(model: nn.Module) -> None:
    chosen = select(model, "encoder | encoder.layers | **.bias | encoder.*")
    assert len(chosen) == len(set(chosen))
