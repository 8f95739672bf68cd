"""Runs batches through a model: to logits and to the taps that objectives asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from asr_transfer.data.batching import Batch
from asr_transfer.models.contract import Model
from asr_transfer.models.domains import normalised_for
from asr_transfer.training.streams import Output, Stream, Task

MANY = 3
"""Parts of a joint batch from which their heads run in full precision: processors build a kernel for every new shape of
a product in bf16, which took 2 ms per part and step where the small product itself takes 0.4."""


def run(model: nn.Module, stream: Stream, batch: Batch, taps: Sequence[str] = ()) -> Output:
    """Run a batch through the model and the stream's head, where it has one.

    Args:
        model: model under the contract.
        stream: stream that the batch is of.
        batch: batch on the model's device.
        taps: dotted paths of modules whose outputs are kept.
    """
    with normalised_for(model, stream.domain), _keeping(model, taps) as kept:
        hidden, lengths = model(batch.inputs, batch.lengths)
        hidden, lengths = _answered(model, stream, batch, hidden, lengths)
        return Output(_logits(model, stream, hidden), lengths, kept, batch)


def run_together(
    model: nn.Module, parts: Mapping[str, tuple[Stream, Batch]], taps: Mapping[str, Sequence[str]]
) -> dict[str, Output]:
    """Run the batches of several streams through the model, those of a domain in one pass, each through its own head.

    One pass over a joint batch costs a little less than a pass each, where batches are small and of like lengths.
    Normalisation layers that are not frozen take the statistics of all streams together that share a pass. Batches
    whose inputs do not fit beside each other, such as speech and images, are run one by one.

    Args:
        model: model under the contract.
        parts: stream and batch (on the model's device) by name.
        taps: dotted paths of modules whose outputs are kept, by name of the stream.
    """
    passes: dict[tuple[str | None, str | None], dict[str, tuple[Stream, Batch]]] = {}
    for name, (stream, batch) in parts.items():
        passes.setdefault((stream.domain, None if stream.joint else name), {})[name] = stream, batch
    outputs: dict[str, Output] = {}
    for (domain, _), own in passes.items():
        outputs.update(_run_joint(model, own, taps, domain))
    return {name: outputs[name] for name in parts}


def _run_joint(
    model: nn.Module,
    parts: Mapping[str, tuple[Stream, Batch]],
    taps: Mapping[str, Sequence[str]],
    domain: str | None,
) -> dict[str, Output]:
    """Run batches of one domain in one pass, where they fit beside each other."""
    batches = [batch for _, batch in parts.values()]
    if len(batches) == 1 or not _fit(batches):
        return {name: run(model, stream, batch, taps[name]) for name, (stream, batch) in parts.items()}
    joint = _join(batches)
    wanted = [tap for name in parts for tap in taps[name]]
    with normalised_for(model, domain), _keeping(model, wanted) as kept:
        hidden, lengths = model(joint.inputs, joint.lengths)
    outputs, first = {}, 0
    for name, (stream, batch) in parts.items():
        rows = slice(first, first + len(batch.inputs))  # an item may be an episode of several images
        own = None if lengths is None else lengths[rows]
        # Frames beyond a stream's own longest item are padding of the joint batch.
        frames = slice(None) if own is None else slice(int(own.max()))
        # What a head runs of its own, such as a private encoder, sees this stream alone.
        with _keeping(model, taps[name]) as parted:
            cut, answered = _answered(model, stream, batch, _cut(hidden, rows, frames, hidden), own)
            logits = _logits(model, stream, cut, len(parts) >= MANY)
        for tap in taps[name]:
            if tap in kept:
                parted[tap] = _cut(kept[tap], rows, frames, hidden)
        outputs[name] = Output(logits, answered, parted, batch)
        first = rows.stop
    return outputs


@contextmanager
def _keeping(model: nn.Module, taps: Sequence[str]) -> Iterator[dict[str, torch.Tensor]]:
    """Keep the outputs of the modules at `taps` that run meanwhile, by path."""
    kept: dict[str, torch.Tensor] = {}

    def keeper(tap: str) -> Callable[..., None]:
        def keep(module: nn.Module, arguments: Any, result: Any) -> None:
            kept[tap] = result[0] if isinstance(result, tuple) else result

        return keep

    with ExitStack() as stack:
        for tap in dict.fromkeys(taps):
            handle = model.get_submodule(tap).register_forward_hook(keeper(tap))
            stack.callback(handle.remove)
        yield kept


def _answered(
    model: nn.Module, stream: Stream, batch: Batch, hidden: torch.Tensor, lengths: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return the hidden vectors that a task's head maps: of a model of sequence to sequence those of its decoder."""
    if not isinstance(stream, Task) or not isinstance(model, Model):
        return hidden, lengths
    return model.answered(hidden, lengths, batch.targets, batch.target_lengths)


def _logits(model: nn.Module, stream: Stream, hidden: torch.Tensor, full: bool = False) -> torch.Tensor | None:
    if stream.head is None:
        return None
    head: nn.Module = model.head(stream.head)  # type: ignore[operator]
    if full and isinstance(head, nn.Linear) and hidden.device.type == "cpu" and hidden.dtype != torch.float64:
        with torch.autocast("cpu", enabled=False):
            return head(hidden.float())  # type: ignore[no-any-return]
    # Losses are computed in full precision: log-softmax over bf16 logits loses the small probabilities. Double stays.
    logits: torch.Tensor = head(hidden)
    if logits.dtype in (torch.bfloat16, torch.float16):
        logits = logits.float()
    return logits


def _fit(batches: Sequence[Batch]) -> bool:
    timed = [batch.lengths is not None for batch in batches]
    first = 2 if all(timed) else 1
    shapes = {batch.inputs.shape[first:] for batch in batches}
    return len(shapes) == 1 and (all(timed) or not any(timed)) and len({batch.inputs.dtype for batch in batches}) == 1


def _join(batches: Sequence[Batch]) -> Batch:
    inputs = [batch.inputs for batch in batches]
    if batches[0].lengths is None:
        return replace(batches[0], inputs=torch.cat(inputs))
    longest = max(block.shape[1] for block in inputs)
    padded = [torch.nn.functional.pad(block, (0, 0, 0, longest - block.shape[1])) for block in inputs]
    lengths = torch.cat([batch.lengths for batch in batches if batch.lengths is not None])
    return replace(batches[0], inputs=torch.cat(padded), lengths=lengths)


def _cut(value: torch.Tensor, rows: slice, frames: slice, hidden: torch.Tensor) -> torch.Tensor:
    """Return a stream's rows of a value, and its frames where the value has those of the model's output."""
    timed = value.dim() > 2 and hidden.dim() > 2 and value.shape[1] == hidden.shape[1]
    return value[rows, frames] if timed else value[rows]
