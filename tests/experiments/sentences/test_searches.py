"""Unseen words of sentences: none without them in the lexicon, most with them, and counts that recount."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.decoding.settings import SearchConfig
from asr_transfer.decoding.tuning import Trial, Tuned
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.evaluation.scoring import Hypothesis, align
from asr_transfer.experiments.core.ledger import Kept
from asr_transfer.experiments.sentences import searches as sentences
from asr_transfer.experiments.sentences.effects import System, effect, missed, outside
from asr_transfer.experiments.sentences.searches import BEAM, HOT, WITH, WITH_HOT, WITHOUT, run_sentences
from asr_transfer.experiments.sentences.tables import sentences_tables, system_figures
from asr_transfer.experiments.sentences.vocabulary import Material, SentencesConfig, choose_words, lexicon_of
from asr_transfer.runs.record import read_record
from tests.real_runs import ROOT, load
from tests.recipe_figures import check, of_data
from tests.small import small_model

TOKENS = Tokens([" ", *"abcdefgh"])
CONFIG = SentencesConfig(order=2, hot_words=4, shortest=3, search=SearchConfig(beam=12, beam_threshold=15.0))


def _words(count: int, seed: int) -> list[str]:
    random = np.random.default_rng(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        found["".join(random.choice(list("abcdefgh"), size=random.integers(3, 6)))] = None
    return list(found)


def _said(words: Sequence[str], count: int, seed: int, name: str) -> list[Utterance]:
    random = np.random.default_rng(seed)
    texts = [" ".join(random.choice(words, size=4)) for _ in range(count)]
    return [Utterance(f"{name}-{n}", f"{n}.wav", 1.0, text, "one", "xx") for n, text in enumerate(texts)]


def _speech(utterance: Utterance, seed: int) -> torch.Tensor:
    """Return (frames, tokens) log-probabilities of a text, three frames a symbol, so noisy that letters go wrong."""
    logits = torch.randn(3 * len(utterance.text), len(TOKENS), generator=torch.Generator().manual_seed(seed))
    logits[:, 0] += 3.0
    for n, symbol in enumerate(utterance.text):
        logits[3 * n + 1, TOKENS.symbols.index(symbol)] += 4.5
    return (1.5 * logits).log_softmax(-1)


@pytest.fixture(scope="module")
def material() -> Material:
    """Return sentences of twelve words, of which the training texts hold eight."""
    words = _words(12, 0)
    return Material(
        [u.text for u in _said(words[:8], 30, 1, "train")], _said(words, 6, 2, "dev"), _said(words, 14, 3, "test")
    )


@pytest.fixture
def recogniser(monkeypatch: pytest.MonkeyPatch) -> Recogniser:
    """Return a recogniser whose network is not asked: what it hears is made from the texts."""

    def heard(recogniser: Recogniser, utterances: Sequence[Utterance], store: object) -> list[torch.Tensor]:
        return [_speech(u, 100 + n) for n, u in enumerate(utterances)]

    monkeypatch.setattr(sentences, "_heard", heard)
    return Recogniser(small_model(heads={"xx": len(TOKENS)}), TOKENS, "xx", {})


def test_a_lexicon_finds_unseen_words_and_none_without_them(recogniser: Recogniser, material: Material) -> None:
    told: list[str] = []
    outcome = run_sentences(recogniser, material, None, CONFIG, told.append)  # type: ignore[arg-type]
    lexicon, boosted, hot = outcome.effects
    assert (lexicon.system, lexicon.baseline) == (WITH, WITHOUT) and (hot.system, hot.baseline) == (HOT, BEAM)
    assert lexicon.recall_before == 0 and lexicon.recall > 0.8 and lexicon.recall_low > 0.3
    assert lexicon.wer <= lexicon.wer_before
    assert hot.recall > hot.recall_before and boosted.recall >= boosted.recall_before
    assert {word for h in outcome.systems[WITHOUT].hypotheses for word in h.hypothesis.split()} <= set(
        outcome.vocabulary.known
    )
    assert not set(outcome.model.words) & set(outcome.vocabulary.unseen)
    assert set(outcome.tuned) == {WITH, WITH_HOT, HOT} and all("dev" in line for line in told[:3])
    systems, changes = sentences_tables(system_figures(outcome), outcome.effects)
    assert [row[0] for row in systems.rows] == [*outcome.systems] and len(changes.rows) == 3
    again = run_sentences(recogniser, material, None, CONFIG)  # type: ignore[arg-type]
    assert again.effects == outcome.effects


def test_held_out_words_leave_lexicon_and_language_model(recogniser: Recogniser, material: Material) -> None:
    config = SentencesConfig(**{**vars(CONFIG), "held_out": 3})
    outcome = run_sentences(recogniser, material, None, config)  # type: ignore[arg-type]
    held = set(outcome.vocabulary.held_out)
    assert len(held) == 3 and held <= set(outcome.vocabulary.unseen) and not held & set(outcome.vocabulary.known)
    assert not held & set(outcome.model.words)
    assert outcome.effects[0].recall_before == 0 and outcome.effects[0].recall > 0.8
    # Other words are held out of the weights' lexicon, where development sentences hold others than the test's.
    fewer = replace(material, dev=[u for u in material.dev if not held & set(u.text.split())])
    assert fewer.dev and not held & set(run_sentences(recogniser, fewer, None, config).model.words)  # type: ignore[arg-type]


def test_weights_are_chosen_on_development_sentences_alone(
    recogniser: Recogniser, material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[list[int], list[str]]] = []

    def caught(posteriors: Any, references: Sequence[str], *rest: Any, **named: Any) -> Tuned:
        asked.append(([len(frames) for frames in posteriors], list(references)))
        return Tuned(SearchConfig(beam=12), (Trial({"lm_weight": 1.0}, 1, 2),))

    monkeypatch.setattr(sentences, "tune", caught)
    monkeypatch.setattr(sentences, "tune_hot_words", caught)
    run_sentences(recogniser, material, None, CONFIG)  # type: ignore[arg-type]
    texts = [u.text for u in material.dev]
    assert asked == 3 * [([3 * len(text) for text in texts], texts)]


def test_words_are_divided_by_the_training_texts() -> None:
    said = [Utterance("1", "1.wav", 1.0, "abc dead xyz bee", "s", "xx")]
    material = Material(["abc cab"], said, said, ["bee fee"])
    found = choose_words(material, said, TOKENS, CONFIG)
    assert found.known == ("abc", "cab", "bee", "fee") and found.unseen == ("dead", "xyz")
    assert found.listed == ("dead",) and found.unspelled == ("xyz",) and found.held_out == ()
    assert lexicon_of(material, found.unseen, found.unspelled, TOKENS).words == ["dead"]
    with pytest.raises(DataError, match="hold every word"):
        choose_words(Material(["abc dead xyz bee"], said, said), said, TOKENS, CONFIG)
    with pytest.raises(DataError, match="lower `shortest`"):
        choose_words(material, said, TOKENS, SentencesConfig(shortest=5))


def test_a_model_of_phones_takes_pronunciations_from_a_lexicon() -> None:
    phones = Tokens(["a", "b"], "phones")
    lexicon = Lexicon.from_pairs([("aba", "a b a"), ("bab", "b a b"), ("bab", "b z"), ("zab", "z a b")])
    said = [Utterance("1", "1.wav", 1.0, "aba bab zab", "s", "xx")]
    material = Material(["aba"], said, said, (), lexicon)
    found = choose_words(material, said, phones, CONFIG)
    assert found.listed == ("bab",) and found.unspelled == ("zab",)
    assert len(lexicon_of(material, (*found.known, *found.unseen), found.unspelled, phones)) == 2


def test_errors_are_divided_between_listed_words_and_the_others() -> None:
    before = ["a x c", "b b", "x a"]
    after = ["a n c", "n b b b", "n a"]
    references = ["a n c", "b b", "n a"]

    def system(name: str, texts: list[str]) -> System:
        found = [Hypothesis(str(n), "s", "xx", r, t) for n, (r, t) in enumerate(zip(references, texts, strict=True))]
        return System(name, found, align(found))

    first, second = system("before", before), system("after", after)
    assert [part.tolist() for part in missed(first.words, ["n"])] == [[1, 0, 1], [1, 0, 1]]
    assert [part.tolist() for part in outside(second.words, ["n"])] == [[0, 2, 0], [2, 2, 1]]
    found = effect(second, first, ["n"])
    assert (found.recall_before, found.recall, found.occurrences) == (0, 1, 2)
    assert (found.wer_before, found.wer, found.others) == (0, 0.4, 5)
    assert found.wer_low is found.wer_high is found.recall_low is None and found.clusters == (2, 3)
    (row,) = sentences_tables({}, [found])[1].rows
    assert row.count("–") == 2, "of three sentences there is no interval"
    # Together the two parts are all errors.
    for one in (first, second):
        assert (missed(one.words, ["n"])[0] + outside(one.words, ["n"])[0]).tolist() == one.words.errors.tolist()


def test_what_cannot_be_run_is_refused(recogniser: Recogniser, material: Material) -> None:
    for name, value in (("order", 0), ("hot_words", 0), ("held_out", -1), ("draw_seed", -1)):
        with pytest.raises(ConfigError, match=f"`{name}` must"):
            SentencesConfig(**{name: value})  # type: ignore[arg-type]
    with pytest.raises(DataError, match="is in both `dev` and `test`"):
        run_sentences(recogniser, Material(material.texts, material.dev, material.dev), None, CONFIG)  # type: ignore[arg-type]
    phones = Recogniser(small_model(heads={"xx": 3}), Tokens(["a", "b"], "phones"), "xx", {})
    with pytest.raises(ConfigError, match="give a lexicon"):
        run_sentences(phones, material, None, CONFIG)  # type: ignore[arg-type]


def test_weights_are_kept_as_they_were(tmp_path: Path) -> None:
    tuned = Tuned(
        SearchConfig(beam=7, beam_threshold=float("inf"), lm_weight=1 / 3), (Trial({"lm_weight": 0.1}, 2, 3),)
    )
    for make in (lambda: tuned, dict):
        assert sentences._tuned(Kept(tmp_path / "parts.jsonl"), "beam", make) == tuned  # type: ignore[arg-type]


@dataclass
class Runs:
    """The recipe on a tiny model, of which a finished run is in `whole`; it notes what is searched, and may be stopped.

    Attributes:
        done: functions that were called, in order.
        stop: calls of a function before it is interrupted.
    """

    folder: Path
    arguments: list[str]
    done: list[str] = field(default_factory=list)
    stop: dict[str, int] = field(default_factory=dict)

    def __call__(self, out: str, *more: str) -> int:
        recipe = load(ROOT / "recipes" / "zero_shot_words" / "sentences.py")
        given = [*self.arguments, "--out", str(self.folder / out), *more]
        return recipe.script(recipe.Recipe, recipe.run, given)  # type: ignore[no-any-return]

    def note(self, name: str, patched: pytest.MonkeyPatch) -> None:
        """Note each call of a function of the searches."""
        plain = getattr(sentences, name)

        def noted(*arguments: object, **options: object) -> object:
            if self.done.count(name) == self.stop.get(name):
                raise KeyboardInterrupt
            self.done.append(name)
            return plain(*arguments, **options)

        patched.setattr(sentences, name, noted)


@pytest.fixture(scope="module")
def run(tone_run: Path, tone_corpus: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Return the recipe, run once as a whole."""
    given = ["--model", str(tone_run), "--corpus", str(tone_corpus["train"].parent), "--search.beam", "8"]
    given += ["--held_out", "3", "--shortest", "3", "--order", "2", "--utterances", "6"]
    runs = Runs(tmp_path_factory.mktemp("sentences"), given)
    with pytest.MonkeyPatch.context() as patched:
        for name in ("tune", "tune_hot_words", "_heard", "_recognised"):
            runs.note(name, patched)
        assert runs("whole") == 0
        assert Counter(runs.done) == {"tune": 2, "tune_hot_words": 1, "_heard": 2, "_recognised": 6}
        yield runs


def test_the_recipe_comes_to_the_figures_that_are_expected(run: Runs) -> None:
    record = read_record(run.folder / "whole")
    systems, effects = record["scores"]["systems"], record["scores"]["effects"]
    exact = {
        "data": of_data(record),
        "occurrences": {one["system"]: [one["listed"], one["occurrences"]] for one in effects},
        "tuned": sorted(record["tuned"]),
    }
    rates = {f"{name}: unseen words missed": 1 - own["unseen"] for name, own in systems.items()}
    check("sentences", exact, {**rates, **{f"{name}: words": own["wer"] for name, own in systems.items()}})


@pytest.mark.parametrize(("name", "stop_after", "left"), [("tune", 1, (1, 1, 6)), ("_recognised", 4, (0, 0, 2))])
def test_the_recipe_goes_on_where_it_was_stopped(
    name: str, stop_after: int, left: tuple[int, ...], run: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    run.done.clear()
    run.stop[name] = stop_after
    assert run(name) == 130 and "--resume goes on" in capsys.readouterr().err
    run.stop.clear()
    assert run(name) == 1 and "give --resume to go on" in capsys.readouterr().err
    assert run(name, "--resume", "--order", "3") == 1 and "`order` was 2 and is now 3" in capsys.readouterr().err
    run.done.clear()
    assert run(name, "--resume") == 0
    assert tuple(map(run.done.count, ("tune", "tune_hot_words", "_recognised"))) == left
    resumed, whole = run.folder / name, run.folder / "whole"
    assert [read_record(resumed)[part] for part in ("scores", "tuned")] == [
        read_record(whole)[part] for part in ("scores", "tuned")
    ]
    for file in ("table.md", "hypotheses.jsonl", "searches/beam+hot-words/hypotheses.jsonl", "lm.arpa"):
        assert (resumed / file).read_bytes() == (whole / file).read_bytes()
    assert not (resumed / "checkpoints").exists()


def test_a_finished_run_prints_its_tables_again_or_is_replaced(run: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    run.done.clear()
    shutil.copytree(run.folder / "whole", run.folder / "again")
    assert run("again", "--resume") == 0 and not run.done
    assert "lexicon with the words" in capsys.readouterr().out
    assert run("again", "--overwrite") == 0 and run.done.count("tune") == 2
