"""Speakers whose speech shares batches have the losses and slopes that each has alone, on all families with CTC."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from asr_transfer.adaptation.adapter_likelihood import AdapterLikelihood
from asr_transfer.adaptation.adapters_together import Own, likelihoods
from asr_transfer.data.speech import Spoken
from asr_transfer.models.adapters import AdapterSpec
from asr_transfer.training.learnable import learnable
from tests.models.pretrained.test_family_battery import OPENED
from tests.tones import two_speakers


@pytest.mark.parametrize("family", [name for name in OPENED if name != "whisper"])
def test_losses_and_slopes_are_those_of_each_alone(family: str, tmp_path: Path) -> None:
    source = OPENED[family](tmp_path / "model")
    speech = two_speakers(tmp_path / "speech", source.model.inputs, count=3)
    owns = []
    for own in (speech.own, speech.more):
        spoken, _ = learnable(Spoken(own, speech.store).spelled(source.tokens), source.model)
        owns.append(Own(source, [spoken.collate([item]) for item in range(len(spoken))]))
    spec = AdapterSpec("lhuc", 0)
    together = likelihoods(owns, spec)
    random = torch.Generator().manual_seed(1)
    tried = {n: 0.2 * torch.randn(len(together.start), generator=random, dtype=torch.float64) for n in range(2)}
    found = together.slopes(tried)
    for number, vector in tried.items():
        alone = AdapterLikelihood(source, spec, owns[number].recordings)
        loss, slope = alone.slope(vector)
        assert together.frames[number] == alone.frames and together.shapes == alone.shapes
        assert found[number][0] == pytest.approx(loss, rel=1e-4)
        assert float((found[number][1] - slope).norm()) <= 1e-3 * float(slope.norm())
