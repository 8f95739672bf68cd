"""Tries candidates fold by fold, as far as that can still change what is chosen.

From the second fold on, candidates that are unlikely to be chosen are tried on no more (`verdicts`). Others are
listened to only at strengths that would be chosen, for there may be much speech of theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from asr_transfer.adaptation.adapt import Adapted
from asr_transfer.adaptation.answers import Floats
from asr_transfer.adaptation.judge import Entry, Judge
from asr_transfer.adaptation.ladder import Candidate, Rung
from asr_transfer.adaptation.settings import ChoiceConfig
from asr_transfer.adaptation.verdicts import DOUBT, Expectation, is_hopeless, is_settled, usual_of
from asr_transfer.errors import TrainingError
from asr_transfer.progress import Work

ENOUGH = 8
"""Held-out utterances after which the worse half of the candidates is dropped at every fold (successive halving;
Jamieson and Talwalkar 2016). With fewer, which utterances are hard decides more than which candidate is good."""

Train = Callable[[Candidate, Sequence[int]], Adapted]
"""Adapts by a candidate to all of the speaker's utterances but those of these numbers."""


class Trials:
    """Candidates under trial.

    Args:
        judge: judge of what is trained.
        folds: numbers of the utterances that are held out together.
        tried: candidates, the usual choice first.
        train: training of a candidate.
        choice: strengths and limits.
        usual_strength: strength of the first candidate that is taken when nothing speaks against it.
        expected: knowledge of the candidates from other speakers.
        doubt: times the squared error by which another candidate must be better than the first one.
    """

    def __init__(
        self,
        judge: Judge,
        folds: Sequence[Sequence[int]],
        tried: Sequence[Candidate],
        train: Train,
        choice: ChoiceConfig,
        usual_strength: float,
        expected: Expectation | None = None,
        doubt: float = DOUBT,
    ) -> None:
        self._judge, self._folds, self._train, self._choice = judge, folds, train, choice
        self._usual_strength, self._expected, self._doubt = usual_strength, expected, doubt
        self.entries = [Entry(candidate) for candidate in tried]
        self._first, *self._others = self.entries
        self._ends = [sum(map(len, folds[: number + 1])) for number in range(len(folds))]
        self._last = next((n for n, end in enumerate(self._ends) if end >= choice.judged), len(folds) - 1)

    def run(self) -> None:
        """Try all candidates on as many folds as it takes."""
        for number in range(self._last + 1):
            for place, entry in enumerate(self.entries, start=1):
                if not entry.dropped:
                    where = f"{place} of {len(self.entries)} ({entry.candidate.method})"
                    with Work(f"candidate {where}, fold {number + 1} of {len(self._folds)}", bar=False):
                        self._try(entry, number)
            if number < self._last and self._tells(number):
                self._drop(number)
                if self._is_decided(number):
                    break

    def _try(self, entry: Entry, number: int) -> None:
        held = self._folds[number]
        try:
            adapted = self._train(entry.candidate, held)
        except TrainingError:
            entry.failed, entry.dropped = "its training did not stay finite", True
            return
        entry.held += held
        entry.folds += 1
        for strength in self._choice.strengths:
            found = self._judge.own(adapted.at_strength(strength), held, adapted.depth)
            entry.answers.setdefault(strength, []).append(found)
        if not self._tells(number):
            return
        if entry is not self._first and number < self._last and self._is_hopeless(entry, number):
            entry.dropped = True
            return
        while (unheard := self._in_question(entry)) is not None:
            self._judge.listen_to_others(entry, unheard, adapted.at_strength(unheard), adapted.depth)
        entry.dropped = not self._permitted(entry)

    def _tells(self, number: int) -> bool:
        """Return whether the folds up to this one are enough to tell candidates apart."""
        return number > 0 or number == self._last or self._ends[number] >= ENOUGH

    def _drop(self, number: int) -> None:
        """Drop what is unlikely to be chosen and, of many utterances, the worse half; the usual choice stays."""
        live = [entry for entry in self._others if not entry.dropped]
        best = [self._judge.best(entry, self._choice) for entry in live]
        for place, entry in enumerate(live):
            entry.dropped = self._is_hopeless(entry, number, best[:place] + best[place + 1 :])
        live = [entry for entry in live if not entry.dropped]
        if self._ends[number] >= ENOUGH:
            ranked = sorted(live, key=lambda entry: self._judge.key(entry, self._choice))
            for entry in ranked[max(1, len(live) // 2) :]:
                entry.dropped = True

    def _is_decided(self, number: int) -> bool:
        if not all(entry.dropped for entry in self._others):
            return False
        if self._first.dropped:
            return True
        # Of a single candidate there is nothing to choose, and its figure is what is wanted.
        now = self._usual() or self._judge.best(self._first, self._choice)
        return bool(self._others) and is_settled(now, self._before(self._first), self._seen(number), self._expected)

    def _is_hopeless(self, entry: Entry, number: int, rivals: Sequence[Rung] = ()) -> bool:
        usual = self._usual() if self._first.held == entry.held else None
        before, seen = self._before(entry), self._seen(number)
        return is_hopeless(self._permitted(entry), usual, rivals, before, seen, self._expected, self._doubt)

    def _in_question(self, entry: Entry) -> float | None:
        """Return a strength that would be chosen, of those at which it is not known what others lose."""
        may = self._permitted(entry)
        wanted = [min(may, key=lambda rung: rung.score)] if may else []
        if entry is self._first and (usual := self._usual()):
            wanted.append(usual)
        return next((rung.strength for rung in wanted if not self._judge.is_heard(entry, rung.strength)), None)

    def _permitted(self, entry: Entry) -> list[Rung]:
        return [rung for rung in self._judge.rungs(entry, self._choice) if not rung.refused]

    def _usual(self) -> Rung | None:
        if self._first.failed:
            return None
        return usual_of(self._permitted(self._first), self._usual_strength, self._before(self._first), self._expected)

    def _before(self, entry: Entry) -> Floats:
        return self._judge.source_shares(entry.held)

    def _seen(self, number: int) -> float:
        return self._ends[number] / self._ends[self._last]
