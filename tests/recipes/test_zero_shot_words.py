"""The recipe of words never trained on: settings, words cut out of sentences, and what makes no sense is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from asr_transfer.data.manifest import read_manifest
from asr_transfer.experiments.words.unseen import (
    SEEN_WORDS,
    UNSEEN,
)
from asr_transfer.runs.record import read_record
from tests.real_runs import ROOT, load
from tests.tones import WORDS, make_corpus

HPARAMS = ROOT / "recipes" / "zero_shot_words" / "hparams"


def test_the_recipe_cuts_held_out_words_out_of_sentences(
    feature_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = load(ROOT / "recipes" / "zero_shot_words" / "run.py")
    corpus = tmp_path / "tones"
    make_corpus(corpus, 12)
    spoken = json.dumps({word: " ".join(word) for word in WORDS})
    arguments = [
        "--corpus", str(corpus), "--out", str(tmp_path / "run"), "--workers", "1", "--lexicon_sizes", "[4,8]",
        "--draws", "1", "--material.scheme", "ipa", "--material.spoken", spoken, "--material.hold_out", "[face]",
        "--material.cut", "true", "--material.pieces", "1", "--control", "words", "--learn.units", "phones",
        "--learn.model.encoder", "tdnn", "--learn.model.layers", "2", "--learn.model.dim", "48",
        "--learn.model.channels", "48", "--learn.trainer.steps", "120", "--learn.trainer.validate_every", "0",
        "--learn.trainer.batch_budget", "1500", "--learn.trainer.learning_rate", "0.01",
        "--learn.trainer.device", "cpu", "--learn.augment", "null", "--learn.speeds", "[1.0]",
    ]  # fmt: skip
    assert recipe.script(recipe.Recipe, recipe.run, arguments) == 0, capsys.readouterr().err
    data = tmp_path / "run" / "data"
    assert not any("face" in u.text.split() for u in read_manifest(data / "train.jsonl"))
    test = read_manifest(data / "test.jsonl")
    assert {u.text for u in test} == set(WORDS) and all(u.start is not None for u in test)
    pieces = read_manifest(data / "pieces.jsonl")
    assert pieces and all(2 <= len((u.pronunciation or "").split()) <= 4 for u in pieces)
    values = read_record(tmp_path / "run")["scores"]
    figures: dict[str, Any] = {one["what"]: one["value"] for one in values["figures"]}
    assert figures[f"words {UNSEEN} spelt by a model of words"] == 0.0
    assert figures[f"words {SEEN_WORDS} found, lexicon of 8"] >= 0.5
    assert figures[f"words {UNSEEN} found, lexicon of 8"] >= 0.3
    assert figures[f"phone errors of words {SEEN_WORDS}"] < 0.6
    assert f"words {UNSEEN} found" in (tmp_path / "run" / "table.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(path.stem for path in HPARAMS.glob("*.yaml")))
def test_the_recipes_settings_parse(name: str) -> None:
    if name in ("sentences", "keywords"):
        pytest.skip(f"of the {name} recipe")
    recipe = load(ROOT / "recipes" / "zero_shot_words" / "run.py")
    base = name.split("_")[0] if name.startswith(("an4_", "hsk_")) else {"whisper_tiny": "english"}.get(name)
    files = [word for one in (base, name) if one for word in ("--config", str(HPARAMS / f"{one}.yaml"))]
    source = ["--source", "model"] if name == "hsk_transfer" else []
    seen: list[Any] = []
    assert recipe.script(recipe.Recipe, seen.append, [*files, *source, "--out", "x"]) == 0
    if name.startswith("an4"):
        trainer = seen[0].learn.trainer
        assert (trainer.steps, trainer.batch_budget, seen[0].seeds) == (600, 6000, (0,)), (
            "equal in all that are compared"
        )
        assert {"yes", "no", "may"} <= set(seen[0].material.hold_out) and seen[0].material.cut


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--corpus", "nothing"], "there is no corpus 'nothing'"),
        (["--outputs", "phones"], "use `learn.mode` scratch and `learn.units` phones"),
        (["--aligner", "x"], "ask for them with `material.cut`"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    given: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = load(ROOT / "recipes" / "zero_shot_words" / "run.py")
    arguments = ["--corpus", "hsk", "--out", str(tmp_path / "x"), *given]
    assert recipe.script(recipe.Recipe, recipe.run, arguments) == 1
    assert message in capsys.readouterr().err
