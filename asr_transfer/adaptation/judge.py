"""Judges candidates on held-out utterances of the speaker, and on source speech that shows what others lose."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from asr_transfer.adaptation.answers import Answers, Floats, answers, shares_of
from asr_transfer.adaptation.frozen_layers import Shared
from asr_transfer.adaptation.ladder import WORST, Candidate, Rung, judgements
from asr_transfer.adaptation.loss_of_others import Loss, costly, mean_abroad, rise
from asr_transfer.adaptation.own_statistics import normalised_as, statistics_of
from asr_transfer.adaptation.settings import ChoiceConfig
from asr_transfer.adaptation.warp import unwarped, warp_of
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.training.activations import above

OWN, CHECK = "the speaker's", "others'"
"""Parts of what a judge listens to, beside those that are called like heads; no language is called so."""


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
        whole_from: character error rate of the source model on others from which the whole tolerance holds; below it,
            less is tolerated in proportion.
    """

    def __init__(
        self,
        source: Recogniser,
        own: Spoken,
        check: Spoken,
        shared: Shared | None = None,
        abroad: Mapping[str, Spoken] | None = None,
        doubt: float = 0.0,
        whole_from: float = 0.0,
    ) -> None:
        self._parts = {OWN: own.spelled(source.tokens), CHECK: check.spelled(source.tokens)}
        self._parts |= {head: part.spelled(source.tokens_for(head)) for head, part in (abroad or {}).items()}
        self._abroad = tuple(abroad or ())
        self._shared = shared or Shared(source, own.store)
        self._factor, self._doubt, self._whole_from = warp_of(source.model), doubt, whole_from
        self._statistics = {name: tensor.clone() for name, tensor in statistics_of(source.model)}
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
        with unwarped(model, self._factor), normalised_as(model.model, {} if depth else self._statistics):
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
        if lost is not None:
            risen, most = lost.risen - self._doubt * (lost.error or 0.0), self._tolerated(choice)
            if risen > most:
                return f"others would be {100 * lost.risen:.1f} points worse, more than {round(100 * most, 2):g}"
        return costly(entry.abroad.get(strength, {}), choice.tolerance)

    def _tolerated(self, choice: ChoiceConfig) -> float:
        """Return the greatest rise of others' character error rate, by how many errors the source model makes."""
        before = self._judged_before[CHECK]
        own = float(before.errors.sum() + 1) / float(before.units.sum())  # one more, for no error of few is not none
        return choice.tolerance * min(1.0, own / self._whole_from) if self._whole_from else choice.tolerance

    def is_loss(self, entry: Entry, strength: float) -> bool:
        """Return whether others, or other languages on average, lose anything beyond chance by an entry at a strength.

        What is not known is no loss.
        """
        known = [entry.lost[strength]] if strength in entry.lost else []
        known += [mean_abroad(entry.abroad[strength])] if entry.abroad.get(strength) else []
        return any(lost.risen > self._doubt * (lost.error or 0.0) for lost in known)

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
