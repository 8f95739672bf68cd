"""Choosing a method, played by puppets: what is trained on what, judged on what, and how often.

Nobody is judged on what he has heard, and no training is wasted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from torch import nn

from asr_transfer.adaptation import choice as choosing
from asr_transfer.adaptation import judge
from asr_transfer.adaptation.answers import Answers
from asr_transfer.adaptation.choice import Choice, choose
from asr_transfer.adaptation.ladder import WORST, Candidate
from asr_transfer.adaptation.settings import AdaptConfig, ChoiceConfig
from asr_transfer.audio import SAMPLE_RATE
from asr_transfer.config import FeatureConfig
from asr_transfer.data.features import FeatureStore, build_store
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from tests.small import MELS, small_model

CHOICE = ChoiceConfig(folds=3, strengths=(0.5, 1.0))
ERRORS, LENGTH = 10.0, 20.0
"""Of the source model on every utterance."""


@dataclass
class World:
    """A recogniser that is never run, 24 utterances of a speaker, 9 of the source domain ("anna"), and features.

    Every third of the source domain is judged on, the others are there to be mixed in.
    """

    source: Recogniser
    own: list[Utterance]
    others: list[Utterance]
    store: FeatureStore


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return what the plays need on the stage."""
    folder = tmp_path_factory.mktemp("trials")
    tokens = Tokens(["a", "b", " "])
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 8000)
    made: dict[str, list[Utterance]] = {}
    for speaker, count in (("ida", 24), ("anna", 9)):
        made[speaker] = []
        for number in range(count):
            path = folder / f"{speaker}-{number}.wav"
            soundfile.write(path, noise * (1 + number) / 30, SAMPLE_RATE)
            made[speaker].append(Utterance(path.stem, str(path), 0.5, "ab" if number % 2 else "b", speaker, "en"))
    store = build_store([*made["ida"], *made["anna"]], FeatureConfig(mels=MELS), cache=folder / "cache")
    recogniser = Recogniser(small_model(heads={"en": len(tokens)}), tokens, "en", {})
    return World(recogniser, made["ida"], made["anna"], store)


def _choose(
    world: World,
    *tried: Candidate,
    own: int = 9,
    others: bool = False,
    choice: ChoiceConfig = CHOICE,
    groups: Sequence[int] | None = None,
) -> Choice:
    judged = world.others[2::3] if others else []
    more = [u for u in world.others if u not in judged] if others else []
    return choose(
        world.source,
        Spoken(world.own[:own], world.store),
        AdaptConfig(),
        choice,
        tried,
        Spoken(more, world.store),
        groups,
        judged=Spoken(judged, world.store),
    )


@dataclass
class Puppet:
    """An adapted recogniser that only knows how good it is: factors on the source model's errors and losses."""

    own: float
    others: float
    heard: frozenset[str]
    strength: float = 1.0
    rate: float = 0.0
    model: nn.Module = field(default_factory=nn.Identity, compare=False)


@dataclass
class Stage:
    """Stands in for `adapt` and `answers` and notes their calls.

    Attributes:
        cast: factors on errors and losses of the speaker's own and of source utterances, by learning rate.
        trainings: learning rate and the ids of the speaker's and the source's utterances, of each training.
        judged: ids of the utterances that each adapted model was judged on.
        moody: learning rates of those who are much better than that on some utterances, and much worse on others, with
            the pattern of each.
    """

    cast: dict[float, tuple[float, float]]
    moody: Mapping[float, int] = field(default_factory=dict)
    trainings: list[tuple[float, list[str], list[str]]] = field(default_factory=list)
    judged: list[tuple[Puppet, list[str]]] = field(default_factory=list)

    def adapt(self, source: Recogniser, spoken: Spoken, method: str, config: AdaptConfig,
              source_speech: Spoken, shared: Any = None) -> Any:  # fmt: skip
        rate = config.learning_rate
        assert rate is not None
        own, more = [u.id for u in spoken.utterances], [u.id for u in source_speech.utterances]
        self.trainings.append((rate, own, more))
        heard = frozenset([*own, *(more if "replay" in method else ())])
        return SimpleNamespace(at_strength=lambda strength: Puppet(*self.cast[rate], heard, strength, rate), depth=0)

    def answers(self, model: Recogniser | Puppet, data: Spoken, items: Sequence[int]) -> Answers:
        ids = [data.utterance(item).id for item in items]
        ones = np.ones(len(ids))
        factor = 1.0 * ones
        if isinstance(model, Puppet):
            self.judged.append((model, ids))
            factor += model.strength * ((model.others if ids[0].startswith("anna") else model.own) - 1)
            if model.rate in self.moody and not ids[0].startswith("anna"):
                factor += [0.3 * _mood(self.moody[model.rate], i) for i in ids]
        return Answers(np.round(factor * ERRORS), LENGTH * ones, factor * 3.0)


def _mood(mask: int, utterance: str) -> int:
    """Return 1 or -1, by the number of the utterance; other masks give other patterns (Walsh functions)."""
    return (-1) ** (mask & int(utterance.rpartition("-")[2])).bit_count()


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Stage]:
    """Return a function that puts a cast, by learning rate, in the place of adaptation."""

    def build(moody: Mapping[float, int] | None = None, **cast: tuple[float, float]) -> Stage:
        made = Stage({float(rate.removeprefix("at")): factors for rate, factors in cast.items()}, moody or {})
        monkeypatch.setattr(choosing, "adapt", made.adapt)
        monkeypatch.setattr(judge, "answers", made.answers)
        return made

    return build


def _candidates(stage: Stage, method: str = "full") -> list[Candidate]:
    return [Candidate(method, rate) for rate in stage.cast]


def test_strengths_share_a_training_and_nobody_is_judged_on_what_he_heard(world: World, stage: Any) -> None:
    played = stage(at1=(0.5, 1.0))
    choice = ChoiceConfig(folds=4, strengths=(0.2, 0.5, 0.7, 1.0))
    found = _choose(world, *_candidates(played, "full+replay"), others=True, choice=choice)
    assert (found.learning_rate, found.strength) == (1.0, 1.0)
    assert Counter(rate for rate, _, _ in played.trainings) == {1.0: 4}
    ids, source_ids = {u.id for u in world.own[:9]}, [u.id for u in world.others]
    for puppet, judged in played.judged:
        assert puppet.heard and not puppet.heard & set(judged)
    # Every utterance is held out once, at every strength, and the others are all learnt from.
    held = [sorted(ids - set(own)) for _, own, _ in played.trainings]
    assert sorted(chain(*held)) == sorted(ids)
    for strength in choice.strengths:
        seen = [i for p, judged in played.judged if p.strength == strength for i in judged]
        assert sorted(i for i in seen if i in ids) == sorted(ids)
        # Others are listened to once, and where it would be chosen, at full strength.
        assert sorted(i for i in seen if i not in ids) == (sorted(source_ids[2::3]) if strength == 1 else [])
    assert all(more == [i for i in source_ids if i not in source_ids[2::3]] for _, _, more in played.trainings)


def test_what_is_unlikely_to_be_chosen_is_tried_on_no_further_folds(world: World, stage: Any) -> None:
    choice = replace(CHOICE, folds=4)
    # The third may still become the best, the second will not, and that its others suffer is not even found out.
    played = stage(at1=(0.5, 1.0), at2=(0.9, 2.0), at3=(0.5, 1.0), moody={3.0: 1})
    found = _choose(world, *_candidates(played), own=7, others=True, choice=choice)
    assert Counter(rate for rate, _, _ in played.trainings) == {1.0: 4, 2.0: 2, 3.0: 4}
    assert found.learning_rate == 1.0
    rung = next(rung for rung in found.ladder if rung.learning_rate == 2.0)
    assert (rung.folds, rung.forgetting, rung.refused) == (2, None, "")
    # Nothing else is left to choose, and it is clear that the usual one helps, or that it does not.
    for own, chosen in ((0.5, "full"), (1.5, "none")):
        played = stage(at1=(own, 1.0), at2=(1.6, 1.0))
        assert _choose(world, *_candidates(played), own=20, choice=choice).method == chosen
        assert Counter(rate for rate, _, _ in played.trainings) == {1.0: 2, 2.0: 2}
    # As long as that is not clear it goes on; and one that was named, not chosen, is judged on all.
    for cast, moody, folds in (({"at1": (1.0, 1.0), "at2": (2.0, 1.0)}, {1.0: 1}, 4), ({"at1": (0.5, 1.0)}, {}, 4)):
        played = stage(moody=moody, **cast)
        _choose(world, *_candidates(played), own=7, choice=choice)
        assert Counter(rate for rate, _, _ in played.trainings)[1.0] == folds


def test_where_the_usual_is_refused_others_go_on(world: World, stage: Any) -> None:
    played = stage(at1=(0.3, 1.5), at2=(0.6, 1.0), at3=(0.9, 1.0))
    found = _choose(world, *_candidates(played), own=7, others=True, choice=replace(CHOICE, folds=4))
    assert Counter(rate for rate, _, _ in played.trainings) == {1.0: 2, 2.0: 4, 3.0: 2}
    assert found.learning_rate == 2.0 and [rung.refused != "" for rung in found.ladder] == [False, True, False]


def test_the_source_utterances_watched_are_limited_in_length(world: World, stage: Any) -> None:
    played, others = stage(at1=(0.5, 1.0)), world.others
    choice = replace(CHOICE, check_seconds=others[2].duration + 0.01)
    _choose(world, *_candidates(played), others=True, choice=choice)
    watched = {i for _, judged in played.judged for i in judged if i.startswith("anna")}
    assert watched == {others[2].id, others[5].id}, "as many as reach the limit"
    assert all(
        set(more) == {u.id for u in others} - {others[n].id for n in (2, 5, 8)} for _, _, more in played.trainings
    )


def test_copies_of_a_recording_are_held_out_together(world: World, stage: Any) -> None:
    played, groups = stage(at1=(0.5, 1.0)), [0, 1, 0, 3, 4, 3, 3, 7, 8]
    _choose(world, *_candidates(played), groups=groups, choice=replace(CHOICE, folds=5))
    assert len(played.trainings) == 5
    for _, own, _ in played.trainings:
        learnt = {group for group, u in zip(groups, world.own[:9], strict=True) if u.id in own}
        held = {group for group, u in zip(groups, world.own[:9], strict=True) if u.id not in own}
        assert held and not learnt & held


def test_of_many_utterances_the_worse_half_is_dropped_at_every_fold(world: World, stage: Any) -> None:
    # All but the usual one differ by chance alone, so that none is hopeless.
    cast, moody = {f"at{n}": (0.4, 1.0) for n in range(1, 9)}, {float(n): n - 1 for n in range(2, 9)}
    played = stage(moody, **cast)
    found = _choose(world, *_candidates(played), own=24, choice=replace(CHOICE, folds=6, judged=100))
    counts = Counter(rate for rate, _, _ in played.trainings)
    # All on two folds of 4, which are 8 utterances; then the usual one and the better half of the others, until one
    # other is left.
    assert counts[1.0] == 6 and sorted(counts.values(), reverse=True) == [6, 6, 3, 3, 2, 2, 2, 2]
    assert [rung.folds for rung in found.ladder] == [6, 6, 3, 3, 2, 2, 2, 2]
    # What was judged on enough utterances is run on no more folds.
    played = stage(moody, **cast)
    _choose(world, *_candidates(played)[:2], own=24, choice=replace(CHOICE, folds=6, judged=12))
    assert set(Counter(rate for rate, _, _ in played.trainings).values()) == {3}
    # Few utterances tell candidates apart so badly that the half is not dropped.
    played = stage(moody, **cast)
    _choose(world, *_candidates(played), own=7, choice=replace(CHOICE, folds=6))
    assert list(Counter(rate for rate, _, _ in played.trainings).values()).count(6) > 2


def test_the_refused_do_not_crowd_out_what_may_be_chosen(world: World, stage: Any) -> None:
    played = stage(at1=(0.3, 1.5), at2=(0.31, 1.5), at3=(0.32, 1.5), at4=(0.33, 1.5), at5=(0.7, 1.0), at6=(0.9, 1.0))
    found = _choose(world, *_candidates(played), own=24, others=True, choice=replace(CHOICE, folds=6))
    assert found.learning_rate == 5.0
    refused = {rung.learning_rate for rung in found.ladder if rung.refused}
    assert refused == {1.0, 2.0, 3.0, 4.0}
    # Half of the errors is counted and half follows from the loss: both rise by half at full strength.
    for rung in found.ladder:
        if rung.refused:
            assert rung.forgetting == pytest.approx(rung.strength * 0.5 * ERRORS / LENGTH, abs=0.01)


def test_a_weaker_strength_that_forgets_little_goes_before_a_stronger_that_is_refused(world: World, stage: Any) -> None:
    played = stage(at1=(0.4, 1.2))
    choice = ChoiceConfig(folds=3, strengths=(0.25, 0.5, 1.0), tolerance=0.06)
    found = _choose(world, *_candidates(played), others=True, choice=choice)
    # One error in ten more at half strength is five points, at full strength it is ten.
    assert (found.method, found.strength) == ("full", 0.5)
    assert found.ladder[0].score == pytest.approx(0.5 * (63 + 1) / (90 + 1) + 0.5 * 0.7)


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_answers_that_are_not_finite_are_never_chosen(broken: float, world: World, stage: Any) -> None:
    played = stage(at1=(0.9, 1.0), at2=(0.5, 1.0), at3=(0.4, 1.0))
    plain: Callable[..., Answers] = played.answers

    def breaking(model: Any, data: Spoken, items: Sequence[int]) -> Answers:
        found = plain(model, data, items)
        others = data.utterance(items[0]).id.startswith("anna")
        if isinstance(model, Puppet) and (model.own, others) in ((0.5, False), (0.4, True)):
            found.losses[:] = broken
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judge, "answers", breaking)
        found = _choose(world, *_candidates(played), others=True)
        alone = _choose(world, Candidate("full", 2.0))
    assert found.learning_rate == 1.0
    ladder = {rung.learning_rate: rung for rung in found.ladder}
    assert ladder[2.0].score == WORST and "100.0 points worse" in ladder[3.0].refused
    assert all(np.isfinite([rung.score, rung.forgetting or 0.0]).all() for rung in found.ladder)
    assert alone.method == "none"
