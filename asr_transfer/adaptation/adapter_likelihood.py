"""Says how likely speech is by CTC as a function of an adapter's parameters, which are one vector.

So few seconds are adapted to by second-order steps on all of them at once, where a training by small batches would not
come to rest.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.optimize import minimize
from torch.nn import functional

from asr_transfer.data.batching import Batch
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import TrainingError
from asr_transfer.models.adapters import PREFIX, AdapterSpec, adapter_state, add_adapter
from asr_transfer.models.speaker_space import flat, names_of, parts_of


class AdapterLikelihood:
    """Loss of speech under an adapter, its negative log-likelihood in nats of all of it.

    The model is frozen and in evaluation mode.

    Args:
        source: the model, without the adapter.
        spec: the adapter.
        batches: speech with targets that CTC can spell.
        device: device to compute on.

    Attributes:
        before: loss of the speech under the model itself.
        frames: output frames of the speech.
        shapes: shapes of the adapter's parameters by their names within it, in the order of the vector.
        start: (values,) parameters without effect, in float64.
    """

    def __init__(
        self, source: Recogniser, spec: AdapterSpec, batches: Sequence[Batch], device: torch.device | str = "cpu"
    ) -> None:
        self._head = source.head
        self._model = copy.deepcopy(source.model).to(device).eval().requires_grad_(False)
        self._batches = [batch.to(device) for batch in batches]
        self._weigh()
        add_adapter(self._model, spec)
        named = names_of(spec, adapter_state(self._model))
        self.shapes = {name: tuple(value.shape) for name, value in named.items()}
        self.start = flat(list(named.values())).cpu()
        self._parameters = [self._model.get_parameter(f"{PREFIX}{spec.kind}.{name}") for name in named]
        for parameter in self._parameters:
            parameter.requires_grad_(False)

    def hearing(self, head: str, batches: Sequence[Batch], device: torch.device | str = "cpu") -> AdapterLikelihood:
        """Return the loss of other speech, through a head, by the same copy of the model; arguments as of the class."""
        other = copy.copy(self)
        other._head, other._batches = head, [batch.to(device) for batch in batches]
        self._set(self.start)
        other._weigh()
        return other

    def loss(self, vector: torch.Tensor) -> float:
        """Return the loss under parameters, a (values,) vector."""
        self._set(vector)
        with torch.no_grad():
            return sum(float(self._loss(batch)[0]) for batch in self._batches)

    def slope(self, vector: torch.Tensor) -> tuple[float, torch.Tensor]:
        """Return the loss and its (values,) derivatives, in float64.

        Raises:
            TrainingError: the loss is not finite.
        """
        self._set(vector)
        total = 0.0
        sums = [torch.zeros_like(parameter, dtype=torch.float64) for parameter in self._parameters]
        for parameter in self._parameters:
            parameter.requires_grad_(True)
        # cuDNN's recurrent layers cannot go backward in evaluation mode; torch's own can.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            for batch in self._batches:
                loss, _ = self._loss(batch)
                for held, found in zip(sums, torch.autograd.grad(loss, self._parameters), strict=True):
                    held += found
                total += float(loss.detach())
        for parameter in self._parameters:
            parameter.requires_grad_(False)
        require_finite([total])
        return total, flat(sums).cpu()

    @torch.no_grad()
    def _weigh(self) -> None:
        found = [self._loss(batch) for batch in self._batches]
        self.before, self.frames = sum(float(loss) for loss, _ in found), sum(count for _, count in found)

    @torch.no_grad()
    def _set(self, vector: torch.Tensor) -> None:
        parts = parts_of(vector, list(self.shapes.values()))
        for parameter, part in zip(self._parameters, parts, strict=True):
            parameter.copy_(part)

    def _loss(self, batch: Batch) -> tuple[torch.Tensor, int]:
        """Return the summed loss of a batch, and its output frames."""
        assert batch.lengths is not None and batch.target_lengths is not None
        hidden, lengths = self._model(batch.inputs, batch.lengths)
        chances = self._model.head(self._head)(hidden).log_softmax(-1).transpose(0, 1)
        loss = functional.ctc_loss(chances, batch.targets, lengths, batch.target_lengths, reduction="sum")
        return loss, int(lengths.sum())


def require_finite(losses: Sequence[float]) -> None:
    """Refuse losses of speakers' recordings of which one is not finite.

    Raises:
        TrainingError: one is not.
    """
    if not np.isfinite(losses).all():
        raise TrainingError("the loss of a speaker's recordings is not finite; look for damaged ones.")


def most_likely_under(
    slope: Callable[[torch.Tensor], tuple[float, torch.Tensor]], widths: torch.Tensor, prior: float, steps: int
) -> torch.Tensor:
    """Return the values that are likeliest given speech and a Gaussian around 0 (maximum a posteriori).

    They minimise loss(x) + prior / 2 · Σ (x / widths)² by L-BFGS over x / widths.

    Args:
        slope: function from values to the loss and its derivatives.
        widths: deviations of the Gaussian, in float64.
        prior: weight of the Gaussian; 1 is Bayes' own, infinite gives 0.
        steps: greatest number of steps.
    """
    if not len(widths) or np.isinf(prior):
        return torch.zeros(len(widths), dtype=torch.float64)

    def cost(whitened: np.ndarray) -> tuple[float, np.ndarray]:
        loss, found = slope(widths * torch.from_numpy(whitened))
        return loss + prior / 2 * float(whitened @ whitened), (widths * found).numpy() + prior * whitened

    options = {"maxiter": steps, "maxfun": 2 * steps}
    best = minimize(cost, np.zeros(len(widths)), jac=True, method="L-BFGS-B", options=options)
    return widths * torch.from_numpy(np.asarray(best.x))
