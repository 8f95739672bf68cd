"""Choosing a method on real adaptations: what helps is chosen, what harms the speaker or others is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pytest
import torch

from asr_transfer import progress
from asr_transfer.adaptation import choice as choosing
from asr_transfer.adaptation.adapt import Adapted, adapt
from asr_transfer.adaptation.answers import answers
from asr_transfer.adaptation.checks import held_out_folds
from asr_transfer.adaptation.choice import Choice, _decide, adapt_by_choice, candidates, choose, expectation
from asr_transfer.adaptation.judge import Entry, Judge
from asr_transfer.adaptation.ladder import Candidate, Rung
from asr_transfer.adaptation.loss_of_others import Loss
from asr_transfer.adaptation.methods import default_learning_rate
from asr_transfer.adaptation.settings import AdaptConfig, ChoiceConfig
from asr_transfer.adaptation.verdicts import KNOWN
from asr_transfer.config import FeatureConfig, ModelConfig, SourceConfig, SpecAugmentConfig, TrainerConfig
from asr_transfer.data.features import FeatureStore, build_store
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.greedy import greedy
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, DataError, TrainingError
from asr_transfer.training.session import train_recogniser
from tests.models.pretrained.published import random_encoder
from tests.small import different, small_model, snapshot
from tests.tones import make_speaker

CONFIG = AdaptConfig(steps=15, precision="fp32", device="cpu")
CHOICE = ChoiceConfig(folds=3, strengths=(0.5, 1.0))
GOOD, IDLE, HARMFUL = Candidate("full", 0.003), Candidate("head", 1e-7), Candidate("full", 1.0)
DIVERGING = Candidate("lora", 1e4)


@dataclass
class World:
    """A trained source model, its training utterances, two new speakers, and all their features.

    Attributes:
        own: of a speaker whose tones are shifted; a little adaptation is all it takes.
        swapped: of one for whom every tone is another letter; who learns that unlearns the source.
    """

    source: Recogniser
    train: list[Utterance]
    own: list[Utterance]
    swapped: list[Utterance]
    store: FeatureStore


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return a model that knows its own speakers by heart; tests must leave it as it is."""
    folder = tmp_path_factory.mktemp("choice")
    speakers = (("anna", 0.97), ("ben", 1.0), ("carl", 1.03))
    train = [u for number, (name, shift) in enumerate(speakers) for u in make_speaker(folder, name, shift, 12, number)]
    other = str.maketrans("abcdef", "bcdefa")
    own = make_speaker(folder, "ida", 1.13, 9, 7)
    swapped = [replace(u, text=u.text.translate(other)) for u in make_speaker(folder, "zed", 1.0, 6, 8)]
    features = FeatureConfig(mels=16)
    store = build_store([*train, *own, *swapped], features, cache=folder / "cache")
    config = SourceConfig(
        ModelConfig("tdnn", 2, dim=32, channels=32, features=features),
        TrainerConfig(80, 2500, 0.01, precision="fp32", validate_every=0, device="cpu"),
        SpecAugmentConfig(1, 3, 1, 4),
        (1.0,),
    )
    source, _, _ = train_recogniser(Spoken(train, store), Spoken([], store), config)
    return World(source, train, own, swapped, store)


def _choose(
    world: World,
    *tried: Candidate,
    own: Sequence[Utterance] | None = None,
    source_utterances: Sequence[Utterance] = (),
    choice: ChoiceConfig = CHOICE,
    **changes: Any,
) -> Choice:
    groups, log, judged = changes.pop("groups", None), changes.pop("log", None), changes.pop("judged", ())
    config = replace(CONFIG, **changes)
    speech = world.own if own is None else own
    return choose(
        world.source,
        Spoken(speech, world.store),
        config,
        choice,
        tried,
        Spoken(source_utterances, world.store),
        groups,
        log,
        judged=Spoken(judged, world.store),
    )


def _outputs(recogniser: Recogniser, world: World) -> torch.Tensor:
    data = Spoken(world.own, world.store, recogniser.tokens)
    batch = data.collate(range(len(data)))
    with torch.no_grad():
        return recogniser.logits(batch.inputs, batch.lengths)[0]


def test_the_answers_are_those_of_each_utterance_alone(world: World) -> None:
    utterances = [*world.own, *world.swapped]
    data = Spoken(utterances, world.store, world.source.tokens)
    items = [8, 0, 14, 3, 11]
    found = answers(world.source, data, items)
    assert found.errors[2] > 0 and found.errors[4] > 0, "every tone of that speaker is another letter"
    for row, item in enumerate(items):
        utterance = utterances[item]
        features = world.store.load(world.store.view(utterance.id)).unsqueeze(0)
        with torch.no_grad():
            logits, lengths = world.source.logits(features, torch.tensor([features.shape[1]]))
        labels = torch.tensor([world.source.tokens.encode(utterance.text)])
        loss = torch.nn.functional.ctc_loss(
            logits[0].double().log_softmax(-1), labels[0], lengths[0], torch.tensor(labels.shape[1]), reduction="sum"
        )
        assert found.losses[row] == pytest.approx(float(loss), rel=1e-5, abs=1e-5)
        heard = world.source.tokens.decode(greedy(logits, lengths)[0])
        counted = jiwer.process_characters(utterance.text, heard)
        assert found.errors[row] == counted.substitutions + counted.deletions + counted.insertions
        assert found.units[row] == len(utterance.text)


@pytest.fixture(scope="module")
def chosen(world: World) -> tuple[Choice, list[str]]:
    """Return the choice between one candidate that helps, one that does nothing and one that harms, and its log."""
    before, lines = snapshot(world.source.model), list[str]()
    found = _choose(world, GOOD, IDLE, HARMFUL, log=lines.append)
    assert not different(snapshot(world.source.model), before)
    return found, lines


def test_the_candidate_that_helps_is_chosen(chosen: tuple[Choice, list[str]]) -> None:
    found, _ = chosen
    assert (found.method, found.learning_rate) == (GOOD.method, GOOD.learning_rate)
    assert found.strength in CHOICE.strengths and found.cpu_seconds > 0
    assert found.ladder[0].errors < found.ladder[0].source_errors
    assert f"{found.ladder[0].score:.3f}" in found.reason and "full" in found.summary()


def test_the_ladder_is_complete_and_sorted(chosen: tuple[Choice, list[str]]) -> None:
    found, lines = chosen
    assert {(rung.method, rung.learning_rate) for rung in found.ladder} == {
        (c.method, c.learning_rate) for c in (IDLE, HARMFUL, GOOD)
    }
    assert len(found.ladder) == len(lines) == 3
    order = [(-rung.folds, rung.score) for rung in found.ladder]
    assert order == sorted(order) and found.ladder[0].score < 0.9
    idle = next(rung for rung in found.ladder if rung.method == "head")
    assert idle.score == pytest.approx(1, abs=1e-3) and idle.errors == idle.source_errors


def test_what_is_chosen_is_then_done_with_all_utterances(world: World) -> None:
    settings = replace(CHOICE, without_source=("full",), rates=(30.0, 1e-3))
    adapted, again = adapt_by_choice(world.source, Spoken(world.own, world.store), CONFIG, settings)
    assert again.method == "full" and again.learning_rate == pytest.approx(30 * default_learning_rate("full"))
    config = replace(CONFIG, learning_rate=again.learning_rate, strength=again.strength)
    alone = adapt(world.source, Spoken(world.own, world.store), "full", config)
    assert torch.equal(_outputs(adapted.recogniser, world), _outputs(alone.recogniser, world))


def test_the_score_is_the_criterion_of_models_adapted_to_the_other_folds(world: World) -> None:
    """A direct computation: for each fold a model of its own, adapted to the rest at the strength in question."""
    for strength, count in ((0.5, 3), (1.0, 3), (1.0, 1)):
        choice = replace(CHOICE, strengths=(strength,), judged=3 * count)
        (rung,) = _choose(world, GOOD, choice=choice).ladder
        folds = held_out_folds(world.own, 3, CONFIG.seed, range(9))[:count]
        errors = losses = source_errors = source_losses = 0.0
        for held in folds:
            rest = [u for n, u in enumerate(world.own) if n not in held]
            config = replace(CONFIG, learning_rate=GOOD.learning_rate, strength=strength)
            model = adapt(world.source, Spoken(rest, world.store), "full", config).recogniser
            data = Spoken([world.own[n] for n in held], world.store, world.source.tokens)
            after, before = (answers(r, data, range(len(held))) for r in (model, world.source))
            errors, losses = errors + after.errors.sum(), losses + after.losses.sum()
            source_errors, source_losses = source_errors + before.errors.sum(), source_losses + before.losses.sum()
        wanted = 0.5 * (errors + 1) / (source_errors + 1) + 0.5 * losses / source_losses
        assert rung.score == pytest.approx(wanted, rel=1e-5)
        assert (rung.errors, rung.source_errors, rung.folds, rung.strength) == (errors, source_errors, count, strength)


def test_where_everything_harms_the_model_is_left_as_it_is(world: World) -> None:
    found = _choose(world, HARMFUL, DIVERGING)
    assert (found.method, found.learning_rate, found.strength) == ("none", None, 1.0)
    assert "that is no gain, so the model stays as it is" in found.reason
    assert found.ladder[-1].refused == "its training did not stay finite"
    assert "refused (lora: its training did not stay finite)" in _choose(world, DIVERGING).reason
    settings = replace(CHOICE, without_source=("full", "l2sp"), rates=(3000.0,))
    adapted, choice = adapt_by_choice(world.source, Spoken(world.own, world.store), CONFIG, settings)
    assert choice.method == "none" and choice.summary() == "none" and len(choice.ladder) == 2
    assert not different(snapshot(adapted.recogniser.model), snapshot(world.source.model))
    assert torch.equal(_outputs(adapted.recogniser, world), _outputs(world.source, world))


def _rung(method: str, shares: list[float], strength: float = 0.75, errors: int = 3) -> Rung:
    return Rung(method, 1e-3, strength, 5, errors, 50, 10, sum(shares), None, "", tuple(shares))


def test_the_usual_is_taken_unless_another_is_better_by_more_than_chance() -> None:
    before, choice = np.full(5, 0.2), ChoiceConfig(prior_strength=0.75)
    usual = [_rung("full", [0.10, 0.11, 0.09, 0.10, 0.10], s) for s in (0.25, 0.75, 1.0)]
    lucky, better = _rung("lora", [0.01, 0.16, 0.01, 0.16, 0.01]), _rung("lora", [0.05, 0.06, 0.05, 0.05, 0.04])
    prior = Candidate("full", 1e-3)

    def decided(*options: Rung) -> tuple[str, float | None, float, str]:
        return _decide(options, prior, before, options, choice)

    assert decided(*usual, lucky)[:3] == ("full", 1e-3, 0.75) and "usual" in decided(*usual, lucky)[3]
    assert decided(*usual, better)[0] == "lora" and "more than chance" in decided(*usual, better)[3]
    # What makes held-out recordings worse is no option: the nearest strength that does not, then another method.
    worse = _rung("full", [0.1] * 5, 0.75, errors=11)
    assert decided(usual[0], worse, lucky)[:3] == ("full", 1e-3, 0.25)
    assert decided(worse, lucky)[0] == "lora"
    assert decided(worse)[0] == "none" and "10 → 11" in decided(worse)[3]
    surely = _rung("full", [0.3, 0.31, 0.29, 0.3, 0.3])
    assert decided(surely)[0] == "none"


def test_of_models_that_run_away_the_best_is_taken_where_it_is_a_gain_beyond_chance() -> None:
    """Recordings alone tell whether a speaker's sounds or the way texts are written are to be learnt."""
    before, choice, prior = np.full(5, 0.2), ChoiceConfig(), Candidate("first-layers", 1e-3)
    usual, lucky = _rung("first-layers", [0.1] * 5), _rung("lora", [0.01, 0.16, 0.01, 0.16, 0.01])
    method, _, _, why = _decide([usual, lucky], prior, before, [usual, lucky], choice, doubtful=True)
    assert method == "lora" and why.startswith("the best: lora × 0.75")
    nothing = _rung("lora", [0.19, 0.21, 0.2, 0.19, 0.2])
    assert _decide([nothing], prior, before, [nothing], choice, doubtful=True)[0] == "none"


def test_what_the_usual_choice_gave_others_counts_where_little_is_seen() -> None:
    before, choice, prior = np.full(3, 1 / 3), ChoiceConfig(prior_strength=0.75), Candidate("full", 1e-3)
    little, surely = _rung("full", [0.36, 0.30, 0.36], errors=11), _rung("full", [0.6, 0.61, 0.6], errors=30)
    for rung, expected, method in ((little, KNOWN, "full"), (little, None, "none"), (surely, KNOWN, "none")):
        found = _decide([rung], prior, before, [rung], choice, expected=expected)
        assert found[0] == method, (rung, expected)
        assert ("what it gave other speakers" in found[3]) == (method == "full")
    assert expectation(random_encoder()) is None and expectation(small_model()) is KNOWN


def test_one_utterance_or_copies_of_one_leave_the_model_as_it_is(world: World) -> None:
    for count, groups in ((1, None), (3, [0, 0, 0])):
        adapted, found = adapt_by_choice(
            world.source, Spoken(world.own[:count], world.store), CONFIG, CHOICE, groups=groups
        )
        assert (found.method, found.ladder) == ("none", ())
        assert "one recording leaves none to hold out" in found.reason
        assert torch.equal(_outputs(adapted.recogniser, world), _outputs(world.source, world))
    assert _choose(world, GOOD, own=world.own[:2]).ladder[0].folds == 2


def test_of_one_recording_the_usual_is_taken_where_source_speech_holds_the_rest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Judge, "is_loss", lambda *_: False)  # the small model's last error may hang on rounding
    choice = replace(CHOICE, with_source=("full+replay", "head+replay"), rates=(3.0,))
    source, judged, one = world.train[::4], world.train[2::4], world.own[:1]
    given: dict[str, Any] = {"source_speech": Spoken(source, world.store), "judged": Spoken(judged, world.store)}
    adapted, found = adapt_by_choice(world.source, Spoken(one, world.store), CONFIG, choice, **given)
    assert (found.method, found.strength, found.ladder) == ("full+replay", 1.0, ()) and "unseen" in found.reason
    assert adapted.result.steps == round(CONFIG.steps * choice.refit)
    # Others decide how far it goes, and whether.
    none = replace(choice, tolerance=-1.0)
    assert adapt_by_choice(world.source, Spoken(one, world.store), CONFIG, none, **given)[1].method == "none"


@pytest.mark.parametrize(("points", "taken"), [(0.4, True), (0.6, False)])
def test_of_one_recording_the_usual_is_taken_where_others_lose_nothing_beyond_chance(
    world: World, monkeypatch: pytest.MonkeyPatch, points: float, taken: bool
) -> None:
    """What is tolerated of a choice that was seen to help is too much of one that was not."""

    def lose(judge: Judge, entry: Entry, strength: float, model: Recogniser, depth: int = 0) -> None:
        entry.lost[strength] = Loss(points / 100, 0.5 / 100)

    monkeypatch.setattr(Judge, "listen_to_others", lose)
    choice = replace(CHOICE, with_source=("full+replay",), rates=(3.0,))
    source, judged, one = world.train[::4], world.train[2::4], Spoken(world.own[:1], world.store)
    given: dict[str, Any] = {"source_speech": Spoken(source, world.store), "judged": Spoken(judged, world.store)}
    adapted, found = adapt_by_choice(world.source, one, CONFIG, choice, **given)
    assert found.method == ("full+replay" if taken else "none")
    assert torch.equal(_outputs(adapted.recogniser, world), _outputs(world.source, world)) != taken


def test_of_one_recording_others_are_asked_about_the_training_that_is_done_at_last(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[torch.Tensor] = []
    listen = Judge.listen_to_others

    def listened(judge: Judge, entry: Entry, strength: float, model: Recogniser, depth: int = 0) -> None:
        listen(judge, entry, strength, model, 0)
        asked.append(_outputs(model, world))
        entry.lost[strength] = Loss(0.0, 0.0)

    monkeypatch.setattr(Judge, "listen_to_others", listened)
    choice = replace(CHOICE, with_source=("full+replay",), rates=(3.0,))
    source, judged, one = world.train[::4], world.train[2::4], Spoken(world.own[:1], world.store)
    given: dict[str, Any] = {"source_speech": Spoken(source, world.store), "judged": Spoken(judged, world.store)}
    adapted, _ = adapt_by_choice(world.source, one, CONFIG, choice, **given)
    assert len(asked) == 1 and torch.equal(asked[0], _outputs(adapted.recogniser, world))


def test_a_candidate_that_ruins_the_source_is_refused_and_says_so(world: World) -> None:
    ruinous = Candidate("full", 0.01)
    source, judged = world.train[::4], world.train[2::4]
    settings: dict[str, Any] = {"own": world.swapped, "source_utterances": source, "judged": judged}
    found = _choose(world, ruinous, **settings)
    (rung,) = found.ladder
    assert rung.score < 0.5 and rung.errors < rung.source_errors, "for the speaker it would be much better"
    assert found.method == "none" and rung.forgetting is not None and rung.forgetting > 0.1
    assert rung.refused == f"others would be {100 * rung.forgetting:.1f} points worse, more than 1"
    assert rung.refused in found.reason and "every candidate was refused" in found.reason
    # It is this refusal that decides, and one that holds what it knew goes before it.
    assert _choose(world, ruinous, choice=replace(CHOICE, tolerance=10.0), **settings).method == "full"
    assert _choose(world, ruinous, own=world.swapped).method == "full"
    # At full strength one forgets 42 points and the other 19: wide apart, for rounding moves both a little.
    strict = replace(CHOICE, strengths=(1.0,), tolerance=0.3)
    both = _choose(world, ruinous, Candidate("full+replay", 0.01), choice=strict, **settings)
    assert both.method == "full+replay"
    assert [bool(rung.refused) for rung in both.ladder] == [rung.method == "full" for rung in both.ladder]


def test_of_a_model_with_few_errors_others_may_lose_less(world: World) -> None:
    judged = Spoken(world.train[2::4], world.store)
    before = answers(world.source, judged.spelled(world.source.tokens), range(len(judged)))
    rate = float(before.errors.sum() + 1) / float(before.units.sum())
    own, choice = Spoken(world.own, world.store), replace(CHOICE, tolerance=0.01)
    # Where the whole tolerance begins, in times of the own rate; points that others lose; whether that is refused.
    for begins, points, refused in ((0.5, 0.9, False), (0.5, 1.1, True), (4, 0.2, False), (4, 0.3, True)):
        judge = Judge(world.source, own, judged, whole_from=begins * rate)
        entry = Entry(Candidate("full", 1e-3), lost={1.0: Loss(points / 100, None)})
        told = judge.refusal(entry, 1.0, choice)
        assert bool(told) == refused
        assert not told or told.endswith(f"{points} points worse, more than {1 if begins < 1 else 0.25}")
    entry = Entry(Candidate("full", 1e-3), lost={1.0: Loss(0.009, None)})
    assert not Judge(world.source, own, judged).refusal(entry, 1.0, choice)


def test_what_is_tried_is_told_by_candidate_and_fold(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []

    def telling(*arguments: Any, **options: Any) -> Adapted:
        lines.append(progress.told())
        raise TrainingError("not today")

    monkeypatch.setattr(choosing, "adapt", telling)
    _choose(world, GOOD, HARMFUL)
    assert [line.partition(": ")[2] for line in lines] == [
        "candidate 1 of 2 (full), fold 1 of 3",
        "candidate 2 of 2 (full), fold 1 of 3",
    ]


def test_the_same_seed_gives_the_same_answer(world: World) -> None:
    first, second, other = (replace(_choose(world, GOOD, IDLE, seed=s), cpu_seconds=0.0) for s in (5, 5, 6))
    assert first == second
    assert first.ladder != other.ladder, "another seed divides otherwise"


def test_what_ctc_cannot_spell_takes_no_part(world: World) -> None:
    settings = replace(CHOICE, without_source=("full",), with_source=("full+replay",), rates=(30.0,))
    long = [replace(u, text="abcdef" * 40) for u in (world.own[4], world.train[2])]
    own, more = list(world.own), world.train[:6]
    own[4], more[2] = long
    _, mixed = adapt_by_choice(
        world.source,
        Spoken(own, world.store),
        CONFIG,
        settings,
        Spoken(more, world.store),
        groups=list(range(9)),
        judged=Spoken(more, world.store),
    )
    assert all(np.isfinite(rung.score) and rung.forgetting is not None for rung in mixed.ladder)
    rest = Spoken([*more[:2], *more[3:]], world.store)
    clean = (world.source, Spoken([*own[:4], *own[5:]], world.store), CONFIG, settings, rest)
    assert replace(mixed, cpu_seconds=0.0) == replace(adapt_by_choice(*clean, judged=rest)[1], cpu_seconds=0.0)
    with pytest.raises(DataError, match="no utterance is long enough"):
        adapt_by_choice(world.source, Spoken(long[:1], world.store), CONFIG, settings)


def test_what_cannot_be_chosen_from_is_refused(world: World) -> None:
    with pytest.raises(ConfigError, match="no method to choose from"):
        _choose(world)
    with pytest.raises(ConfigError, match=r"`full\+replay` needs source utterances; give some with --source"):
        _choose(world, GOOD, Candidate("full+replay", 0.01))
    for name in ("suta", "none"):
        with pytest.raises(ConfigError, match=f"`{name}` trains nothing.*take it out of `choice`"):
            candidates(ChoiceConfig(without_source=("full", name)), False)
    with pytest.raises(ConfigError, match="Did you mean 'full'"):
        candidates(ChoiceConfig(without_source=("ful",)), False)


@pytest.mark.parametrize("with_source", [True, False])
def test_every_method_is_tried_at_every_multiple_of_its_rate(with_source: bool) -> None:
    choice = ChoiceConfig(with_source=("full+replay",), without_source=("full", "lhuc"), rates=(1.0, 3.0))
    names = ("full+replay",) if with_source else ("full", "lhuc")
    wanted = [Candidate(name, factor * default_learning_rate(name)) for name in names for factor in (1.0, 3.0)]
    assert candidates(choice, with_source) == wanted
    # What stands in the defaults exists, and needs no source utterances where there are none.
    assert len(candidates(ChoiceConfig(), with_source)) >= 3


@pytest.mark.parametrize("with_source", [True, False])
def test_published_layers_have_methods_of_their_own_and_source_speech_does_not_speed_them(with_source: bool) -> None:
    model = random_encoder({"text": 5})
    tried = candidates(ChoiceConfig(), with_source, model)
    added = "+replay" if with_source else ""
    assert [one.method for one in tried] == [name + added for name in ChoiceConfig().on_published]
    for one in tried:
        assert one.learning_rate == pytest.approx(default_learning_rate(one.method.split("+")[0], model))
        assert one.learning_rate < default_learning_rate(one.method.split("+")[0])
    # What is added to a model starts from nothing, whoever trained the rest.
    assert default_learning_rate("lora+replay", model) == default_learning_rate("lora+replay")


def test_the_chosen_method_learns_from_everything(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[tuple[list[str], list[str], AdaptConfig, Path | None]] = []

    def noting(source: Recogniser, spoken: Spoken, method: str, config: AdaptConfig, folder: Path | None = None,
               log: Any = None, source_speech: Spoken | None = None, shared: Any = None) -> Adapted:  # fmt: skip
        assert source_speech is not None
        calls.append(([u.id for u in spoken.utterances], [u.id for u in source_speech.utterances], config, folder))
        return adapt(source, spoken, method, config, folder, log, source_speech, shared)

    monkeypatch.setattr(choosing, "adapt", noting)
    settings = replace(CHOICE, with_source=("full+replay",), rates=(10.0,), tolerance=1.0)
    others = world.train[:12]
    _, found = adapt_by_choice(
        world.source, Spoken(world.own, world.store), CONFIG, settings, Spoken(others, world.store), folder=tmp_path
    )
    assert found.method == "full+replay" and len(calls) == 4
    own, more, config, folder = calls[-1]
    assert own == [u.id for u in world.own] and more == [u.id for u in others]
    assert (config.learning_rate, config.strength, folder) == (found.learning_rate, found.strength, tmp_path)
    assert all(folder is None for _, _, _, folder in calls[:-1]), "trials leave no checkpoints"
