"""Heads that are made of a layer of phones have no weights of their own, which methods that keep heads refused."""

from __future__ import annotations

import pytest

from asr_transfer.adaptation.built_method import build
from asr_transfer.adaptation.settings import MethodSettings
from asr_transfer.models.attributes import Inventory, PhoneModel
from tests.small import small_model


@pytest.mark.parametrize(("name", "wanted"), [("front-end", {"frontend"}), ("first-layers", {"frontend", "encoder"})])
def test_what_makes_the_heads_is_kept(name: str, wanted: set[str]) -> None:
    model = PhoneModel(small_model().config, Inventory(("a", "b")), {"main": None})
    build(name, model, MethodSettings()).plan.apply(model)
    trained = {tensor for tensor, parameter in model.named_parameters() if parameter.requires_grad}
    assert {tensor.split(".")[0] for tensor in trained} == wanted
    assert not any(tensor.startswith("encoder.layers.1") for tensor in trained)
