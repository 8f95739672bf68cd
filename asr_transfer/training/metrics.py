"""Computes figures of a validation beside its loss."""

from __future__ import annotations

from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.greedy import greedy
from asr_transfer.evaluation.scoring import score
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
