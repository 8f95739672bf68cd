"""A running summary of how a speaker sounds: what it is of, whom it serves, and where it is not used."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from asr_transfer.adaptation.film_summary import FILM, summarise
from asr_transfer.adaptation.online_film import FilmSession
from asr_transfer.adaptation.sureness import weigh
from asr_transfer.config import FeatureConfig
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ModelError
from asr_transfer.models.adapters import add_adapter
from tests.adaptation.test_methods import make_source
from tests.small import MELS, different, snapshot
from tests.spaces import give_modulation
from tests.tones import Speech, two_speakers


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Speech:
    """Return recordings of two tone speakers."""
    return two_speakers(tmp_path_factory.mktemp("speech"), FeatureConfig(mels=MELS), count=8)


def _source(seed: int) -> Recogniser:
    made = make_source()
    made.model.speakers = None
    give_modulation(made.model, seed=seed)
    made.model.modulation.middle.zero_()
    made.model.modulation.spread.fill_(4.0)
    return made


def _with_summary(source: Recogniser, spoken: Spoken) -> Recogniser:
    found, twin = summarise(source, spoken), _copy(source)
    add_adapter(twin.model, found.spec(twin.model))
    found.put_on(twin.model)
    return twin


def _copy(source: Recogniser) -> Recogniser:
    return replace(source, model=copy.deepcopy(source.model))


def _sureness(recogniser: Recogniser, one: Spoken) -> float:
    (pieces,) = recogniser.listen_with(partial(weigh, False), one, whole=False, label="")
    return float(np.sum(pieces, axis=0)[1])


@pytest.mark.parametrize("seed", range(6))
def test_a_speaker_is_heard_by_the_summary_so_far_where_the_model_is_surer_with_it(seed: int, speech: Speech) -> None:
    source = _source(seed)
    own, before = Spoken(speech.own, speech.store), snapshot(source.model)
    session, gain = FilmSession(source), 0.0
    texts = session.listen(own)
    for number in range(len(own)):
        modulated, last = _with_summary(source, own.subset(range(number + 1))), own.subset([number])
        gain += _sureness(modulated, last) - _sureness(source, last)
        assert texts[number] == (modulated if gain > 0 else source).listen(last)[0]
    assert bool(session.describe()) == (gain > 0) == bool(session.plain()["heard_by_summary_since"]["ida"])
    assert not different(snapshot(source.model), before)


def test_both_sides_of_the_bound_were_tried(speech: Speech) -> None:
    ends = set()
    for seed in range(6):
        session = FilmSession(_source(seed))
        session.listen(Spoken(speech.own, speech.store))
        ends.add(bool(session.describe()))
    assert ends == {True, False}


def test_what_one_speaker_says_tells_nothing_of_another(speech: Speech) -> None:
    source = _source(0)
    own, other = speech.own, speech.more
    alone = FilmSession(source).listen(Spoken(own, speech.store))
    mixed = FilmSession(source).listen(Spoken([*own[:3], *other, *own[3:]], speech.store))
    assert [*mixed[:3], *mixed[3 + len(other) :]] == alone
    short = Spoken([replace(utterance, duration=0.2) for utterance in own], speech.store)
    assert FilmSession(source).listen(short) == source.listen(short), "too short to tell anything"


def test_a_model_that_was_not_made_for_it_is_refused(speech: Speech) -> None:
    with pytest.raises(ModelError, match="trained without; train one with --speaker_adaptive.kind film"):
        FilmSession(make_source())
    taken = _with_summary(_source(0), Spoken(speech.own, speech.store))
    assert torch.any(taken.model.adapters[FILM].summary != 0)
    with pytest.raises(ModelError, match="has a speaker's summary already"):
        FilmSession(taken)
