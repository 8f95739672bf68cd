"""Source models of a language experiment: shared layers of several languages, plain or pushed to hold what they share.

A source model is named by its folder, like a point; one that is finished is never trained again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from asr_transfer.config import ModelConfig, SourceConfig, to_plain, to_record
from asr_transfer.data.features import FeatureStore
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.data.subsets import nested_subsets
from asr_transfer.decoding.identify import (
    Identified,
    accuracy,
    confusions,
    fit_offsets,
    head_scores,
    named,
    told_confusions,
)
from asr_transfer.decoding.recogniser import OFFSETS, Recogniser
from asr_transfer.errors import ConfigError, nearest_hint
from asr_transfer.experiments.languages.points import Corpora, load_source, source_store, source_test_store
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.models.folder import update_origin
from asr_transfer.models.shared_private import PrivateConfig, SharedPrivateModel
from asr_transfer.runs.record import RunRecord
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
        name: name of the model; its run folder is `sources/NAME`.
        languages: languages among the source corpora's; none stands for all.
        seconds: greatest duration of speech, drawn by the seed from all of these languages; none for all there is.
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
        return {**plain, **to_record(self.config), **more}


def train_source(job: tuple[str, Corpora, SourceJob]) -> str:
    """Train a source model into `FOLDER/sources/NAME` unless it is there, and return its name.

    Where held-out source speech is given, the record gets `identification`: see there. The model keeps its offsets.
    """
    folder, corpora, source = job
    path = Path(folder) / "sources" / source.name
    record = RunRecord(path, source.settings(), resume=(path / "run.json").is_file())
    held_out, train = corpora.source_test_utterances(), _chosen(source, corpora)
    record.data("train", "sources", train)
    if record.finished_before and (not held_out or _is_measured(record.values.get("identification"))):
        return source.name
    if not record.finished_before:
        _train(source, corpora, train, path, record)
    if held_out:
        found, offsets = identified(path, corpora)
        if offsets:
            update_origin(path / "model", {OFFSETS: offsets})
        record.finish(identification=found)
    return source.name


def _is_measured(found: Any) -> bool:
    """Return whether a record of `identification` has its present form: then it need not be measured again."""
    return isinstance(found, Mapping) and ("calibrated_share" in found or not found.get("utterances", 1))


def identified(folder: Path, corpora: Corpora) -> tuple[dict[str, Any], dict[str, float]]:
    """Return how well the model in a source's run folder tells languages apart, and its offsets: `identification`.

    Args:
        folder: run folder of a source model.
        corpora: whose held-out source speech is identified.
    """
    recogniser = load_source(folder)
    store = source_test_store(corpora, recogniser.model.inputs)
    return identification(recogniser, corpora.source_test_utterances(), store)


def _chosen(source: SourceJob, corpora: Corpora) -> list[Utterance]:
    """Return what a source model is trained on."""
    train = [u for u in corpora.source_utterances() if not source.languages or u.language in source.languages]
    if source.seconds is not None:
        minutes = min(source.seconds, sum(u.duration for u in train)) / 60
        train = nested_subsets(train, [minutes], source.config.trainer.seed)[minutes]
    return train


def _train(source: SourceJob, corpora: Corpora, train: list[Utterance], path: Path, record: RunRecord) -> None:
    store = source_store(corpora, source.config.model.features, source.config.speeds)
    languages = list(by_language(train))
    recogniser, result, report = train_recogniser(
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


def identification(
    recogniser: Recogniser, held_out: Sequence[Utterance], store: FeatureStore
) -> tuple[dict[str, Any], dict[str, float]]:
    """Return how well a model's heads tell languages apart on speech that it was not trained on, and their offsets.

    `raw_share` is of taking the head that is surest, `calibrated_share` of doing so after adding offsets to the heads'
    scores. The offsets come from every second utterance of each language and are tried on the others, and the other
    way round, so that no utterance is judged by what was calibrated on it. `other_voices_share` is the same with
    offsets from other speakers of the language alone: a head may know a voice or a microphone rather than a language.

    Args:
        recogniser: model of several languages.
        held_out: utterances; those in languages without a head, or with fewer than two utterances, are left out.
        store: their features.

    Returns:
        A record of `utterances`, `raw_share` and `calibrated_share`, the means over languages of the share identified
        rightly, `languages` with the same of each, and `confusions`, the most frequent mistakes once calibrated;
        `other_voices_share` is there, also by language, where languages have several speakers. `utterances` is 0 and
        nothing else is there where there are not two languages.
        The offsets of all utterances together, for the model to keep; empty where a head has no utterances.
    """
    heads = list(recogniser.model.heads)
    parts = {name: part for name, part in by_language(held_out).items() if name in heads and len(part) > 1}
    if len(parts) < 2:
        return {"utterances": 0}, {}
    kept = [u for part in parts.values() for u in part]
    truth = [u.language for u in kept]
    scores = head_scores(recogniser, Spoken(kept, store), list(parts))
    halves = [number % 2 for part in parts.values() for number in range(len(part))]
    found = {"raw_share": named(scores), "calibrated_share": _crossed(scores, truth, halves)}
    languages = {name: {"utterances": len(part), **_shares(found, truth, name)} for name, part in parts.items()}
    record = {"utterances": len(kept), **{way: round(accuracy(own, truth), 4) for way, own in found.items()}}
    voices = {name: sorted({u.speaker for u in part}) for name, part in parts.items()}
    several = {name for name, own in voices.items() if len(own) > 1}
    if several:
        # A language with one voice is always calibrated on, and never judged.
        sides = [voices[u.language].index(u.speaker) % 2 if u.language in several else None for u in kept]
        judged = [n for n, side in enumerate(sides) if side is not None]
        others = _crossed(scores, truth, sides)
        record["other_voices_share"] = round(accuracy([others[n] for n in judged], [truth[n] for n in judged]), 4)
        for name in several:
            languages[name].update(_shares({"other_voices_share": others}, truth, name))
    offsets = fit_offsets(scores, truth) if set(parts) == set(heads) else {}
    return {**record, "languages": languages, "confusions": confusions(found["calibrated_share"], truth)}, offsets


def _crossed(scores: Sequence[Mapping[str, float]], truth: Sequence[str], sides: Sequence[int | None]) -> Identified:
    """Return what is identified on each of two sides with offsets from all that is not on it; None is on neither."""
    found = named(scores)
    for side in (0, 1):
        other = [n for n, own in enumerate(sides) if own != side]
        own = [n for n, at in enumerate(sides) if at == side]
        offsets = fit_offsets([scores[n] for n in other], [truth[n] for n in other])
        for n, result in zip(own, named([scores[n] for n in own], offsets), strict=True):
            found[n] = result
    return found


def _shares(found: Mapping[str, Identified], truth: Sequence[str], language: str) -> dict[str, float]:
    rows = [n for n, true in enumerate(truth) if true == language]
    return {way: round(accuracy([own[n] for n in rows], [language] * len(rows)), 4) for way, own in found.items()}


def told(record: Mapping[str, Any]) -> str:
    """Return a line's part on what a source model's record says of telling languages apart; empty without."""
    found = record.get("identification") or {}
    if not found.get("utterances") or not _is_measured(found):
        return ""
    parts = [f"{100 * found['raw_share']:.0f} % without calibration"]
    if "other_voices_share" in found:
        parts.append(f"{100 * found['other_voices_share']:.0f} % calibrated on other voices")
    if found.get("confusions"):
        parts.append(f"most often mistaken: {told_confusions(found['confusions'])}")
    return (
        f"; tells {len(found['languages'])} languages apart in {100 * found['calibrated_share']:.0f} % of new "
        f"recordings ({'; '.join(parts)})"
    )
