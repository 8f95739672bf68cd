"""Declares the experiment on a user's whole path: a language, then a speaker of it, then words."""

# Annotations are not postponed here: jsonargparse resolves postponed ones of a recipe's first base class alone.

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from asr_transfer.adaptation.settings import AdaptConfig, ChoiceConfig
from asr_transfer.config import SourceConfig, TrainerConfig, Units
from asr_transfer.errors import ConfigError
from asr_transfer.languages.choice import plan_ways
from asr_transfer.languages.learning_settings import LearningSettings
from asr_transfer.ranges import Count, CountOrNone, Filled, Positive, Ranged, Seeds
from data_prep.made_up_languages import MadeUpLanguages

Places = tuple[str, ...]
"""Manifests, each as CORPUS/SPLIT."""


@dataclass(frozen=True)
class Language(Ranged, section="languages"):
    """A language that is learnt, and its recordings.

    Attributes:
        language: ISO 639 code of the language.
        train: manifests, as CORPUS/SPLIT, that the minutes are drawn from.
        dev: manifests that choose weights and ways.
        heard: manifests of voices that are trained on, to score on; may be empty.
        new: manifests of a speaker who is never trained on, to adapt to and to score on; may be empty.
        words: recordings that are looked for in a lexicon: those of the `new` speaker or of the `heard` voices.
        amounts: minutes of speech, rising.
        adapted: amounts whose models are adapted to the new speaker; None for all.
        units: kind of text that a token of the head is.
    """

    language: str
    train: Annotated[Places, Filled(distinct=True)]
    dev: Annotated[Places, Filled(distinct=True)]
    heard: Places = ()
    new: Places = ()
    words: Literal["new", "heard"] = "new"
    amounts: Annotated[tuple[Positive, ...], Filled(rising=True)] = (5.0,)
    adapted: tuple[float, ...] | None = None
    units: Units = "characters"

    def __post_init__(self) -> None:
        super().__post_init__()
        for place in (*self.train, *self.dev, *self.heard, *self.new):
            if len(place.split("/")) < 2:
                raise ConfigError(f"`languages`: '{place}' must be CORPUS/SPLIT, such as fillets-nl/train.")
        if not self.heard and not self.new:
            raise ConfigError(f"`languages`: '{self.language}' has nothing to score on; give `heard` or `new`.")
        if not getattr(self, self.words):
            raise ConfigError(f"`languages`: '{self.language}' has no `{self.words}` recordings to find `words` in.")
        if unknown := sorted(set(self.adapted or ()) - set(self.amounts)):
            raise ConfigError(f"`languages`: `adapted` names {unknown[0]:g} minutes, which is not among the `amounts`.")

    def is_adapted(self, minutes: float) -> bool:
        """Return whether models of so many minutes are adapted to the new speaker."""
        return bool(self.new) and (self.adapted is None or minutes in self.adapted)


@dataclass(frozen=True)
class OwnLanguageConfig(Ranged):
    """An experiment over a user's path.

    Attributes:
        languages: languages that are learnt; the source model is trained without any of them.
        seeds: random seeds of subsets, trainings and draws of sentences, which share one source model; there is
            no interval below four.
        source: training of the source model.
        keep_source: training utterances that the source model keeps, to mix in.
        keep_judged: utterances of each of its languages that it keeps to see what they lose.
        learn: learning of a language, as `asr-transfer learn` takes it.
        sentences: sentences of the new speaker that a model is adapted to.
        tested: greatest number of recordings of each kind that are scored.
        adapt: adaptation.
        choice: choice of its method.
        lexicon: words of the lexicon.
        longest: greatest number of words of a recording that is looked for in the lexicon.
        made_up: synthetic voices that speak all languages, instead of corpora; None for corpora.
    """

    languages: Annotated[tuple[Language, ...], Filled()] = ()
    seeds: Seeds = (0, 1, 2, 3)
    source: SourceConfig = field(default_factory=SourceConfig)
    keep_source: Count = 1000
    keep_judged: Count = 20
    learn: LearningSettings = field(default_factory=LearningSettings)
    sentences: Count = 10
    tested: Count = 200
    adapt: AdaptConfig = field(default_factory=AdaptConfig)
    choice: ChoiceConfig = field(default_factory=ChoiceConfig)
    lexicon: Count = 200
    longest: CountOrNone = 3
    made_up: MadeUpLanguages | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        codes = [one.language for one in self.languages]
        if len(set(codes)) < len(codes):
            raise ConfigError("`languages` must hold no language twice.")
        if self.learn.way != "auto":
            raise ConfigError("`learn.way` is auto here, which tries all ways; leave it out.")
        if self.made_up is not None and (absent := sorted({*codes} - {*self.made_up.languages})):
            raise ConfigError(f"`made_up.languages` lacks '{absent[0]}', which is to be learnt; add it there.")

    def scratch_steps(self, minutes: float) -> int:
        """Return the steps from scratch that read as much speech as the source's training and the learning together.

        Args:
            minutes: amount of speech, of which `learn` tries so many ways with so many steps each.
        """
        before = self.source.trainer
        ways = plan_ways(minutes, known=False, replayable=True).ways
        learning = len(ways) * self.learn.steps_for(60 * minutes)
        return learning + round(before.steps * before.batch_budget / self.learn.batch_budget)

    def shortened(self) -> "OwnLanguageConfig":
        """Return a small experiment of the same kind: one language, its first amount and seed, a tenth of the steps."""
        first = self.languages[0]
        amounts = first.amounts[:1]
        adapted = None if first.adapted is None or amounts[0] in first.adapted else amounts
        small = None if self.made_up is None else self.made_up.shortened(first.language)
        return replace(
            self,
            languages=(replace(first, amounts=amounts, adapted=adapted),),
            seeds=self.seeds[:1],
            source=replace(self.source, trainer=_short(self.source.trainer)),
            learn=replace(self.learn, steps=max(10, self.learn.steps_for(60 * amounts[0]) // 5)),
            tested=min(40, self.tested),
            keep_judged=min(8, self.keep_judged),
            made_up=small,
        )


def languages_of(config: OwnLanguageConfig) -> Mapping[str, Language]:
    """Return what is learnt by its code."""
    return {one.language: one for one in config.languages}


def _short(trainer: TrainerConfig) -> TrainerConfig:
    return replace(trainer, steps=max(10, trainer.steps // 5), validate_every=trainer.validate_every // 5)
