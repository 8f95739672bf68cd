"""Methods train of a whole Whisper the layers that they name, and never the embedding that also makes the logits."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from asr_transfer.adaptation.built_method import build
from asr_transfer.adaptation.settings import MethodSettings
from asr_transfer.models.pretrained.door import open_pretrained
from tests.models.pretrained.whole_whisper import write_whisper

ALL = ("encoder.front.", "encoder.layers.", "encoder.norm.", "decoder.layers.", "decoder.norm.")
TRAINED = {
    "full": ALL,
    "replay": ALL,
    "kld": ALL,
    "front-end": ("encoder.front.",),
    "first-layers": ("encoder.front.", "encoder.layers.0."),
    "last-layers": ("encoder.layers.1.", "encoder.norm.", "decoder.layers.", "decoder.norm."),
}


@pytest.mark.parametrize("method", TRAINED)
def test_exactly_the_layers_that_a_method_names_are_trained(tmp_path: Path, method: str) -> None:
    write_whisper(tmp_path / "published")
    source = open_pretrained(tmp_path / "published").model
    model = copy.deepcopy(source)
    applied = build(method, source, MethodSettings(first=1), "text").plan.apply(model)
    able = {name for name, parameter in source.named_parameters() if parameter.requires_grad}
    trained = {name for name, _ in model.named_parameters() if name not in applied.frozen} & able
    assert trained == {name for name in able if name.startswith(TRAINED[method])}
    assert trained == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
