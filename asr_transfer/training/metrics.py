"""Computes figures of a validation beside its loss.

`summary` gives errors, of which smaller is better, so that any can be monitored; what papers report (accuracies, u, s
and H) are properties beside it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.greedy import greedy
from asr_transfer.distributions import t_quantile
from asr_transfer.errors import ConfigError
from asr_transfer.evaluation.class_counts import class_accuracies, confusion_matrix
from asr_transfer.evaluation.clusters import LEVEL
from asr_transfer.evaluation.scoring import score
from asr_transfer.training.criteria import class_scores
from asr_transfer.training.streams import Output


class ErrorRate:
    """Word and character error rate of greedy CTC decoding.

    Args:
        tokens: token set of the head.
    """

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._references: list[str] = []
        self._hypotheses: list[str] = []

    def update(self, output: Output) -> None:
        """Decode a batch; references are its targets."""
        batch = output.batch
        assert output.lengths is not None and batch.target_lengths is not None
        for indices in greedy(output.require_logits(), output.lengths):
            self._hypotheses.append(self._tokens.decode(indices))
        for target, length in zip(batch.targets.tolist(), batch.target_lengths.tolist(), strict=True):
            self._references.append(self._tokens.decode(target[:length]))

    def summary(self) -> dict[str, float]:
        """Return `wer` and `cer`."""
        total = score(self._references, self._hypotheses)
        return {"wer": total.wer, "cer": total.cer}


class ClassificationError:
    """Share of items whose best class is wrong."""

    def __init__(self) -> None:
        self._wrong = self._items = 0

    def update(self, output: Output) -> None:
        """Count a batch."""
        wrong = output.require_logits().argmax(-1) != output.batch.targets
        self._wrong += int(wrong.sum())
        self._items += len(wrong)

    def summary(self) -> dict[str, float]:
        """Return `error`."""
        return {"error": self._wrong / max(1, self._items)}


class ClassConfusions:
    """How often items of each class were taken for each class, and the accuracy of each class.

    Args:
        class_vectors: (classes, dim) vectors that the head's output is scored against, as by `ranking_hinge`; None
            where the logits are the scores.
    """

    def __init__(self, class_vectors: torch.Tensor | None = None) -> None:
        self._vectors = class_vectors
        self._matrix: NDArray[np.int64] | None = None

    def update(self, output: Output) -> None:
        """Count a batch."""
        scores = self.scores(output)
        found = confusion_matrix(output.batch.targets.tolist(), scores.argmax(-1).tolist(), scores.shape[-1])
        self._matrix = found if self._matrix is None else self._matrix + found

    def scores(self, output: Output) -> torch.Tensor:
        """Return (items, classes) what classes are chosen by."""
        return class_scores(output, self._vectors)

    @property
    def matrix(self) -> NDArray[np.int64]:
        """(classes, classes) counts: rows are the items' classes, columns those that they were taken for."""
        return np.zeros((0, 0), np.int64) if self._matrix is None else self._matrix

    @property
    def accuracies(self) -> NDArray[np.float64]:
        """(classes,) share of each class's items that were taken for it; NaN of a class without items."""
        return class_accuracies(self.matrix)

    def summary(self) -> dict[str, float]:
        """Return `error`, each item counting the same, and `per_class_error`, each class that has items."""
        total = int(self.matrix.sum())
        if not total:
            return {"error": 0.0, "per_class_error": 0.0}
        wrong = total - int(np.trace(self.matrix))
        return {"error": wrong / total, "per_class_error": 1 - float(np.nanmean(self.accuracies))}


class GeneralisedZeroShot(ClassConfusions):
    """Accuracies where items of seen and of unseen classes are told apart among all classes.

    Seen classes win too often, so that their scores may be lowered by a constant (calibrated stacking; Chao et al., "An
    empirical study and analysis of generalized zero-shot learning", 2016). Figures as of Xian et al., "Zero-shot
    learning – the good, the bad and the ugly" (2017).

    Args:
        unseen: indices of the classes that nothing was trained on.
        class_vectors: argument of `ClassConfusions`.
        calibration: number that is taken off the scores of seen classes.

    Raises:
        ConfigError: no class is unseen, or an index is below 0 or there twice.
    """

    def __init__(
        self, unseen: Collection[int], class_vectors: torch.Tensor | None = None, calibration: float = 0.0
    ) -> None:
        super().__init__(class_vectors)
        if not unseen or min(unseen) < 0 or len(set(unseen)) < len(unseen):
            raise ConfigError(f"`unseen` must name different classes by their indices, got {sorted(unseen)}.")
        self._unseen, self._calibration = sorted(unseen), calibration

    def scores(self, output: Output) -> torch.Tensor:
        """Return (items, classes) scores, those of seen classes lowered.

        Raises:
            ConfigError: no class is seen, or one that is unseen is not there.
        """
        scores = super().scores(output)
        count = scores.shape[-1]
        if self._unseen[-1] >= count or len(self._unseen) == count:
            raise ConfigError(f"`unseen` must be some of the {count} classes (from 0) and not all, got {self._unseen}.")
        lowered = torch.full((count,), self._calibration, dtype=scores.dtype, device=scores.device)
        lowered[self._unseen] = 0
        return scores - lowered

    @property
    def unseen(self) -> float:
        """Mean accuracy of unseen classes (u); NaN where none has items."""
        return self._mean(True)

    @property
    def seen(self) -> float:
        """Mean accuracy of seen classes (s); NaN where none has items."""
        return self._mean(False)

    @property
    def harmonic(self) -> float:
        """Harmonic mean 2us/(u + s) (H), 0 where either is."""
        u, s = self.unseen, self.seen
        return 0.0 if u + s == 0 else 2 * u * s / (u + s)

    def summary(self) -> dict[str, float]:
        """Return `unseen_error`, `seen_error` and `harmonic_error`: 1 less u, s and H."""
        if not self.matrix.size:
            return {"unseen_error": 0.0, "seen_error": 0.0, "harmonic_error": 0.0}
        return {"unseen_error": 1 - self.unseen, "seen_error": 1 - self.seen, "harmonic_error": 1 - self.harmonic}

    def _mean(self, unseen: bool) -> float:
        accuracies = self.accuracies
        chosen = np.isin(np.arange(len(accuracies)), self._unseen) == unseen
        known = accuracies[chosen & ~np.isnan(accuracies)]
        return float(known.mean()) if len(known) else math.nan


class EpisodeError:
    """Error over few-shot episodes, each counting the same, with the interval over them.

    An episode is what `episodes` says; without it every item of a batch whose logits are (episodes, queries, ways) and
    targets (episodes, queries), else every batch. The interval is mean ± t·s/√n (Student's t).

    Args:
        episodes: episode of each item of the data, in its order; None as said above.
    """

    def __init__(self, episodes: Sequence[Hashable] | None = None) -> None:
        self._episodes = episodes
        self._counts: dict[Hashable, tuple[int, int]] = {}
        self._batches = 0

    def update(self, output: Output) -> None:
        """Count a batch."""
        wrong = (output.require_logits().argmax(-1) != output.batch.targets).cpu()
        number, self._batches = self._batches, self._batches + 1
        found: list[tuple[Hashable, int, int]]
        if wrong.dim() == 2:
            found = [((number, row), int(own.sum()), len(own)) for row, own in enumerate(wrong)]
        elif self._episodes is None:
            found = [(number, int(wrong.sum()), len(wrong))]
        else:
            named = [self._episodes[item] for item in output.batch.items.tolist()]
            found = [(name, int(own), 1) for name, own in zip(named, wrong, strict=True)]
        for name, errors, items in found:
            before = self._counts.get(name, (0, 0))
            self._counts[name] = before[0] + errors, before[1] + items

    @property
    def errors(self) -> NDArray[np.float64]:
        """(episodes,) error of each episode."""
        return np.array([errors / items for errors, items in self._counts.values()], np.float64)

    def accuracy(self) -> tuple[float, float]:
        """Return the mean accuracy, and half the width of its 95 % interval; NaN where there are too few episodes."""
        errors = self.errors
        if len(errors) < 2:
            return (1 - float(errors[0]) if len(errors) else math.nan), math.nan
        spread = float(errors.std(ddof=1)) / math.sqrt(len(errors))
        return 1 - float(errors.mean()), t_quantile((1 + LEVEL) / 2, len(errors) - 1) * spread

    def summary(self) -> dict[str, float]:
        """Return `error` and `error_interval`, half the width of its 95 % interval."""
        accuracy, half = self.accuracy()
        return {"error": 1 - accuracy if self._counts else 0.0, "error_interval": half}
