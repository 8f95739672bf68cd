"""EWC takes its Fisher information on source utterances: what mattered for others is held (Kirkpatrick et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from asr_transfer.adaptation import adapt as adapting
from asr_transfer.adaptation.adapt import adapt
from asr_transfer.adaptation.settings import AdaptConfig, MethodSettings
from asr_transfer.config import FeatureConfig
from asr_transfer.data.features import FeatureStore, build_store
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.remarks import collected
from asr_transfer.training.streams import Task
from tests.small import MELS, small_model
from tests.tones import make_speaker

TOKENS = Tokens([*"abcdef", " "])
CONFIG = AdaptConfig(steps=3, learning_rate=0.01, settings=MethodSettings(fisher=10.0), precision="fp32", device="cpu")

Speech = tuple[list[Utterance], list[Utterance], list[Utterance], FeatureStore]


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Speech:
    folder = tmp_path_factory.mktemp("speech")
    own, more, other = (make_speaker(folder, name, pitch, 4, 1) for name, pitch in (("a", 1.1), ("b", 0.9), ("c", 1.3)))
    return own, more, other, build_store([*own, *more, *other], FeatureConfig(mels=MELS), cache=folder / "cache")


@pytest.fixture
def source() -> Recogniser:
    torch.manual_seed(3)
    return Recogniser(small_model(heads={"en": len(TOKENS)}).eval(), TOKENS, "en", {})


@pytest.mark.parametrize("method", ["ewc", "lhuc+ewc", "head+ewc", "ewc+replay"])
def test_fisher_information_is_that_of_source_utterances(
    method: str, speech: Speech, source: Recogniser, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, more, other, store = speech
    plain: Callable[..., dict[str, torch.Tensor]] = adapting.fisher_information
    taken: list[set[str]] = []

    def fisher(model: torch.nn.Module, task: Task, *rest: int) -> dict[str, torch.Tensor]:
        taken.append({u.id for u in task.data.utterances})  # type: ignore[attr-defined]
        return plain(model, task, *rest)

    monkeypatch.setattr(adapting, "fisher_information", fisher)
    with collected() as remarks:
        first, again, changed = (
            adapt(source, Spoken(own, store), method, CONFIG, source_speech=Spoken(part, store)).end
            for part in (more, more, other)
        )
    assert taken == [{u.id for u in more}] * 2 + [{u.id for u in other}] and not remarks
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], changed[name]) for name in first)


def test_without_source_utterances_the_recordings_own_is_taken_which_is_said(
    speech: Speech, source: Recogniser
) -> None:
    own, _, _, store = speech
    with collected() as remarks:
        adapt(source, Spoken(own, store), "ewc", CONFIG)
    (reason,) = remarks
    assert "no source utterances" in reason and "--source" in reason
    with collected() as remarks:
        adapt(source, Spoken(own, store), "l2sp", CONFIG)
    assert not remarks
