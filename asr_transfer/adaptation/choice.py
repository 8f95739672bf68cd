"""Chooses how to adapt on the speaker's own utterances, with "leave the model alone" among the answers.

Every candidate (a method at a learning rate) is adapted to all folds but one and judged on that one, in turn (k-fold
cross-validation). What the candidates share is computed once: features, the source model's answers and posteriors, its
activations below all that a candidate trains, and one training for all strengths, since a strength only moves the
weights between the source's and the adapted ones (Wortsman et al. 2022). From the second fold on, what is unlikely to
be chosen in the end is not run on (`trials`), and others are listened to only where it could be chosen. A speaker who
is clearly better understood through a warp of his frequencies is given one first, and all else is tried on top of it.

The criterion is smoothed, because a handful of utterances holds few errors: half the character errors, half the CTC
loss, each relative to the source model's; 1 is the source model, less is better.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asr_transfer.adaptation.adapt import Adapted, adapt, chosen_warp, spelled_by_head
from asr_transfer.adaptation.answers import SURE, Floats
from asr_transfer.adaptation.checks import held_out_folds
from asr_transfer.adaptation.frozen_layers import Shared
from asr_transfer.adaptation.judge import Entry, Judge
from asr_transfer.adaptation.ladder import Candidate, Rung, describe
from asr_transfer.adaptation.methods import default_learning_rate, needs_source
from asr_transfer.adaptation.settings import AdaptConfig, ChoiceConfig, MethodSettings
from asr_transfer.adaptation.trials import Trials
from asr_transfer.adaptation.verdicts import DOUBT, KNOWN, Expectation, difference, is_sure, is_worse, usual_of
from asr_transfer.adaptation.warp import LEAST_SECONDS, WarpPrior, warp_of
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.distributions import t_quantile
from asr_transfer.errors import ConfigError, NothingUsable, TrainingError
from asr_transfer.models.contract import Model, SequenceModel, SpeechModel
from asr_transfer.training.learnable import learnable

AUTO, NONE, WARP = "auto", "none", "warp"


DOUBT_OF_LOSS = 1.0
"""Standard errors by which what others lose must pass what is tolerated, on models that are trained here. After the few
steps of a trial others seem to lose a point on single digits, and after those of the last training they lose none."""

WHOLE_TOLERANCE_FROM = 0.05
"""Character error rate of such a model on others from which the whole tolerance holds. A point more is little where one
character in ten is wrong, and doubles the errors where one in a hundred is: there, by what a point allowed, five
sentences of two adults made 114 errors of their 95."""


@dataclass(frozen=True)
class Choice:
    """The answer and how it was found.

    Attributes:
        method, learning_rate, strength: the choice; `none` leaves the model alone.
        reason: one sentence.
        ladder: candidates that were considered, best first.
        cpu_seconds: processor time of the choosing.
        tried: the chosen candidate on held-out recordings, or the best one where the model is left alone; None where
            nothing was tried.
    """

    method: str
    learning_rate: float | None
    strength: float
    reason: str
    ladder: tuple[Rung, ...]
    cpu_seconds: float
    tried: Rung | None = None

    def summary(self) -> str:
        """Return the answer in a few words."""
        rate = f" lr {self.learning_rate:g} × {self.strength:g}" if self.learning_rate else ""
        return f"{self.method}{rate}"


def candidates(choice: ChoiceConfig, with_source: bool, model: Model | None = None) -> list[Candidate]:
    """Return what `auto` tries: each method at multiples of its own learning rate.

    Methods that need source utterances are tried only where there are some; where there are, they alone are tried,
    since they forget least.

    Args:
        choice: methods and factors.
        with_source: whether there are source utterances.
        model: model that is to be adapted, which decides on the methods' learning rates; None for one made by `train`.

    Raises:
        ConfigError: a method is unknown or trains nothing, or there is none.
    """
    names = choice.with_source if with_source else choice.without_source
    special = _special(choice, model)
    if special is not None:
        names = tuple(f"{name}+replay" if with_source else name for name in special)
    if not names:
        raise ConfigError("there is no method to choose from; name some in `choice`.")
    for name in names:
        if not default_learning_rate(name):
            raise ConfigError(f"`{name}` trains nothing, so there is nothing to try; take it out of `choice`.")
    rates = {name: default_learning_rate(name, model) for name in names}
    return [Candidate(name, factor * rates[name]) for name in names for factor in choice.rates]


def tried_through_warp(
    tried: Sequence[Candidate],
    source: Recogniser,
    spoken: Spoken,
    config: AdaptConfig,
    choice: ChoiceConfig,
    shared: Shared | None = None,
) -> list[Candidate]:
    """Return the candidates on top of a warp, and the warp by itself, where the speaker has one; else as they are.

    Every trial looks for the warp anew on what it adapts to, so that nothing is chosen on what is held out.

    Args:
        tried: the candidates.
        source: the model to adapt.
        spoken: speech of the speaker.
        config: budget of one adaptation, with the factors that are looked at.
        choice: settings that say whether a warp is looked for.
        shared: activations and evidence that are computed once.
    """
    if not has_warp(source, spoken, config, choice, True, shared):
        return list(tried)
    return [*(Candidate(f"{WARP}+{one.method}", one.learning_rate) for one in tried), Candidate(WARP, 0.0)]


def has_warp(
    source: Recogniser,
    spoken: Spoken,
    config: AdaptConfig,
    choice: ChoiceConfig,
    read: bool,
    shared: Shared | None = None,
) -> bool:
    """Return whether a speaker is better understood through a warp; see `tried_through_warp` for the arguments.

    That is asked only of a model that knows how its training speakers differ (`WarpPrior`).
    """
    if not choice.warp or WarpPrior.of(source) is None:
        return False
    if sum(utterance.duration for utterance in spoken.utterances) < LEAST_SECONDS:
        return False
    return chosen_warp(source, spoken, config, read, shared).factor != warp_of(source.model)


def _special(choice: ChoiceConfig, model: Model | None) -> tuple[str, ...] | None:
    """Return the methods of a kind of model that has its own; None for a model that was trained here throughout."""
    if isinstance(model, SequenceModel):
        return choice.token_by_token
    return choice.on_published if isinstance(model, SpeechModel) and model.published() else None


def trial_settings(settings: MethodSettings, model: SpeechModel) -> MethodSettings:
    """Return the settings of `auto`'s methods, where none are given, as a pretrained model needs them.

    Of a model of sequence to sequence the first layers are the encoder's, and adapters are put into its decoder: the
    encoder then runs once for each recording. Of a published encoder under layers of our own, the first half of its
    layers are the first ones.
    """
    if settings != MethodSettings():
        return settings
    if not isinstance(model, SequenceModel):
        below = sum(block.role == "layer" for block in model.published()) if model.on_published() else 0
        return replace(settings, first=max(settings.first, below // 2))
    decoder = [block.path for block in model.blocks()[model.hearing() :] if block.role == "layer"]
    return replace(settings, first=len(model.layers()) - len(decoder), blocks=" | ".join(decoder))


def choose(
    source: Recogniser,
    spoken: Spoken,
    config: AdaptConfig,
    choice: ChoiceConfig,
    tried: Sequence[Candidate],
    source_speech: Spoken | None = None,
    groups: Sequence[int] | None = None,
    log: Callable[[str], None] | None = None,
    shared: Shared | None = None,
    judged: Spoken | None = None,
    expected: Expectation | None = None,
) -> Choice:
    """Choose among candidates by cross-validation within the speaker's utterances.

    Args:
        source: the model to adapt.
        spoken: Speech of the speaker; each utterance can be spelled and is long enough for CTC.
        config: budget of one adaptation.
        choice: folds, strengths and limits.
        tried: the candidates.
        source_speech: Speech of the source domain, to mix in, with inputs in the same store.
        groups: equal numbers for utterances that must share a fold, such as copies of one recording.
        log: function that is called with a line per candidate.
        shared: activations that trainings compute once; to be given where more follow on the same source model and
            features.
        judged: Speech of the source domain, to judge on what is forgotten, with inputs in the same store; none of it
            may be trained on, by the source model or here. Without any, that is not measured, and nothing is refused
            for it. What is in the language of another head of the model is judged through that.
        expected: knowledge of the candidates from other speakers; see `expectation`.

    Raises:
        ConfigError: there is no candidate, or one needs source utterances that are not there.
    """
    if not tried:
        raise ConfigError("there is no method to choose from; name some in `choice`.")
    for candidate in tried:
        if needs_source(candidate.method) and not source_speech:
            raise ConfigError(
                f"`{candidate.method}` needs source utterances; give some with --source, or another method."
            )
    begin = time.process_time()
    say = log or (lambda line: None)
    ties = groups if groups is not None else range(len(spoken))
    folds = held_out_folds(spoken.utterances, choice.folds, config.seed, ties)
    parts = spelled_by_head(source, judged) if judged else {}
    check = parts.pop(source.head, spoken.subset(()))
    check = check.subset(range(len(lasting(check.utterances, choice.check_seconds))))
    # Other languages together take as long to judge on as the speaker's own.
    each = choice.check_seconds / max(1, len(parts))
    abroad = {head: part.subset(range(len(lasting(part.utterances, each)))) for head, part in parts.items()}
    shared = shared or Shared(source, spoken.store)
    doubt, whole_from = (DOUBT_OF_LOSS, WHOLE_TOLERANCE_FROM) if expected else (0.0, 0.0)
    judge = Judge(source, spoken, check, shared, abroad, doubt, whole_from)

    def train(candidate: Candidate, held: Sequence[int]) -> Adapted:
        rest = spoken.subset(n for n in range(len(spoken)) if n not in set(held))
        settings = replace(config, learning_rate=candidate.learning_rate or None)
        return adapt(source, rest, candidate.method, settings, source_speech=source_speech, shared=shared)

    def train_at_last(candidate: Candidate) -> Adapted:
        taken = Choice(candidate.method, candidate.learning_rate or None, 1.0, "", (), 0.0)
        settings = refit_settings(config, taken, choice)
        return adapt(source, spoken, candidate.method, settings, source_speech=source_speech, shared=shared)

    if len(folds) < 2:
        method, rate, strength, why = _unseen(tried, train_at_last, judge, choice, expected)
        reason = f"one recording leaves none to hold out, so {why}; record more"
        return Choice(method, rate, strength, reason, (), time.process_time() - begin)
    strength, doubt = usual_strength(tried[0].method, choice), 0.0 if source.can_run_away else DOUBT
    trials = Trials(judge, folds, tried, train, choice, strength, expected, doubt)
    trials.run()
    entries = trials.entries
    ladder = sorted((judge.best(entry, choice) for entry in entries), key=lambda rung: (-rung.folds, rung.score))
    for rung in ladder:
        say(describe(rung))
    most = max(entry.folds for entry in entries)
    options = [rung for entry in entries if entry.folds == most for rung in judge.all(entry, choice)]
    before = judge.source_shares(next(entry.held for entry in entries if entry.folds == most))
    method, rate, strength, reason = _decide(options, tried[0], before, ladder, choice, source.can_run_away, expected)
    chosen = (rung for rung in options if (rung.method, rung.learning_rate, rung.strength) == (method, rate, strength))
    best = next(chosen, min(options, key=lambda rung: rung.score, default=None))
    return Choice(method, rate or None, strength, reason, tuple(ladder), time.process_time() - begin, best)


def adapt_by_choice(
    source: Recogniser,
    spoken: Spoken,
    config: AdaptConfig,
    choice: ChoiceConfig,
    source_speech: Spoken | None = None,
    groups: Sequence[int] | None = None,
    folder: Path | None = None,
    log: Callable[[str], None] | None = None,
    judged: Spoken | None = None,
) -> tuple[Adapted, Choice]:
    """Choose a method and adapt to all utterances by it; see `choose` for the arguments.

    Raises:
        DataError: no utterance is long enough for CTC, or a transcript cannot be spelled.
    """
    tried = candidates(choice, bool(source_speech), source.model)
    config = replace(config, settings=trial_settings(config.settings, source.model))
    usable, report = learnable(spoken.spelled(source.tokens, config.speeds), source.model)
    if not usable:
        raise NothingUsable(f"no utterance is long enough for CTC, so there is nothing to adapt to. {report}")
    left = {name for name, _ in report.dropped}
    kept = [number for number, utterance in enumerate(spoken.utterances) if utterance.id not in left]
    groups = None if groups is None else [groups[number] for number in kept]
    shared, own = Shared(source, spoken.store), spoken.subset(kept)
    tried = tried_through_warp(tried, source, own, config, choice, shared)
    known = expectation(source.model)
    chosen = choose(source, own, config, choice, tried, source_speech, groups, log, shared, judged, known)
    settings = refit_settings(config, chosen, choice)
    adapted = adapt(source, spoken, chosen.method, settings, folder, log, source_speech, shared)
    return adapted, chosen


def refit_settings(config: AdaptConfig, chosen: Choice, choice: ChoiceConfig | None) -> AdaptConfig:
    """Return the settings by which the chosen method is trained on all recordings; None stands for a named method."""
    steps = round(config.steps * choice.refit) if choice and needs_source(chosen.method) else config.steps
    speeds = choice.refit_speeds if choice and choice.refit_speeds else config.speeds
    return replace(config, learning_rate=chosen.learning_rate, strength=chosen.strength, steps=steps, speeds=speeds)


def expectation(model: SpeechModel) -> Expectation | None:
    """Return what is known of `auto`'s candidates before the speaker is heard; None of published models."""
    return None if isinstance(model, SequenceModel) or model.published() else KNOWN


def usual_choice(choice: ChoiceConfig, with_source: bool, model: Model | None = None) -> Choice:
    """Return the usual choice: the first candidate at its usual strength; see `candidates` for the arguments."""
    first = candidates(choice, with_source, model)[0]
    strength = usual_strength(first.method, choice)
    return Choice(first.method, first.learning_rate, strength, "the usual choice", (), 0.0)


def usual_strength(method: str, choice: ChoiceConfig) -> float:
    """Return the strength of a method that nothing speaks for or against: all of it where source speech is mixed in."""
    return 1.0 if needs_source(method) else choice.prior_strength


def _decide(
    options: Sequence[Rung],
    prior: Candidate,
    before: Floats,
    ladder: Sequence[Rung],
    choice: ChoiceConfig,
    doubtful: bool = False,
    expected: Expectation | None = None,
) -> tuple[str, float | None, float, str]:
    """Return method, learning rate, strength and reason.

    What makes held-out recordings worse is not chosen. With few of them the best of many options is often merely lucky:
    the first candidate at its usual strength is taken, unless another is better by more than `verdicts.DOUBT` allows.
    Where the usual choice is doubtful too, as of a model of sequence to sequence, whose decoder alone knows how texts
    are written and whose encoder alone how they sound, the best is taken, and what is no gain beyond chance is not.
    """
    if not options:
        reason = f"every candidate was refused ({ladder[0].method}: {ladder[0].refused}), so the model stays as it is"
        return NONE, None, 1.0, reason
    safe = [
        rung for rung in options if not is_worse(rung, before, expected) and not (doubtful and _is_chance(rung, before))
    ]
    best = min(safe or options, key=lambda rung: rung.score)
    if not safe:
        reason = f"the best candidate, {_found(best)}; that is no gain{' beyond chance' * doubtful}, so the model "
        reason += "stays as it is"
        return NONE, None, 1.0, reason
    first = [rung for rung in safe if (rung.method, rung.learning_rate) == (prior.method, prior.learning_rate)]
    usual = usual_of(first, usual_strength(prior.method, choice), before, expected) or best
    gain, error = difference(usual.shares, best.shares)
    chosen, why = (best, "the best by more than chance") if is_sure(gain, error) else (usual, "the usual choice")
    if doubtful:
        chosen, why = best, "the best"
    if is_worse(chosen, before):
        why += ", since these few recordings do not outweigh what it gave other speakers"
    return chosen.method, chosen.learning_rate, chosen.strength, f"{why}: {_found(chosen)}"


def _unseen(
    tried: Sequence[Candidate],
    train: Callable[[Candidate], Adapted],
    judge: Judge,
    choice: ChoiceConfig,
    expected: Expectation | None,
) -> tuple[str, float | None, float, str]:
    """Return method, learning rate, strength and reason where no recording can be held out.

    With source speech mixed in, the usual choice helps a model that was trained here from one recording on, if it was
    trained on so little that anybody's speech still makes it better: of a single digit, both development speakers had a
    quarter fewer errors afterwards, and others had no more. Of a single sentence of synthetic voices, others had more,
    and so had the speaker in all of twelve cases. So it is taken where others lose nothing beyond chance, at its usual
    strength: a quarter of it helped nobody. Without source speech others would lose what nobody sees, and published
    models were not seen to gain, so nothing is trained.

    Args:
        tried: the candidates.
        train: function that adapts by a candidate, as it will be adapted at last.
        judge: judge of what others lose.
        choice: strengths and limits.
        expected: knowledge of the candidates from other speakers.
    """
    first = tried[0]
    if needs_source(first.method) and expected is not None:
        try:
            adapted = train(first)
        except TrainingError:
            return NONE, None, 1.0, "the model stays as it is, for training on it did not stay finite"
        entry, strength = Entry(first), usual_strength(first.method, choice)
        judge.listen_to_others(entry, strength, adapted.at_strength(strength), adapted.depth)
        if not (judge.refusal(entry, strength, choice) or judge.is_loss(entry, strength)):
            return first.method, first.learning_rate, strength, "the usual choice is taken, unseen whether it helps"
    if any(candidate.method == WARP for candidate in tried):
        return WARP, None, 1.0, "nothing is trained but the frequencies are warped"
    return NONE, None, 1.0, "the model stays as it is"


def _is_chance(rung: Rung, before: Floats) -> bool:
    gained, error = difference(before, rung.shares)
    return not gained > t_quantile(SURE, max(1, len(rung.shares) - 1)) * error


def _found(rung: Rung) -> str:
    return (
        f"{rung.method} × {rung.strength:g}, reached {rung.score:.3f} of the source model's criterion and "
        f"{rung.source_errors} → {rung.errors} of {rung.units} characters wrong on held-out recordings"
    )


def lasting(utterances: Sequence[Utterance], seconds: float) -> list[Utterance]:
    """Return the first utterances, as many as reach so many seconds together."""
    taken: list[Utterance] = []
    for utterance in utterances:
        if sum(u.duration for u in taken) >= seconds:
            break
        taken.append(utterance)
    return taken
