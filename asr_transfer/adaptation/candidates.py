"""Judges candidates on held-out utterances of the speaker, and on source speech that shows what others lose."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table
from scipy import stats

from asr_transfer.adaptation.frozen_layers import Shared
from asr_transfer.adaptation.settings import ChoiceConfig
from asr_transfer.adaptation.warp import unwarped, warp_of
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.evaluation.capped import capped_errors
from asr_transfer.evaluation.scoring import Hypothesis, align
from asr_transfer.evaluation.standard_error import in_points, residuals, standard_error
from asr_transfer.plain import to_plain
from asr_transfer.training.activations import above

OWN, CHECK = "the speaker's", "others'"
"""Parts of what a judge listens to, beside those that are called like heads; no language is called so."""

BEYOND_CHANCE = 2.0
"""Standard errors by which the loss of one language among several must pass what is tolerated."""

WORST = 1000.0
"""Criterion of what is not finite: a number, so that it is sorted, and written to files, like any other."""

SMOOTH = 0.02
"""Share of its characters that is added to the errors of a text, where errors stand for the loss: none of none is no
gain."""

SURE = 0.9
"""Chance, one-sided, with which a gain must be one to count, where there is no usual choice to fall back on."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Candidate:
    """What is tried: a method at a learning rate."""

    method: str
    learning_rate: float


@dataclass(frozen=True)
class Loss:
    """What others lose by an adaptation.

    Attributes:
        risen: estimated rise of their character error rate.
        error: standard error of that; None where it is not known.
    """

    risen: float
    error: float | None


@dataclass(frozen=True)
class Judgement:
    """A held-out recording before and after an adaptation to others of the speaker.

    Attributes:
        number: number of the utterance.
        units: characters of its reference.
        before, after: character errors of the source model and of the adapted one.
        loss_before, loss_after: their losses.
        text: text that the adapted model heard.
    """

    number: int
    units: float
    before: float
    after: float
    loss_before: float
    loss_after: float
    text: str


@dataclass(frozen=True)
class Rung:
    """A candidate at its best strength, as it did on held-out utterances.

    Attributes:
        method, learning_rate, strength: the candidate that was tried.
        folds: number of folds that it was tried on.
        errors, units: character errors and reference characters of the held-out utterances.
        source_errors: errors of the source model on the same.
        score: the criterion; 1 is the source model.
        forgetting: estimated rise of the character error rate on source speech that was not trained on; None where it
            was not measured.
        refused: reason why it may not be chosen; empty otherwise.
        shares: contribution of each held-out utterance to the criterion.
        forgetting_error: standard error of `forgetting`; None where it is not known.
        abroad: estimated rise of the character error rate of each other language of the model, by its head; empty
            where it was not measured.
        held: held-out recordings one by one, in the order of `shares`.
    """

    method: str
    learning_rate: float
    strength: float
    folds: int
    errors: int
    units: int
    source_errors: int
    score: float
    forgetting: float | None
    refused: str = ""
    shares: tuple[float, ...] = field(default=(), repr=False)
    forgetting_error: float | None = None
    abroad: Mapping[str, Loss] = field(default_factory=dict)
    held: tuple[Judgement, ...] = field(default=(), repr=False)

    def to_plain(self) -> dict[str, Any]:
        """Return the rung for a run record: without single recordings, or other languages where there are none."""
        left = {"shares", "held"} if self.abroad else {"shares", "held", "abroad"}
        return {name: value for name, value in to_plain(self).items() if name not in left}


@dataclass
class Answers:
    """A model's answers on some utterances.

    Attributes:
        errors, units, losses: (n,) character errors, reference characters and CTC losses; of a model of sequence to
            sequence errors stand for losses, and each clip has at most as many as it has characters.
        texts: (n,) texts that were heard; empty where nobody asks for them.
    """

    errors: Floats
    units: Floats
    losses: Floats
    texts: tuple[str, ...] = ()

    def __getitem__(self, index: Sequence[int]) -> Answers:
        texts = tuple(self.texts[n] for n in index) if self.texts else ()
        return Answers(self.errors[index], self.units[index], self.losses[index], texts)


@dataclass
class Entry:
    """A candidate under trial: what it answered so far at each strength.

    Attributes:
        candidate: the candidate.
        held: numbers of the held-out utterances.
        answers: answers on these by strength, fold by fold.
        heard: strengths at which others were listened to.
        lost, abroad: losses of others, and of other languages, by strength.
        folds: number of folds that it was tried on.
        dropped: whether it is tried on no more.
        failed: reason why there are no answers; empty otherwise.
    """

    candidate: Candidate
    held: list[int] = field(default_factory=list)
    answers: dict[float, list[Answers]] = field(default_factory=dict)
    heard: set[float] = field(default_factory=set)
    lost: dict[float, Loss] = field(default_factory=dict)
    abroad: dict[float, dict[str, Loss]] = field(default_factory=dict)
    folds: int = 0
    dropped: bool = False
    failed: str = ""


class Judge:
    """Compares models with the source model on the same utterances.

    Others are heard without a warp that a model was given for the speaker.

    Args:
        source: the model that all are adapted from.
        own: Recordings of the speaker.
        check: source speech to see on what others lose, with inputs in the same store; none of it may be trained on.
        shared: results that trainings compute once.
        abroad: errors on other languages, as `check` has them, by the head that listens.
        doubt: standard errors by which what others lose must pass what is tolerated.
    """

    def __init__(
        self,
        source: Recogniser,
        own: Spoken,
        check: Spoken,
        shared: Shared | None = None,
        abroad: Mapping[str, Spoken] | None = None,
        doubt: float = 0.0,
    ) -> None:
        self._parts = {OWN: own.spelled(source.tokens), CHECK: check.spelled(source.tokens)}
        self._parts |= {head: part.spelled(source.tokens_for(head)) for head, part in (abroad or {}).items()}
        self._abroad = tuple(abroad or ())
        self._shared = shared or Shared(source, own.store)
        self._factor, self._doubt = warp_of(source.model), doubt
        self._data: dict[tuple[str, int], Spoken] = {}
        self._before = self._answers(source, OWN)
        self._judged_before = {
            name: self._answers(source, name) for name, part in self._parts.items() if name != OWN and part
        }

    def own(self, model: Recogniser, held: Sequence[int], depth: int = 0) -> Answers:
        """Return a model's answers on held-out utterances.

        Args:
            model: an adapted recogniser.
            held: numbers of the utterances.
            depth: number of first blocks that are still the source model's, whose activations are then not computed
                again.
        """
        return self._answers(model, OWN, depth, held)

    def lost(self, model: Recogniser, depth: int = 0) -> Loss:
        """Return the estimated rise of the character error rate on `check`; see `own` and `rise`."""
        return self._lost(model, CHECK, depth)

    def lost_abroad(self, model: Recogniser, depth: int = 0) -> dict[str, Loss]:
        """Return the same rise of each other language, through its own head."""
        return {head: self._lost(model, head, depth) for head in self._abroad}

    def _lost(self, model: Recogniser, part: str, depth: int) -> Loss:
        speakers = [utterance.speaker for utterance in self._parts[part].utterances]
        return rise(self._answers(model, part, depth), self._judged_before[part], speakers)

    def forgetting(self, model: Recogniser, depth: int = 0) -> float:
        """Return what `lost` estimates, without its error."""
        return self.lost(model, depth).risen

    def counted(self, model: Recogniser, depth: int = 0) -> tuple[int, int]:
        """Return how many more character errors there are on `check`, and its reference characters; see `own`."""
        after = self._answers(model, CHECK, depth)
        return int(after.errors.sum() - self._judged_before[CHECK].errors.sum()), int(after.units.sum())

    def _answers(self, model: Recogniser, part: str, depth: int = 0, items: Sequence[int] | None = None) -> Answers:
        if (part, depth) not in self._data:
            self._data[part, depth] = self._parts[part].fed(self._shared.inputs(depth))
        if part in self._abroad:
            model = model.for_head(part)
        if depth:
            model = copy.copy(model)  # not `replace`, which would build a lexicon's tree anew
            model.model = above(model.model, depth)
        heard, chosen = self._data[part, depth], range(len(self._parts[part])) if items is None else items
        if part == OWN:
            return answers(model, heard, chosen)
        with unwarped(model, self._factor):
            return answers(model, heard, chosen)

    def listen_to_others(self, entry: Entry, strength: float, model: Recogniser, depth: int = 0) -> None:
        """Note what others lose by an entry at a strength; see `own` for the arguments."""
        if self._parts[CHECK]:
            entry.lost[strength] = self.lost(model, depth)
        if self._abroad:
            entry.abroad[strength] = self.lost_abroad(model, depth)
        entry.heard.add(strength)

    def is_heard(self, entry: Entry, strength: float) -> bool:
        """Return whether it is known what others lose by an entry at a strength, or there are none to listen to."""
        return strength in entry.heard or not (self._parts[CHECK] or self._abroad)

    def refusal(self, entry: Entry, strength: float, choice: ChoiceConfig) -> str:
        """Return why others lose too much by an entry at a strength, as far as that is known; else nothing."""
        lost = entry.lost.get(strength)
        if lost is not None and lost.risen - self._doubt * (lost.error or 0.0) > choice.tolerance:
            return f"others would be {100 * lost.risen:.1f} points worse, more than {100 * choice.tolerance:g}"
        return costly(entry.abroad.get(strength, {}), choice.tolerance)

    def best(self, entry: Entry, choice: ChoiceConfig) -> Rung:
        """Return an entry at its best strength, preferring those that do not forget too much.

        Where others were listened to, it is one at which they were.
        """
        if entry.failed:
            tried = entry.candidate
            return Rung(tried.method, tried.learning_rate, 1.0, 0, 0, 0, 0, WORST, None, entry.failed)
        rungs = self.rungs(entry, choice)
        heard = [rung for rung in rungs if self.is_heard(entry, rung.strength)]
        return min(heard or rungs, key=lambda rung: (bool(rung.refused), rung.score))

    def all(self, entry: Entry, choice: ChoiceConfig) -> list[Rung]:
        """Return an entry at each strength that may be chosen: others were listened to, and lose little."""
        rungs = [] if entry.failed else self.rungs(entry, choice)
        return [rung for rung in rungs if not rung.refused and self.is_heard(entry, rung.strength)]

    def rungs(self, entry: Entry, choice: ChoiceConfig) -> list[Rung]:
        """Return an entry that did not fail at every strength."""
        return [self._rung(entry, strength, choice) for strength in choice.strengths]

    def source_shares(self, held: Sequence[int]) -> Floats:
        """Return what each held-out utterance adds to the source model's criterion."""
        return self._shares(self._before[held], held)

    def key(self, entry: Entry, choice: ChoiceConfig) -> tuple[bool, float]:
        """Return what entries are ranked by, the best first."""
        rung = self.best(entry, choice)
        return bool(rung.refused), rung.score

    def _rung(self, entry: Entry, strength: float, choice: ChoiceConfig) -> Rung:
        parts = entry.answers[strength]
        errors = np.concatenate([part.errors for part in parts])
        losses = np.concatenate([part.losses for part in parts])
        texts = tuple(text for part in parts for text in part.texts)
        before = self._before[entry.held]
        lost, abroad = entry.lost.get(strength), entry.abroad.get(strength, {})
        refused = self.refusal(entry, strength, choice)
        shares = self._shares(Answers(errors, before.units, losses), entry.held)
        # One error more on both sides: none of none is no gain, and one of one no certainty.
        score = float(shares.sum() + 0.5 / (before.errors.sum() + 1))
        return Rung(
            entry.candidate.method, entry.candidate.learning_rate, strength, entry.folds,
            int(errors.sum()), int(before.units.sum()), int(before.errors.sum()),
            min(score, WORST) if math.isfinite(score) else WORST,
            lost.risen if lost else None, refused,
            tuple(np.nan_to_num(shares, nan=WORST, posinf=WORST).tolist()), lost.error if lost else None,
            abroad,
            judgements(entry.held, before, Answers(errors, before.units, losses, texts)),
        )  # fmt: skip

    def _shares(self, found: Answers, held: Sequence[int]) -> Floats:
        return shares_of(found, self._before[held])


def judgements(held: Sequence[int], before: Answers, after: Answers) -> tuple[Judgement, ...]:
    """Return held-out recordings one by one.

    Args:
        held: their numbers, (n,).
        before, after: answers of the source model and of the adapted one on them.
    """
    columns = (before.units, before.errors, after.errors, before.losses, after.losses)
    units, first, second, loss_first, loss_second = (column.tolist() for column in columns)
    texts = after.texts or ("",) * len(held)
    rows = zip(held, units, first, second, loss_first, loss_second, texts, strict=True)
    return tuple(Judgement(*row) for row in rows)


def rise(after: Answers, before: Answers, speakers: Sequence[str]) -> Loss:
    """Return the estimated rise of the character error rate: half of it is counted, half follows from the loss.

    Errors are taken to rise as the loss does, which tells more of few utterances than their few errors.

    Args:
        after, before: answers of an adapted model and of the one that it was adapted from.
        speakers: Speaker of each utterance, over whom the standard error is.
    """
    rate = before.errors.sum() / before.units.sum()
    counted = (after.errors.sum() - before.errors.sum()) / before.units.sum()
    ratio = after.losses.sum() / max(before.losses.sum(), 1e-9)
    risen = float(0.5 * counted + 0.5 * rate * (ratio - 1))
    if not math.isfinite(risen):
        return Loss(1.0, None)
    own = residuals(after.errors - before.errors, before.units)
    own = own + rate * residuals(after.losses - before.losses, np.maximum(before.losses, 1e-9))
    return Loss(risen, standard_error(0.5 * own, speakers))


def shares_of(found: Answers, before: Answers) -> Floats:
    """Return what each utterance adds to the criterion, (n,): half its errors and half its loss; before, all make 1.

    Args:
        found: answers of a model.
        before: answers on the same utterances of the one that it is compared with.
    """
    counted = found.errors / (before.errors.sum() + 1)
    shares: Floats = 0.5 * counted + 0.5 * found.losses / max(before.losses.sum(), 1e-9)
    return shares


def gain(found: Answers, before: Answers) -> tuple[float, float]:
    """Return how much smaller the criterion became, and the standard error of that; infinite where nobody can tell."""
    gains = shares_of(before, before) - shares_of(found, before)
    count = len(gains)
    return float(gains.sum()), float(np.sqrt(count) * gains.std(ddof=1)) if count > 1 else float("inf")


def is_gain(found: Answers, before: Answers) -> bool:
    """Return whether utterances gained by more than chance would have it, and lost no errors."""
    if len(found.errors) < 2 or found.errors.sum() > before.errors.sum():
        return False
    value, error = gain(found, before)
    return value > float(stats.t.ppf(SURE, len(found.errors) - 1)) * error


def mean_abroad(lost: Mapping[str, Loss]) -> Loss:
    """Return the mean of what other languages lose, each counting the same."""
    errors = [loss.error for loss in lost.values() if loss.error is not None]
    error = math.sqrt(sum(error**2 for error in errors)) / len(lost) if len(errors) == len(lost) else None
    return Loss(sum(loss.risen for loss in lost.values()) / len(lost), error)


def costly(lost: Mapping[str, Loss], tolerance: float) -> str:
    """Return why other languages lose too much: on average, or one of them by more than chance; else nothing.

    Of many languages, each judged on little speech, some lose more than is tolerated by chance alone.
    """
    if not lost:
        return ""
    mean = mean_abroad(lost).risen
    if mean > tolerance:
        return f"other languages would be {100 * mean:.1f} points worse, more than {100 * tolerance:g}"
    sure = {head: loss.risen - BEYOND_CHANCE * loss.error for head, loss in lost.items() if loss.error is not None}
    worst = max(sure, key=lambda head: sure[head], default="")
    if worst and sure[worst] > tolerance:
        return f"'{worst}' would be {in_points(lost[worst].risen, lost[worst].error)} points worse, beyond chance"
    return ""


@torch.no_grad()
def answers(recogniser: Recogniser, spoken: Spoken, items: Sequence[int]) -> Answers:
    """Return character errors, reference characters and CTC losses of `items` under a recogniser."""
    if recogniser.can_run_away:
        return _written(recogniser, spoken, items)
    recogniser.model.eval()
    batch = spoken.collate(list(items))
    assert batch.target_lengths is not None
    logits, lengths = recogniser.logits(batch.inputs, batch.lengths)
    losses = torch.nn.functional.ctc_loss(
        logits.log_softmax(-1).transpose(0, 1), batch.targets, lengths, batch.target_lengths, reduction="none"
    )
    heard = recogniser.decode(logits, lengths)
    aligned = align(
        [
            Hypothesis(str(n), "", "", recogniser.reference(spoken.utterance(item)), found.text)
            for n, (item, found) in enumerate(zip(items, heard, strict=True))
        ],
        "character",
    )
    return Answers(
        aligned.errors.astype(float),
        aligned.reference.astype(float),
        losses.cpu().numpy().astype(np.float64),
        tuple(found.text for found in heard),
    )


def _written(recogniser: Recogniser, spoken: Spoken, items: Sequence[int]) -> Answers:
    """Return the answers of a model of sequence to sequence: its errors alone, those of each clip capped.

    Its loss falls under teacher forcing while its texts stay as wrong as they were, so that it must not decide.
    """
    batch, utterances = spoken.collate(list(items)), [spoken.utterance(item) for item in items]
    assert batch.lengths is not None
    seconds, languages = [u.duration for u in utterances], [recogniser.language_of(u) for u in utterances]
    written = recogniser.writer().write(batch.inputs, batch.lengths, seconds, languages)
    rows = [
        Hypothesis(str(number), "", u.language, u.text, one.text)
        for number, (u, one) in enumerate(zip(utterances, written, strict=True))
    ]
    aligned = align(rows, "character", recogniser.normalisation)
    errors, units = capped_errors(aligned).astype(float), aligned.reference.astype(float)
    return Answers(errors, units, errors + SMOOTH * units, tuple(one.text for one in written))


def describe(rung: Rung) -> str:
    """Return a rung as a line of text."""
    rate = f" lr {rung.learning_rate:g}" if rung.learning_rate else ""
    forgotten = f", others {_others(rung)}" if rung.forgetting is not None else ""
    if rung.abroad:
        forgotten += f", other languages {_abroad(rung)}"
    refused = f"; refused: {rung.refused}" if rung.refused else ""
    return (
        f"{rung.method}{rate} × {rung.strength:g}: criterion {rung.score:.3f}, character errors "
        f"{rung.source_errors} → {rung.errors} of {rung.units} on {rung.folds} folds{forgotten}{refused}"
    )


def _others(rung: Rung) -> str:
    if rung.forgetting is None:
        return "not measured"
    return f"{in_points(rung.forgetting, rung.forgetting_error)} points"


def _abroad(rung: Rung) -> str:
    if not rung.abroad:
        return "not measured"
    mean = mean_abroad(rung.abroad)
    return f"{in_points(mean.risen, mean.error)} points"


def ladder_table(rungs: Sequence[Rung]) -> Table:
    """Return what was considered as a table, best first; what others lose stands in it even where nobody knows."""
    table = Table(title="held-out recordings, best first", title_justify="left")
    for heading in ("method", "rate", "strength", "folds", "criterion", "character errors", "others"):
        table.add_column(heading, justify="left" if heading == "method" else "right", overflow="fold")
    abroad = any(rung.abroad for rung in rungs)
    if abroad:
        table.add_column("other languages", justify="right", overflow="fold")
    refused = any(rung.refused for rung in rungs)
    if refused:
        table.add_column("refused", overflow="fold")
    for rung in rungs:
        rate = f"{rung.learning_rate:g}" if rung.learning_rate else "–"
        cells = [
            rung.method, rate, f"{rung.strength:g}", str(rung.folds), f"{rung.score:.3f}",
            f"{rung.source_errors} → {rung.errors} of {rung.units}", _others(rung),
        ]  # fmt: skip
        cells += [_abroad(rung)] if abroad else []
        table.add_row(*cells, *([rung.refused] if refused else []))
    return table
