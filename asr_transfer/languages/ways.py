"""Ways to learn a further language, by name: what the model begins with, the speech it hears, and its phases.

Nothing here touches the trainer. A way works on any model that fulfils the contract, in whatever units it spells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from asr_transfer.data.mixture import temperature_shares
from asr_transfer.languages.config import LanguageConfig, Mode
from asr_transfer.languages.phases import (
    Learner,
    Phase,
    all_layers,
    everything,
    from_the_top,
    head_alone,
    top_alone,
)
from asr_transfer.training.streams import Mixture, Task

Start = Literal["nothing", "layers", "column"]
"""`nothing` is a new network; `layers` are the source's, with a new head; `column` is a new network beside another one,
which stays as it is and which it listens to."""


@dataclass(frozen=True)
class Way:
    """A named way to learn a language.

    Attributes:
        name: Name as typed, in `language.mode`.
        summary: One line with its source.
        start: Network that the training begins with.
        needs_source: Whether it takes something from a trained model.
        phases: Function from the model and the settings to its trainings, one after the other.
        stream: Function from the language's task, those of the source's languages and the settings to what is trained
            on.
        uses_source: Whether it reads speech of the source's languages, without which it cannot work.
        on_published: Whether it needs layers on a published encoder.
    """

    name: Mode
    summary: str
    start: Start
    needs_source: bool
    phases: Callable[[Learner, LanguageConfig], list[Phase]]
    stream: Callable[[Task, Sequence[Task], LanguageConfig], Task | Mixture]
    uses_source: bool = False
    on_published: bool = False


def _alone(task: Task, beside: Sequence[Task], config: LanguageConfig) -> Task:
    return task


def _mixed(task: Task, beside: Sequence[Task], config: LanguageConfig) -> Mixture:
    parts = temperature_shares([float(other.data.costs().sum()) for other in beside], config.alpha)
    shares = {other.name: config.source_share * part for other, part in zip(beside, parts, strict=True)}
    return Mixture("train", (task, *beside), shares={task.name: 1 - config.source_share, **shares})


WAYS: dict[Mode, Way] = {
    way.name: way
    for way in (
        Way("scratch", "train a new network of the source's architecture", "nothing", False, everything, _alone),
        Way("head", "train a new head alone, on layers that stay as they are", "layers", True, head_alone, _alone),
        Way(
            "top",
            "train the layers on a published encoder, which stays as it is",
            "layers",
            True,
            top_alone,
            _alone,
            on_published=True,
        ),
        Way("all", "train all layers under a new head (Huang et al. 2013)", "layers", True, all_layers, _alone),
        Way(
            "gradual",
            "train the head first, then from the top layer down one more at a time (Howard and Ruder 2018)",
            "layers",
            True,
            from_the_top,
            _alone,
        ),
        Way("joint", "train all layers on the source's languages as well", "layers", True, all_layers, _mixed, True),
        Way(
            "progressive",
            "train a new network beside the source, which it listens to (Rusu et al. 2016)",
            "column",
            True,
            everything,
            _alone,
        ),
        Way(
            "progressive-random",
            "its control: a new network beside one of random weights",
            "column",
            False,
            everything,
            _alone,
        ),
    )
}
