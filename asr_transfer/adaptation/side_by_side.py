"""Runs several searches for the likeliest values side by side, each as if alone.

Each search runs in a thread of its own, which only waits: the losses that all of them ask for at the same time are
computed together, in the thread that called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue
from threading import Thread

import torch

from asr_transfer.adaptation.adapter_likelihood import most_likely_under

Slopes = Callable[[Mapping[int, torch.Tensor]], dict[int, tuple[float, torch.Tensor]]]
"""A function from the (values,) that some searches try, by number, to each one's loss and its (values,) derivatives."""


def most_likely_of_each(slopes: Slopes, widths: Sequence[torch.Tensor], prior: float, steps: int) -> list[torch.Tensor]:
    """Return what `most_likely_under` does for each speaker, all searches side by side.

    Args:
        slopes: function that computes what several searches ask for at once; it is called in this thread alone.
        widths: deviations of the Gaussian of each search, in float64.
        prior: weight of the Gaussians.
        steps: greatest number of steps of each search.
    """
    asked: SimpleQueue[tuple[int, torch.Tensor | None]] = SimpleQueue()
    answers = [SimpleQueue[tuple[float, torch.Tensor] | None]() for _ in widths]
    found: dict[int, torch.Tensor] = {}
    failed: list[Exception] = []

    def search(number: int) -> None:
        def slope(vector: torch.Tensor) -> tuple[float, torch.Tensor]:
            asked.put((number, vector))
            if (answer := answers[number].get()) is None:
                raise _CalledOff
            return answer

        try:
            found[number] = most_likely_under(slope, widths[number], prior, steps)
        except Exception as error:
            failed.append(error)
        asked.put((number, None))

    for number in range(len(widths)):
        Thread(target=search, args=(number,), daemon=True).start()
    running, waiting = set(range(len(widths))), dict[int, torch.Tensor]()
    try:
        while running:
            while len(waiting) < len(running):
                number, vector = asked.get()
                if vector is None:
                    running.discard(number)
                else:
                    waiting[number] = vector
            computed = slopes(dict(sorted(waiting.items()))) if waiting else {}
            waiting.clear()
            for number, answer in computed.items():
                answers[number].put(answer)
    finally:
        for number in running:
            answers[number].put(None)
    if failed:
        raise failed[0]
    return [found[number] for number in range(len(widths))]


class _CalledOff(Exception):
    """Ends a search whose answer will not come."""
