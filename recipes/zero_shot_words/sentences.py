"""Finds words of sentences that no training text held, by a lexicon or a list of hot words, and prints what that costs.

    python recipes/zero_shot_words/sentences.py --config recipes/zero_shot_words/hparams/sentences.yaml \\
        --model runs/model --corpus data/corpus --out runs/sentences

Takes a trained model of characters or pieces of words (or of phones, with a lexicon) and a corpus with the manifests
train, dev and test. The weights of the searches are chosen on speech that the model was not trained on and that is not
scored. A stopped run goes on with --resume.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from asr_transfer.cli import script
from asr_transfer.commands.lm import read_texts
from asr_transfer.config import to_plain, to_record
from asr_transfer.data.features import build_store
from asr_transfer.data.lexicon import read_for
from asr_transfer.data.manifest import Utterance, read_manifest
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError
from asr_transfer.evaluation.scoring import write_scores
from asr_transfer.experiments.sentences.effects import Effect
from asr_transfer.experiments.sentences.finished import Finished, file_name
from asr_transfer.experiments.sentences.searches import WITH, Outcome, run_sentences
from asr_transfer.experiments.sentences.tables import (
    NOTE,
    effects_table,
    sentences_markdown,
    system_figures,
    systems_table,
)
from asr_transfer.experiments.sentences.unheard import halves, require_unheard, trained_manifests
from asr_transfer.experiments.sentences.vocabulary import Material, SentencesConfig
from asr_transfer.runs.record import RunRecord


@dataclass(frozen=True, kw_only=True)
class Recipe(SentencesConfig):
    """Find words of sentences that no training text held.

    Attributes:
        model: model folder, or the run folder of `train` or `adapt`.
        corpus: folder of the manifests train, dev and test; of `train` only the texts are read.
        out: run folder to write.
        head: name of the head, where the model has several.
        also: further training texts, a sentence per line, or manifests: all that the model heard of the language.
        more: texts or manifests whose words join the lexica although nobody need say them.
        lexicon: pronunciations of all words, for models of phones; others spell the words themselves.
        tune_on: sentences that the weights are chosen on: `dev`, which the model must not have been trained on, or
            `half-test`, half the texts of `test`, drawn by `draw_seed`, of which the other half is scored; then `dev`
            counts as trained on.
        utterances: take so many of each of `dev` and `test` only; 0 for all.
        resume: go on with a run that was stopped; searches that are finished are not run again.
        overwrite: replace the run that `out` holds.
    """

    model: Path
    corpus: Path
    out: Path
    head: str | None = None
    also: tuple[Path, ...] = ()
    more: tuple[Path, ...] = ()
    lexicon: Path | None = None
    tune_on: Literal["dev", "half-test"] = "dev"
    utterances: int = 0
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.utterances < 0:
            raise ConfigError(f"`utterances` must not be negative, got {self.utterances}.")


def run(recipe: Recipe) -> None:
    """Run the experiment and write tables, hypotheses of every search, lexicon, language model and `run.json`.

    Raises:
        AsrTransferError: what is wrong with corpus, model and settings; the model was trained on what shall choose the
            weights or be scored.
    """
    recogniser = Recogniser.load(recipe.model, recipe.head)
    dev, test, own, unknown = divide(recipe)
    texts = read_texts([*own, *recipe.also])
    lexicon = None if recipe.lexicon is None else read_for(recipe.lexicon, recogniser.tokens)
    material = Material(texts, dev, test, read_texts(recipe.more), lexicon)
    record = RunRecord(recipe.out, to_record(recipe), resume=recipe.resume, overwrite=recipe.overwrite)
    record.data("dev", recipe.corpus / f"{'dev' if recipe.tune_on == 'dev' else 'test'}.jsonl", dev)
    record.data("test", recipe.corpus / "test.jsonl", test)
    if unknown:
        record.say(unknown)
    record.say(f"weights are chosen on {len(dev)} sentences, {len(test)} others are scored")
    record.texts("training texts", ", ".join(map(str, own)), texts)
    record.texts("more words", ", ".join(map(str, recipe.more)), material.more)
    if record.finished_before:
        scores = record.values["scores"]
        print_tables(scores["systems"], [Effect(**effect) for effect in scores["effects"]])
        return
    store = build_store([*dev, *test], recogniser.model.inputs)
    finished = Finished(recipe.out / "checkpoints", record.fingerprint())
    outcome = run_sentences(recogniser, material, store, recipe, record.say, finished)
    write_outcome(recipe.out, outcome)
    score = write_scores(recipe.out, outcome.systems[WITH].hypotheses)
    record.finish(
        scores={
            "test": score.to_plain(),
            "systems": system_figures(outcome),
            "effects": [to_plain(one) for one in outcome.effects],
        },
        tuned={name: tuned.to_plain() for name, tuned in outcome.tuned.items()},
        words={
            name: len(getattr(outcome.vocabulary, name))
            for name in ("known", "unseen", "held_out", "listed", "unspelled")
        },
    )
    print_tables(system_figures(outcome), outcome.effects)


def divide(recipe: Recipe) -> tuple[list[Utterance], list[Utterance], list[Path], str]:
    """Return the sentences that choose the weights and those that are scored, none of which the model heard.

    Returns:
        Both, the corpus's manifests that count as trained on, and a line where nothing says what the model heard.

    Raises:
        DataError: a manifest is missing, or the model was trained on what must be new to it.
    """
    files = {part: recipe.corpus / f"{part}.jsonl" for part in ("train", "dev", "test")}
    new = {part: read_manifest(files[part]) for part in (("dev", "test") if recipe.tune_on == "dev" else ("test",))}
    trained = trained_manifests(recipe.model)
    require_unheard(recipe.model, trained or {}, {str(files[part]): own for part, own in new.items()})
    unknown = (
        ""
        if trained is not None
        else (
            f"{recipe.model}: no run record says what the model was trained on; make sure that it was neither "
            f"{' nor '.join(str(files[part]) for part in new)}"
        )
    )
    taken = {part: own[: recipe.utterances] if recipe.utterances else own for part, own in new.items()}
    if recipe.tune_on == "dev":
        return taken["dev"], taken["test"], [files["train"]], unknown
    dev, test = halves(taken["test"], recipe.draw_seed)
    return dev, test, [files["train"], files["dev"]], unknown


def print_tables(figures: Mapping[str, Mapping[str, float]], effects: Sequence[Effect]) -> None:
    """Print how each search does, and what the words change."""
    console = Console(width=None if sys.stdout.isatty() else 200)
    for rows in (systems_table(figures), effects_table(effects)):
        table = Table(*rows[0])
        for row in rows[1:]:
            table.add_row(*row)
        console.print(table)
    console.print(NOTE)


def write_outcome(folder: Path, outcome: Outcome) -> None:
    """Write `table.md`, the word lists, lexicon and language model, and the hypotheses of every search."""
    (folder / "table.md").write_text(sentences_markdown(system_figures(outcome), outcome.effects), encoding="utf-8")
    for name in ("unseen", "listed", "unspelled"):
        words = getattr(outcome.vocabulary, name)
        (folder / f"{name}.txt").write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
    outcome.lexicon.save(folder / "lexicon.txt")
    outcome.model.write(folder / "lm.arpa")
    for name, system in outcome.systems.items():
        write_scores(folder / "searches" / file_name(name), system.hypotheses)


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
