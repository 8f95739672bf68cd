"""Trains the source models of a language experiment: shared layers of several languages, plain or kept apart.

A source model is named by its folder, like a point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, get_args

from asr_transfer import ranges
from asr_transfer.adaptation.adaptable_source import train_source
from asr_transfer.config import ModelConfig, SourceConfig, to_record
from asr_transfer.data.manifest import Utterance, by_language
from asr_transfer.data.speech import Spoken
from asr_transfer.data.subsets import nested_subsets
from asr_transfer.decoding.folder import OFFSETS
from asr_transfer.errors import ConfigError, nearest_hint
from asr_transfer.experiments.core.jobs import Job
from asr_transfer.experiments.core.ledger import Data
from asr_transfer.experiments.languages.identification import identified, is_measured
from asr_transfer.experiments.languages.points import Corpora, source_store
from asr_transfer.models.contract import SpeechModel
from asr_transfer.models.folder import update_origin
from asr_transfer.models.kinds import make_network, network_inputs
from asr_transfer.models.shared_private import PrivateConfig, SharedPrivateModel
from asr_transfer.plain import to_plain
from asr_transfer.runs.record import RunRecord
from asr_transfer.training.objective import Objective, Weight
from asr_transfer.transfer.adversarial import DomainAdversarial
from asr_transfer.transfer.orthogonality import Orthogonality

Kind = Literal["plain", "adversarial", "shared-private"]
"""`adversarial`: the shared encoder must not tell the languages apart (Yi et al. 2018). `shared-private`: besides, each
language has a small encoder of its own that must say other things than the shared one (Chen and Cardie 2018)."""


@dataclass(frozen=True)
class SeparationConfig(ranges.Ranged, section="separation"):
    """How source training keeps apart what languages share and what is their own.

    Attributes:
        adversarial: weight of the loss of the discriminator of languages; its gradient's reversal rises with the
            training.
        orthogonality: weight of the overlap of shared and private features.
        private: the private encoders.
    """

    adversarial: ranges.Weight = 0.05
    orthogonality: ranges.Weight = 1.0
    private: PrivateConfig = field(default_factory=PrivateConfig)


@dataclass(frozen=True)
class SourceModel:
    """A source model to train.

    Attributes:
        name: name of the model; its run folder is `sources/NAME`.
        languages: languages among the source corpora's; none stands for all.
        seconds: greatest duration of speech, drawn by the seed from all of these languages; none for all there is.
        config: network, training and seed.
        kind: plain, or with what keeps languages apart.
        separation: settings of the separation.
    """

    name: str
    languages: tuple[str, ...]
    seconds: float | None
    config: SourceConfig
    kind: Kind = "plain"
    separation: SeparationConfig = field(default_factory=SeparationConfig)

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ConfigError(
                f"there is no kind of source model '{self.kind}'.{nearest_hint(self.kind, get_args(Kind))}"
            )

    def settings(self) -> dict[str, Any]:
        """Return what the run record keeps."""
        plain = {"name": self.name, "languages": list(self.languages), "seconds": self.seconds}
        more = {} if self.kind == "plain" else {"kind": self.kind, "separation": to_plain(self.separation)}
        return {**plain, **to_record(self.config), **more}


@dataclass(frozen=True)
class TrainSource(Job):
    """Trains a source model.

    Where held-out source speech is given, its record gets `identification`: see there. The model keeps its offsets.

    Attributes:
        corpora: Manifests of the experiment.
        source: The model.
    """

    corpora: Corpora
    source: SourceModel

    @property
    def name(self) -> str:
        """Its run folder."""
        return f"sources/{self.source.name}"

    def settings(self) -> dict[str, Any]:
        """Return the model's settings."""
        return self.source.settings()

    def data(self) -> Data:
        """Return the speech that it is trained on."""
        return {"train": ("sources", _chosen(self.source, self.corpora))}

    def is_done(self, record: RunRecord) -> bool:
        """Return whether it is trained, and tells languages apart where there is speech to try it on."""
        return record.finished_before and (not self.corpora.source_tests or is_measured(record.values))

    def run(self, record: RunRecord, data: Data) -> None:
        """Train it, and find out how well it tells languages apart."""
        if not record.finished_before:
            self._train(record, list(data["train"][1]))
        if self.corpora.source_tests:
            found, offsets = identified(record.folder, self.corpora)
            if offsets:
                update_origin(record.folder / "model", {OFFSETS: offsets})
            record.finish(identification=found)

    def _train(self, record: RunRecord, train: list[Utterance]) -> None:
        source, path, languages = self.source, record.folder, list(by_language(train))
        store = source_store(self.corpora, network_inputs(source.config.model), source.config.speeds)
        recogniser, result, report = train_source(
            Spoken(train, store),
            Spoken([], store),
            source.config,
            path,
            record.log,
            separating(source.kind, source.separation, languages),
            make_model(source.kind, source.separation),
        )
        card = f"# Shared encoder of {', '.join(languages)}\n\nTrained on {len(train)} utterances.\n"
        recogniser.save(path / "model", card, {"trained_on": record.values["data"]["train"]["checksum"]})
        training = {"cpu_seconds": round(result.cpu_seconds, 2), "steps": result.steps, "left_out": len(report.dropped)}
        record.finish(history=result.history, training=training)


def _chosen(source: SourceModel, corpora: Corpora) -> list[Utterance]:
    """Return what a source model is trained on."""
    train = [u for u in corpora.source_utterances() if not source.languages or u.language in source.languages]
    if source.seconds is not None:
        minutes = min(source.seconds, sum(u.duration for u in train)) / 60
        train = nested_subsets(train, [minutes], source.config.trainer.seed)[minutes]
    return train


def separating(kind: Kind, config: SeparationConfig, languages: Sequence[str]) -> list[tuple[Weight, Objective]]:
    """Return the objectives of a kind of source model.

    Raises:
        ConfigError: there are not two languages to keep apart.
    """
    if kind == "plain":
        return []
    if len(languages) < 2:
        raise ConfigError(
            f"the source model '{kind}' keeps languages apart, but there is only {', '.join(languages)}; give more "
            "source languages, or leave that system out."
        )
    made: list[tuple[Weight, Objective]] = [(config.adversarial, DomainAdversarial("encoder", languages))]
    if kind == "shared-private":
        branches = {language: f"private.{language}" for language in languages}
        made.append((config.orthogonality, Orthogonality(branches)))
    return made


def make_model(kind: Kind, config: SeparationConfig) -> Callable[[ModelConfig, Mapping[str, int]], SpeechModel]:
    """Return what makes the model of a kind, from its network and the tokens of each head."""
    return partial(SharedPrivateModel, private=config.private) if kind == "shared-private" else make_network
