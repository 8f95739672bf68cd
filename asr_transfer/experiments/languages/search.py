"""Searches on development speech for the settings of a start from scratch.

A network that has heard nothing else learns a few minutes of speech by heart, and needs other settings than one that
begins with other languages. Transfer is held against a start from scratch that had its chance too: candidates change
its network, its masks or its weight decay, each is trained once with the first seed at one amount, and the one of
fewest errors on the development speech is taken at all amounts and with all seeds, as the system `scratch-tuned`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from asr_transfer.config import SpecAugmentConfig
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.evaluation.percentages import percent
from asr_transfer.experiments.core.ledger import read_finished
from asr_transfer.experiments.core.tables import Table
from asr_transfer.experiments.languages.points import Point
from asr_transfer.languages.config import LanguageConfig
from asr_transfer.plain import to_plain
from asr_transfer.ranges import Count, CountOrNone, Positive, Range, Ranged, Weight

UNCHANGED = "unchanged"
"""The candidate that changes nothing: the system `scratch-long` itself."""


@dataclass(frozen=True)
class Candidate(Ranged, section="search.candidates"):
    """Settings to try for a start from scratch; what is not given stays as it is.

    Attributes:
        name: name of the candidate.
        layers, dim: size of the encoder.
        dropout: probability of dropout between encoder layers.
        masks: number of SpecAugment masks in frequency, and in time.
        mask_width: greatest width of each, in mel bands and in frames.
        weight_decay: AdamW's.
    """

    name: str
    layers: Count | None = None
    dim: Count | None = None
    dropout: Annotated[float, Range(at_least=0, below=1)] | None = None
    masks: CountOrNone | None = None
    mask_width: CountOrNone | None = None
    weight_decay: Weight | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name == UNCHANGED or not self.name.replace("-", "").isalnum():
            raise ConfigError(
                f"`search.candidates`: '{self.name}' must be of letters, digits and hyphens, and not '{UNCHANGED}'."
            )
        if all(value is None for key, value in to_plain(self).items() if key != "name"):
            raise ConfigError(f"`search.candidates`: '{self.name}' changes nothing; give it a setting.")

    def change(self, learn: LanguageConfig) -> LanguageConfig:
        """Return settings of learning a language from scratch with the candidate's in their place."""
        assert learn.model is not None  # it starts from scratch
        network = {n: getattr(self, n) for n in ("layers", "dim", "dropout") if getattr(self, n) is not None}
        masks: dict[str, int] = {}
        augment = learn.augment
        if self.masks is not None:
            masks |= {"frequency_masks": self.masks, "time_masks": self.masks}
        if self.mask_width is not None:
            masks |= {"frequency_width": self.mask_width, "time_width": self.mask_width}
        if masks:
            augment = replace(augment or SpecAugmentConfig(), **masks)
        trainer = learn.trainer
        if self.weight_decay is not None:
            trainer = replace(trainer, weight_decay=self.weight_decay)
        return replace(learn, model=replace(learn.model, **network), augment=augment, trainer=trainer)


@dataclass(frozen=True)
class ScratchSearch(Ranged, section="search"):
    """Which settings are tried for a start from scratch, and where.

    Attributes:
        minutes: amount of the target's speech at which they are tried; None takes the middle one of `scratch-long`.
        candidates: settings, beside the ones of `scratch-long` as they are.
    """

    minutes: Positive | None = None
    candidates: tuple[Candidate, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [candidate.name for candidate in self.candidates]
        if len(set(names)) < len(names):
            raise ConfigError("`search.candidates`: a name stands twice; name each differently.")


@dataclass(frozen=True)
class Tried:
    """A candidate's errors on the development speech.

    Attributes:
        name: name of the candidate.
        error: rate of the figure that also chooses the best weights.
        chosen: whether it has the fewest.
        cpu_seconds: processor time of its training.
    """

    name: str
    error: float
    chosen: bool
    cpu_seconds: float


def plan_search(search: ScratchSearch, start: Point) -> list[Point]:
    """Return a point for each candidate, out of the point of `scratch-long` that they change."""
    return [replace(start, system=f"search-{c.name}", config=c.change(start.config)) for c in search.candidates]


def read_search(folder: Path, search: ScratchSearch, start: Point) -> list[Tried]:
    """Return what finished points of a search reached on the development speech, the fewest errors first.

    Args:
        folder: run folder of the experiment.
        search: settings that were tried.
        start: the point of `scratch-long` that the candidates change.

    Raises:
        DataError: a point was not judged, since its training speech can spell none of the development speech.
    """
    found = []
    for name, point in zip(
        (UNCHANGED, *(c.name for c in search.candidates)), (start, *plan_search(search, start)), strict=True
    ):
        record = read_finished(folder / "points" / point.name)
        if not record["best"]:
            raise DataError(
                f"{folder / 'points' / point.name}: no development speech can be spelled with what the "
                f"{point.minutes:g} minutes of training speech hold, so that no settings can be chosen; search with "
                "more `search.minutes`."
            )
        found.append(Tried(name, float(record["best"][start.config.monitor]), False, record["training"]["cpu_seconds"]))
    found.sort(key=lambda one: one.error)  # of equals the one that stands first in the settings
    return [replace(one, chosen=not number) for number, one in enumerate(found)]


def tuned(search: ScratchSearch, tried: Sequence[Tried], learn: LanguageConfig) -> LanguageConfig:
    """Return settings of learning from scratch as the search chose them."""
    best = next(one.name for one in tried if one.chosen)
    return next((c.change(learn) for c in search.candidates if c.name == best), learn)


def search_table(tried: Sequence[Tried]) -> Table:
    """Return what a search tried."""
    return Table.of(
        tried,
        [
            ("settings", lambda one: one.name),
            ("error on development speech %", lambda one: percent(one.error)),
            ("chosen", lambda one: "yes" if one.chosen else ""),
            ("CPU-s", lambda one: f"{one.cpu_seconds:.0f}"),
        ],
        title="Settings tried for a start from scratch:",
    )
