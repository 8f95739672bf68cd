"""What is computed once is kept in memory or in a file, with the same numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from asr_transfer.data.speech import Spoken
from asr_transfer.training import views
from asr_transfer.training.activations import Stored
from asr_transfer.training.views import Views
from tests.models.pretrained.published import random_encoder
from tests.small import small_model
from tests.tones import two_speakers


@pytest.mark.parametrize("half", [True, False])
def test_a_file_gives_the_same_as_memory(half: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASR_TRANSFER_CACHE", str(tmp_path))
    torch.manual_seed(0)
    matrices = [torch.randn(frames, 6) for frames in (3, 1, 40, 7)]
    memory, file = Views(half), Views(half, limit=200)
    for number, matrix in enumerate(matrices):
        memory.keep(number, matrix)
        file.keep(number, matrix)
    assert (memory.filed, file.filed) == (0, 1 if half else 2), "a small one behind a large one may fit"
    for number in (3, 0, 2, 1, 2):
        assert torch.equal(memory.get(number), file.get(number)) and memory.get(number).dtype == torch.float32
        near = {"rtol": 5e-4, "atol": 1e-7} if half else {"rtol": 0.0, "atol": 0.0}
        torch.testing.assert_close(file.get(number), matrices[number], **near)
    assert 2 in file and 9 not in file and not list(tmp_path.iterdir()), "the file has no name"


def test_numbers_out_of_reach_stay_what_they_are() -> None:
    kept = Views(half=True)
    kept.keep(0, torch.tensor([[1e6, 0.1]]))
    assert torch.equal(kept.get(0), torch.tensor([[1e6, 0.1]]))


def test_states_of_a_published_encoder_are_halved_and_others_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASR_TRANSFER_CACHE", str(tmp_path / "cache"))
    for model, half in ((random_encoder({"en": 8}), True), (small_model(layers=2), False)):
        model.eval()
        speech = two_speakers(tmp_path / str(half), model.inputs)
        spoken = Spoken(speech.own, speech.store)
        monkeypatch.setattr(views, "IN_MEMORY", 2**30)
        memory = Stored(model).feed(spoken, 2).store
        monkeypatch.setattr(views, "IN_MEMORY", 0)
        file = Stored(model).feed(spoken, 2).store
        for view in range(2):
            features = speech.store.load(view)[None]
            with torch.no_grad():
                exact, _ = model.run(0, 2, features, torch.tensor([features.shape[1]]))
            assert torch.equal(memory.load(view), file.load(view)) and torch.equal(file.load(view), file.load(view))
            assert torch.equal(memory.load(view), exact[0].half().float() if half else exact[0])
