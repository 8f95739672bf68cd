"""Runs an experiment on unseen words of sentences: reads its speech and texts, searches, and writes what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from asr_transfer.data.features import build_store
from asr_transfer.data.lexicon import read_for
from asr_transfer.data.manifest import Utterance, read_manifest
from asr_transfer.data.texts import read_texts
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.evaluation.scoring import write_scores
from asr_transfer.experiments.core.ledger import Kept, Ledger
from asr_transfer.experiments.core.tables import show
from asr_transfer.experiments.sentences.searches import WITH, Outcome, run_sentences
from asr_transfer.experiments.sentences.tables import sentences_tables, system_figures
from asr_transfer.experiments.sentences.unheard import halves, require_unheard, trained_manifests
from asr_transfer.experiments.sentences.vocabulary import Material, SentencesConfig
from asr_transfer.ranges import CountOrNone
from asr_transfer.textfiles import write_text


@dataclass(frozen=True, kw_only=True)
class UnheardConfig(SentencesConfig):
    """Experiment on words of sentences that no training text held.

    Attributes:
        model: Model folder, or the run folder of `train` or `adapt`.
        corpus: Folder of the manifests train, dev and test; of `train` only the texts are read.
        head: Name of the head, where the model has several.
        also: Further training texts, a sentence per line, or manifests: all that the model heard of the language.
        more: Texts or manifests whose words join the lexica although nobody need say them.
        lexicon: Pronunciations of all words, for models of phones; others spell the words themselves.
        tune_on: Sentences that the weights are chosen on: `dev`, which the model must not have been trained on, or
            `half-test`, half the texts of `test`, drawn by `draw_seed`, of which the other half is scored; then `dev`
            counts as trained on.
        utterances: Number of utterances that are taken of each of `dev` and `test`; 0 for all.
    """

    model: Path
    corpus: Path
    head: str | None = None
    also: tuple[Path, ...] = ()
    more: tuple[Path, ...] = ()
    lexicon: Path | None = None
    tune_on: Literal["dev", "half-test"] = "dev"
    utterances: CountOrNone = 0


@dataclass(frozen=True)
class Inputs:
    """Everything that an experiment reads.

    Attributes:
        recogniser: Model that listens.
        material: Texts and speech.
        trained: Manifests of the corpus that count as trained on.
        unknown: A line where nothing says what the model was trained on; else empty.
    """

    recogniser: Recogniser
    material: Material
    trained: Sequence[Path]
    unknown: str


def read_inputs(config: UnheardConfig) -> Inputs:
    """Read model, speech and texts, before a run folder is made.

    Raises:
        AsrTransferError: one is missing or damaged; the model was trained on speech that shall choose the weights or be
            scored.
    """
    recogniser = Recogniser.load(config.model, config.head)
    dev, test, trained, unknown = divide(config)
    lexicon = None if config.lexicon is None else read_for(config.lexicon, recogniser.tokens)
    material = Material(read_texts([*trained, *config.also]), dev, test, read_texts(config.more), lexicon)
    return Inputs(recogniser, material, trained, unknown)


def run_unheard(config: UnheardConfig, inputs: Inputs, ledger: Ledger) -> None:
    """Run the searches that are not finished, write tables, hypotheses, lexicon and language model, and print tables.

    Args:
        config: Settings of the experiment.
        inputs: Model, speech and texts, as `read_inputs` returns them.
        ledger: Record of the experiment; of a finished one the tables are printed again.

    Raises:
        AsrTransferError: model, texts and settings do not go together, or the run began with others.
    """
    out, material = ledger.folder, inputs.material
    ledger.data("dev", config.corpus / f"{'dev' if config.tune_on == 'dev' else 'test'}.jsonl", material.dev)
    ledger.data("test", config.corpus / "test.jsonl", material.test)
    if inputs.unknown:
        ledger.say(inputs.unknown)
    ledger.say(f"weights are chosen on {len(material.dev)} sentences, {len(material.test)} others are scored")
    ledger.texts("training texts", ", ".join(map(str, inputs.trained)), material.texts)
    ledger.texts("more words", ", ".join(map(str, config.more)), material.more)
    if ledger.finished_before:
        show(ledger.tables())
        return
    store = build_store([*material.dev, *material.test], inputs.recogniser.model.inputs)
    kept = Kept(out / "checkpoints" / "searches.jsonl")
    outcome = run_sentences(inputs.recogniser, material, store, config, ledger.say, kept)
    figures = system_figures(outcome)
    write_outcome(out, outcome)
    score = write_scores(out, outcome.systems[WITH].hypotheses)
    lists = ("known", "unseen", "held_out", "listed", "unspelled")
    ledger.publish(
        {"test": score.to_plain(), "systems": figures, "effects": outcome.effects},
        {"sentences": sentences_tables(figures, outcome.effects)},
        tuned={name: tuned.to_plain() for name, tuned in outcome.tuned.items()},
        words={name: len(getattr(outcome.vocabulary, name)) for name in lists},
    )


def divide(config: UnheardConfig) -> tuple[list[Utterance], list[Utterance], list[Path], str]:
    """Return the sentences that choose the weights and those that are scored, none of which the model heard.

    Returns:
        Both, the corpus's manifests that count as trained on, and a line where nothing says what the model heard.

    Raises:
        DataError: a manifest is missing, or the model was trained on what must be new to it.
    """
    files = {part: config.corpus / f"{part}.jsonl" for part in ("train", "dev", "test")}
    new = {part: read_manifest(files[part]) for part in (("dev", "test") if config.tune_on == "dev" else ("test",))}
    trained = trained_manifests(config.model)
    require_unheard(config.model, trained or {}, {str(files[part]): own for part, own in new.items()})
    unknown = (
        ""
        if trained is not None
        else (
            f"{config.model}: no run record says what the model was trained on; make sure that it was neither "
            f"{' nor '.join(str(files[part]) for part in new)}"
        )
    )
    taken = {part: own[: config.utterances] if config.utterances else own for part, own in new.items()}
    if config.tune_on == "dev":
        return taken["dev"], taken["test"], [files["train"]], unknown
    dev, test = halves(taken["test"], config.draw_seed)
    return dev, test, [files["train"], files["dev"]], unknown


def write_outcome(folder: Path, outcome: Outcome) -> None:
    """Write the word lists, lexicon and language model, and the hypotheses of every search."""
    for name in ("unseen", "listed", "unspelled"):
        words = getattr(outcome.vocabulary, name)
        write_text(folder / f"{name}.txt", "".join(f"{word}\n" for word in words))
    outcome.lexicon.save(folder / "lexicon.txt")
    outcome.model.write(folder / "lm.arpa")
    for name, system in outcome.systems.items():
        write_scores(folder / "searches" / name.replace(", ", "+").replace(" ", "-"), system.hypotheses)
