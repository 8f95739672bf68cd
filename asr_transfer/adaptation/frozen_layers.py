"""Computes once what adaptations of one source model have in common.

That is what lies below the lowest layer that a method trains: with its weights and statistics frozen and the features
not augmented it gives the same activations at every step, in every fold and for every method that freezes as much. And
it is the source model's posteriors, which `kld` holds the outputs to.
"""

from __future__ import annotations

from asr_transfer.data.features import FeatureStore
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.models.contract import SpeechModel
from asr_transfer.training.activations import Activations, frozen_depth
from asr_transfer.training.views import Views


class Shared:
    """What adaptations of `source` to utterances in `store` have in common; give one to all of them.

    Args:
        source: the model that all adaptations start from.
        store: features of all utterances.
        once: whether results are kept; False computes everything anew, frozen layers at every step, to compare with.
    """

    def __init__(self, source: Recogniser, store: FeatureStore, once: bool = True) -> None:
        self.source, self.store, self._once = source, store, once
        self._posteriors = Views(half=False)
        self._activations: dict[int, Activations] = {}
        self._weighed: dict[tuple[bool, float, str], tuple[float, float, float]] = {}

    def weighed(self) -> dict[tuple[bool, float, str], tuple[float, float, float]]:
        """Return what is known of the evidence for warps, by whether transcripts are read, factor and utterance."""
        return self._weighed if self._once else {}

    def posteriors(self) -> Views:
        """Return those of the source model that are known, (frames, tokens) by utterance id and speed."""
        return self._posteriors if self._once else Views(half=False)

    def depth(self, model: SpeechModel, augmented: bool, taps: bool) -> int:
        """Return up to which depth an adapted model can be trained on activations; 0 where it needs features.

        Args:
            model: model after its plan was applied.
            augmented: whether features are changed at random at every step.
            taps: whether an objective reads outputs inside the model, which may lie below.
        """
        return frozen_depth(model) if self._once and not augmented and not taps else 0

    def inputs(self, depth: int) -> FeatureStore:
        """Return the source model's activations at a depth, or the features at depth 0."""
        if not depth:
            return self.store
        if depth not in self._activations:
            self._activations[depth] = Activations(self.store, self.source.model, depth)
        return self._activations[depth]
