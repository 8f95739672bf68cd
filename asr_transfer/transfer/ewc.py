"""Holds each weight as firmly as it mattered before (elastic weight consolidation, EWC; Kirkpatrick et al. 2017)."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional

from asr_transfer.errors import ConfigError
from asr_transfer.models.modes import evaluating
from asr_transfer.training.criteria import cross_entropy, ctc
from asr_transfer.training.forward import run
from asr_transfer.training.streams import Output, Stream, Task


class EWC:
    """λ/2 Σ_i F_i (θ_i - θ*_i)² over the trainable parameters, F the Fisher information of θ*.

    F is divided by its mean over all values held, so that λ does not depend on the length of utterances or the size
    of the model: with a uniform F the penalty is that of L2-SP with α = λ, but on normalisation layers' parameters too.
    The largest values of F are hundreds of times the mean; plain SGD diverges unless learning rate × λ × F stays below
    2. Parameters that the reference or the Fisher information lack, such as a new head, are free. The optimiser's own
    weight decay must be off.

    A stream is read in every training step. To hold what was learnt from data that is not trained on, compute
    `fisher_information` on it beforehand and pass the result.

    Args:
        weight: λ.
        stream: name of the task on whose items F is computed, with labels that the model itself draws.
        fisher: F by parameter name, in place of a stream.
        reference: θ* by name; None takes the weights that training starts from.
        examples: draws of an item and its labels that F is the mean of.
        seed: random seed of these draws.
        normalise: whether F is normalised.

    Raises:
        ConfigError: a figure is out of range, or not exactly one of `stream` and `fisher` is given.
    """

    taps: Sequence[str] = ()
    replaces_weight_decay = True

    def __init__(
        self,
        weight: float,
        stream: str | None = None,
        fisher: Mapping[str, torch.Tensor] | None = None,
        reference: Mapping[str, torch.Tensor] | None = None,
        examples: int = 64,
        seed: int = 0,
        normalise: bool = True,
    ) -> None:
        if not 0 <= weight < float("inf"):
            raise ConfigError(f"EWC's `weight` must be a number not below 0, got {weight}.")
        if (stream is None) == (fisher is None):
            raise ConfigError(
                "EWC needs the name of a stream to compute Fisher information on, or ready-made `fisher`; give one of "
                "the two."
            )
        _check_examples(examples)
        self.weight, self.stream, self.fisher, self.reference = weight, stream, fisher, reference
        self.examples, self.seed, self.normalise = examples, seed, normalise
        self.streams: Sequence[str] = () if stream is None else (stream,)
        self._held: list[torch.Tensor] = []
        self._reference: list[torch.Tensor] = []
        self._fisher: list[torch.Tensor] = []

    def setup(self, model: nn.Module, streams: Mapping[str, Stream]) -> None:
        """Remember θ* and compute the Fisher information there.

        Raises:
            ConfigError: the stream is no task, or nothing can be held.
        """
        source = model.state_dict() if self.reference is None else self.reference
        fisher = self.fisher if self.fisher is not None else self._compute(model, source, streams)
        self._held, self._reference, self._fisher = [], [], []
        for name, parameter in model.named_parameters():
            fitting = all(name in given and given[name].shape == parameter.shape for given in (source, fisher))
            if parameter.requires_grad and fitting:
                self._held.append(parameter)
                self._reference.append(source[name].detach().clone().to(parameter))
                self._fisher.append(fisher[name].detach().clone().to(parameter))
        values = sum(f.numel() for f in self._fisher)
        mean = sum(float(f.double().sum()) for f in self._fisher) / max(1, values)
        if not 0 < mean < float("inf") or any(bool((f < 0).any()) for f in self._fisher):
            raise ConfigError(
                "EWC finds no trainable weight to hold: the Fisher information of those that the reference has is "
                f"missing, negative or not finite (mean {mean:g}); compute it on the same model and trained weights."
            )
        if self.normalise:
            self._fisher = [f / mean for f in self._fisher]

    def forward(self, model: nn.Module, outputs: Mapping[str, Output]) -> torch.Tensor:
        """Return the penalty."""
        squares = torch._foreach_pow(torch._foreach_sub(self._held, self._reference), 2)
        terms = torch._foreach_mul(squares, self._fisher)
        return self.weight / 2 * torch.stack([term.sum() for term in terms]).sum()

    def _compute(
        self, model: nn.Module, source: Mapping[str, torch.Tensor], streams: Mapping[str, Stream]
    ) -> dict[str, torch.Tensor]:
        assert self.stream is not None
        stream = streams[self.stream]
        if not isinstance(stream, Task):
            raise ConfigError(f"EWC needs a task, but the stream '{self.stream}' has no head.")
        # At θ*, which need not be where training starts.
        consolidated = copy.deepcopy(model)
        with torch.no_grad():
            for name, tensor in consolidated.state_dict().items():
                if name in source and source[name].shape == tensor.shape:
                    tensor.copy_(source[name])
        return fisher_information(consolidated, stream, self.examples, self.seed)


def fisher_information(model: nn.Module, task: Task, examples: int = 64, seed: int = 0) -> dict[str, torch.Tensor]:
    """Estimate the diagonal of the Fisher information, E_x E_{y~p(y|x)} [(∂ log p(y|x) / ∂θ)²].

    Labels are drawn from the model, so those of the data have no influence; drawn from the data they would give the
    "empirical" Fisher information, which is another quantity. Gradients are squared one by one: the square of a batch's
    mean gradient is about as many times too small as the batch is large. For CTC a path is drawn from the
    frames' posteriors and collapsed, which draws from the model's distribution over label sequences.

    Args:
        model: model under the contract; run in evaluation mode and left as it was.
        task: task with the criterion `ctc` or `cross_entropy`; its unaugmented items are the x.
        examples: draws of an item and its labels. No item is drawn once more before all were drawn; one that is drawn
            several times is run once.
        seed: random seed of the draws.

    Returns:
        The mean squared gradient of an item's whole log-likelihood, by name of each parameter that requires one.

    Raises:
        ConfigError: the task has another loss, `examples` is below 1, or no parameter is trainable.
    """
    _check_examples(examples)
    if task.criterion not in (ctc, cross_entropy):
        raise ConfigError(
            f"Fisher information is known for the losses ctc and cross_entropy only, but the task '{task.name}' has "
            "another; compute it yourself and pass `fisher`."
        )
    named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if not named:
        raise ConfigError("Fisher information is asked for, but every parameter is frozen; freeze less.")
    total = {name: torch.zeros_like(parameter) for name, parameter in named.items()}
    device = next(iter(named.values())).device
    generator = torch.Generator().manual_seed(seed)
    # cuDNN's recurrent layers cannot go backward in evaluation mode; torch's own can.
    with evaluating(model), torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        for item, draws in _draws(len(task.data.costs()), examples, generator):
            output = run(model, task, task.data.collate([item]).to(device))
            for draw in range(draws):
                gradients = torch.autograd.grad(
                    _log_likelihood(output, task.criterion is ctc, generator),
                    list(named.values()),
                    retain_graph=draw + 1 < draws,
                    allow_unused=True,
                )
                for name, gradient in zip(named, gradients, strict=True):
                    if gradient is not None:
                        total[name].addcmul_(gradient, gradient, value=1 / examples)
    return total


def _draws(items: int, examples: int, generator: torch.Generator) -> Iterator[tuple[int, int]]:
    """Yield (item, how often it is drawn): all items equally often, the rest of the draws at random."""
    for position, item in enumerate(torch.randperm(items, generator=generator).tolist()):
        draws = examples // items + (position < examples % items)
        if draws:
            yield item, draws


def _log_likelihood(output: Output, sequence: bool, generator: torch.Generator) -> torch.Tensor:
    """Draw the labels of one item from the model's distribution and return their log-likelihood."""
    log_probs = output.require_logits()[0].log_softmax(-1)
    if not sequence:
        return log_probs[_sample(log_probs[None], generator)[0]]
    assert output.lengths is not None
    frames = int(output.lengths[0])
    path = _sample(log_probs[:frames], generator)
    labels = torch.tensor([[token for token, _ in itertools.groupby(path) if token != 0]], dtype=torch.long)
    counts = torch.tensor([[frames], [labels.shape[1]]])
    loss = functional.ctc_loss(
        log_probs[:frames, None], labels.to(log_probs.device), counts[0], counts[1], blank=0, reduction="sum"
    )
    return -loss


def _sample(log_probs: torch.Tensor, generator: torch.Generator) -> list[int]:
    """Draw a token in each row; on the CPU, whose random numbers are the same on every machine."""
    probabilities = log_probs.detach().exp().cpu()
    drawn: list[int] = torch.multinomial(probabilities, 1, generator=generator).squeeze(1).tolist()
    return drawn


def _check_examples(examples: int) -> None:
    if examples < 1:
        raise ConfigError(f"EWC's `examples` must be at least 1, got {examples}.")
