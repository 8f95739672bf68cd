"""Source models of a language experiment: shared layers of several languages, plain or pushed to hold what they share.

A source model is named by its folder, like a point; one that is finished is never trained again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from asr_transfer.config import ModelConfig, SourceConfig, to_plain
from asr_transfer.data.features import FeatureStore
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import SpeechData
from asr_transfer.data.subsets import nested_subsets
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, nearest_hint
from asr_transfer.evaluation.record import RunRecord
from asr_transfer.languages.identify import accuracy, fit_offsets, head_scores
from asr_transfer.languages.points import Corpora, load_source, source_store, source_test_store
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.models.shared_private import PrivateConfig, SharedPrivateModel
from asr_transfer.training.objective import Objective, Weight
from asr_transfer.training.session import by_language, train_recogniser
from asr_transfer.transfer.adversarial import DomainAdversarial
from asr_transfer.transfer.orthogonality import Orthogonality

Kind = Literal["plain", "adversarial", "shared-private"]
"""`adversarial`: the shared encoder must not tell the languages apart (Yi et al. 2018). `shared-private`: besides, each
language has a small encoder of its own that must say other things than the shared one (Chen and Cardie 2018)."""


@dataclass(frozen=True)
class SeparationConfig:
    """How source training keeps apart what languages share and what is their own.

    Attributes:
        adversarial: weight of the loss of the discriminator of languages; its gradient's reversal rises with the
            training.
        orthogonality: weight of the overlap of shared and private features.
        private: the private encoders.
    """

    adversarial: float = 0.05
    orthogonality: float = 1.0
    private: PrivateConfig = field(default_factory=PrivateConfig)

    def __post_init__(self) -> None:
        for name in ("adversarial", "orthogonality"):
            if getattr(self, name) < 0:
                raise ConfigError(f"`separation.{name}` must not be negative, got {getattr(self, name)}.")


@dataclass(frozen=True)
class SourceJob:
    """A source model to train.

    Attributes:
        name: of the model; its run folder is `sources/NAME`.
        languages: of the source corpora's; none stands for all.
        seconds: of speech at most, drawn by the seed from all of these languages; none for all there is.
        config: network, training and seed.
        kind: plain, or with what keeps languages apart.
        separation: how much of that.
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
        return {**plain, **to_plain(self.config), **more}


def train_source(job: tuple[str, Corpora, SourceJob]) -> str:
    """Train a source model into `FOLDER/sources/NAME` unless it is there, and return its name.

    Where held-out source speech is given, the record gets `identification`: see there.
    """
    folder, corpora, source = job
    path = Path(folder) / "sources" / source.name
    record = RunRecord(path, source.settings(), resume=(path / "run.json").is_file())
    held_out = corpora.source_test_utterances()
    if record.finished_before and (not held_out or "identification" in record.values):
        return source.name
    if not record.finished_before:
        _train(source, corpora, path, record)
    if held_out:
        store = source_test_store(corpora, source.config.model.features)
        record.finish(identification=identification(load_source(path), held_out, store))
    return source.name


def _train(source: SourceJob, corpora: Corpora, path: Path, record: RunRecord) -> None:
    store = source_store(corpora, source.config.model.features, source.config.speeds)
    train = [u for u in corpora.source_utterances() if not source.languages or u.language in source.languages]
    if source.seconds is not None:
        minutes = min(source.seconds, sum(u.duration for u in train)) / 60
        train = nested_subsets(train, [minutes], source.config.trainer.seed)[minutes]
    languages = list(by_language(train))
    recogniser, result, report = train_recogniser(
        train,
        [],
        store,
        source.config,
        path,
        record.log,
        separating(source.kind, source.separation, languages),
        make_model(source.kind, source.separation),
    )
    record.data("train", "sources", train)
    card = f"# Shared encoder of {', '.join(languages)}\n\nTrained on {len(train)} utterances.\n"
    recogniser.save(path / "model", card, {"trained_on": record.values["data"]["train"]["checksum"]})
    record.finish(
        history=result.history,
        training={"cpu_seconds": round(result.cpu_seconds, 2), "steps": result.steps, "left_out": len(report.dropped)},
    )


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


def make_model(kind: Kind, config: SeparationConfig) -> Callable[[ModelConfig, Mapping[str, int]], AcousticModel]:
    """Return what makes the model of a kind, from its network and the tokens of each head."""
    return partial(SharedPrivateModel, private=config.private) if kind == "shared-private" else AcousticModel


def identification(recogniser: Recogniser, held_out: Sequence[Utterance], store: FeatureStore) -> dict[str, Any]:
    """Return how well a model's heads tell their languages apart on speech that it was not trained on.

    `raw` takes the head that is surest, `calibrated` after adding offsets to the heads' scores. The offsets come from
    every second utterance of each language and are tried on the others, and the other way round, so that no utterance
    is judged by what was calibrated on it.

    Args:
        recogniser: of several languages.
        held_out: utterances; those in languages without a head, or with fewer than two utterances, are left out.
        store: their features.

    Returns:
        `utterances`, `raw` and `calibrated`, the means over languages of the share identified rightly, and `languages`
        with the same of each; `utterances` is 0 and nothing else is there where there are not two languages.
    """
    heads = set(recogniser.model.heads)
    parts = {name: part for name, part in by_language(held_out).items() if name in heads and len(part) > 1}
    if len(parts) < 2:
        return {"utterances": 0}
    kept = [u for part in parts.values() for u in part]
    halves = [number % 2 for part in parts.values() for number in range(len(part))]
    truth = [u.language for u in kept]
    scores = head_scores(recogniser, SpeechData(kept, store, recogniser.tokens, with_targets=False), list(parts))
    shifted: list[dict[str, float]] = [{} for _ in kept]
    for half in (0, 1):
        other = [n for n, own in enumerate(halves) if own != half]
        offsets = fit_offsets([scores[n] for n in other], [truth[n] for n in other])
        for n, own in enumerate(halves):
            if own == half:
                shifted[n] = {name: score + offsets[name] for name, score in scores[n].items()}
    found = {"raw": scores, "calibrated": shifted}
    named = {way: [(max(own, key=lambda name: own[name]), own) for own in values] for way, values in found.items()}
    languages: dict[str, dict[str, float]] = {}
    for language in parts:
        rows = [n for n, true in enumerate(truth) if true == language]
        shares = {way: accuracy([values[n] for n in rows], [language] * len(rows)) for way, values in named.items()}
        languages[language] = {"utterances": len(rows), **{way: round(share, 4) for way, share in shares.items()}}
    total = {way: round(accuracy(values, truth), 4) for way, values in named.items()}
    return {"utterances": len(kept), **total, "languages": languages}


def told(record: Mapping[str, Any]) -> str:
    """Return a line's part on what a source model's record says of telling languages apart; empty without."""
    found = record.get("identification") or {}
    if not found.get("utterances"):
        return ""
    return (
        f"; tells {len(found['languages'])} languages apart in {100 * found['calibrated']:.0f} % of new recordings "
        f"({100 * found['raw']:.0f} % without calibration)"
    )
