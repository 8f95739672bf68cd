"""Holds the settings of an adaptation experiment: who is held out, source models, methods and their rates."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from asr_transfer.adaptation.choice import AUTO
from asr_transfer.adaptation.film_summary import FILM
from asr_transfer.adaptation.methods import default_learning_rate, find_methods, reads_transcripts, starting
from asr_transfer.adaptation.settings import AdaptConfig, ChoiceConfig, MethodSettings
from asr_transfer.config import ProfileKind, SourceConfig
from asr_transfer.decoding.settings import WritingConfig
from asr_transfer.errors import ConfigError
from asr_transfer.experiments.speakers.protocol import ProtocolConfig
from asr_transfer.ranges import Count, Positive, Ranged, Share

WITHOUT_SOURCE = "auto-without-source"
AUTOMATIC = (AUTO, WITHOUT_SOURCE)
"""Methods that choose among the others on the speaker's own utterances, with and without source utterances."""


@dataclass(frozen=True)
class MethodGrid(Ranged, section="methods"):
    """A method and the learning rates it may choose from on development speakers.

    Attributes:
        name: name of the method, or several joined with `+`; `none` is the source model, which writes in another way.
        learning_rates: candidates.
        amounts: amounts of the protocol's, those that the method is run on; none stands for all.
        title: name in tables, for a method that stands there more than once; empty for the method's own.
        settings: settings of the methods, where they are others than those of `adapt`.
        strength: distance that the weights move, where it is another than that of `adapt`.
        writing: way to write, of models of sequence to sequence, where it is another than the usual one.
    """

    name: str
    learning_rates: tuple[Positive, ...] = (1e-4, 3e-4, 1e-3)
    amounts: tuple[Count, ...] = ()
    title: str = ""
    settings: MethodSettings | None = None
    strength: Share | None = None
    writing: WritingConfig | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.title and not re.fullmatch(r"[\w+.-]+", self.title):
            raise ConfigError(f"`methods`: the title '{self.title}' must be of letters, digits, and any of + . - _.")
        rewritten = self.name == "none" and not self.title and self.writing is not None
        if rewritten or self.title == "none":
            raise ConfigError(
                "`methods`: the source model is always run, as `none`; to let it write in another way, give it another "
                "`title`."
            )

    @property
    def called(self) -> str:
        """Name in tables and trials."""
        return self.title or self.name

    def adapting(self, usual: AdaptConfig) -> AdaptConfig:
        """Return the usual settings of an adaptation with the method's own in their place."""
        own = {name: getattr(self, name) for name in ("settings", "strength") if getattr(self, name) is not None}
        return replace(usual, **own)

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rates that are run: none where the method trains nothing or chooses for itself."""
        if self.name in AUTOMATIC or not default_learning_rate(self.name):
            return (0.0,)
        return self.learning_rates


@dataclass(frozen=True)
class ExperimentConfig(Ranged):
    """An adaptation experiment.

    Attributes:
        protocol: settings of who is held out, of amounts and draws.
        source: settings of the source models.
        model: a source model's folder to use instead of making one, where the protocol has one fold: one that was
            trained on the training split, or a published one.
        adapt: budget of one adaptation, the same for every method.
        choice: settings of the choice by `auto`, which is given source utterances, `auto-without-source` is not.
        methods: methods with their learning rates.
        speaker_profiles: kind of the profiles, `lhuc`, `lin` or `lora`, that are made of each source model's training
            speakers, for methods that go by them. None makes none.
    """

    protocol: ProtocolConfig = field(default_factory=ProtocolConfig)
    source: SourceConfig = field(default_factory=SourceConfig)
    model: Path | None = None
    adapt: AdaptConfig = field(default_factory=AdaptConfig)
    choice: ChoiceConfig = field(default_factory=ChoiceConfig)
    methods: tuple[MethodGrid, ...] = (MethodGrid("full"),)
    speaker_profiles: ProfileKind | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model is not None and self.protocol.hold_out != "splits":
            raise ConfigError("`model` is one source model, but this protocol needs one per fold; leave it out.")
        for grid in self.methods:
            unknown = [amount for amount in grid.amounts if amount not in self.protocol.amounts]
            if unknown:
                raise ConfigError(
                    f"`methods`: {grid.called} asks for {unknown[0]} utterances, which `protocol.amounts` does not "
                    "list."
                )
        several = [grid.called for grid in self.methods if len(grid.rates) > 1]
        if self.protocol.others == "dev" and several:
            raise ConfigError(
                f"`{several[0]}` has several learning rates, but with `protocol.others: dev` there are no development "
                "speakers to choose on; give one rate."
            )
        titles = [grid.called for grid in self.methods]
        if not titles or len(set(titles)) != len(titles):
            raise ConfigError("`methods` must name at least one method, and each once, or by different `title`s.")
        for name in (grid.name for grid in self.methods):
            if name not in AUTOMATIC:
                find_methods(name)
                start, made = starting(name), self.source.speaker_adaptive
                if start == FILM and self.model is None and (made is None or made.kind != FILM):
                    raise ConfigError(
                        f"`methods`: {name} goes by a summary that no source model here is trained with; give "
                        "`source.speaker_adaptive.kind` film."
                    )
                if start not in (None, FILM) and self.speaker_profiles is None and self.model is None:
                    raise ConfigError(
                        f"`methods`: {name} goes by the profiles of the training speakers, which no source model here "
                        "has; give `speaker_profiles`, such as lhuc."
                    )
            if self.protocol.transductive and name != "none" and (name in AUTOMATIC or reads_transcripts(name)):
                raise ConfigError(
                    f"`methods`: {name} reads transcripts, and `protocol.transductive` tests on the utterances that it "
                    "would read them of; leave one of them out."
                )
