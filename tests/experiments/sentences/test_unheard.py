"""Weights of searches are chosen on sentences that the model never heard, and that are not scored."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from asr_transfer.data.manifest import Utterance, checksum, read_manifest
from asr_transfer.errors import DataError
from asr_transfer.experiments.sentences.unheard import halves, require_unheard, trained_manifests
from asr_transfer.runs.record import read_record
from tests.real_runs import ROOT, load


def _said(text: str, name: str) -> Utterance:
    return Utterance(name, f"{name}.wav", 1.0, text, "ann", "xx")


def _record(folder: Path, data: Mapping[str, list[Utterance]], path: str = "x.jsonl") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    entries = {name: {"path": path, "checksum": checksum(own)} for name, own in data.items()}
    (folder / "run.json").write_text(json.dumps({"format": 1, "data": entries}), encoding="utf-8")


def test_sentences_are_halved_by_text() -> None:
    said = [_said(f"text {n % 7}", str(n)) for n in range(30)]
    first, second = halves(said, 0)
    assert sorted(u.id for u in (*first, *second)) == sorted(u.id for u in said)
    one, two = {u.text for u in first}, {u.text for u in second}
    assert not one & two and (len(one), len(two)) == (3, 4)
    assert halves(said, 0) == (first, second) and halves(list(reversed(said)), 0)[0] == list(reversed(first))
    assert any(halves(said, seed)[0] != first for seed in range(1, 5))
    with pytest.raises(DataError, match="fewer than two texts"):
        halves([_said("a", "1"), _said("a", "2")], 0)


def test_the_records_above_a_model_say_what_it_was_trained_on(tmp_path: Path) -> None:
    parts = {name: [_said(name, name)] for name in ("heard", "chosen", "held", "target", "point", "tested")}
    _record(
        tmp_path / "curve",
        {
            "prompts-xx train": parts["heard"],
            "prompts-xx dev": parts["chosen"],
            "source test prompts-xx": parts["held"],
            "target train words": parts["target"],
            "target test words": parts["tested"],
        },
    )
    model = tmp_path / "curve" / "sources" / "all-0" / "model"
    _record(model.parent, {"train": parts["point"], "prompts-xx dev": parts["tested"]})
    model.mkdir()
    for folder in (model, model.parent):
        trained = trained_manifests(folder)
        assert trained is not None
        assert set(trained) == {checksum(parts[name]) for name in ("heard", "chosen", "target", "point")}
        require_unheard(folder, trained, {"held": parts["held"], "tested": parts["tested"]})
        with pytest.raises(DataError, match=r"dev.jsonl: .*all-0.* was trained on it.*\(prompts-xx dev\).*half-test"):
            require_unheard(folder, trained, {"dev.jsonl": parts["chosen"]})
    (model.parent / "run.json").write_text("{")
    assert len(trained_manifests(model) or ()) == 3
    alone = tmp_path / "alone"
    _record(alone, {"train": parts["point"]})
    assert trained_manifests(alone) == {checksum(parts["point"]): "train"}
    _record(alone, {"train": parts["point"]}, "sources")
    assert trained_manifests(alone) is None, "of an experiment's model without the experiment nobody knows"
    assert trained_manifests(tmp_path / "elsewhere") is None


def test_the_recipe_tunes_on_half_the_test_sentences_of_a_model_that_heard_the_others(
    tone_run: Path, tone_corpus: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = load(ROOT / "recipes" / "zero_shot_words" / "sentences.py")
    corpus = tone_corpus["train"].parent
    model = tmp_path / "curve" / "sources" / "all-0"
    shutil.copytree(tone_run, model)
    splits = {split: read_manifest(corpus / f"{split}.jsonl") for split in ("train", "dev", "test")}
    _record(tmp_path / "curve", {"tones train": splits["train"], "tones dev": splits["dev"]})
    given = ["--model", str(model), "--corpus", str(corpus), "--search.beam", "8", "--held_out", "3", "--shortest", "3"]
    given += ["--order", "2", "--utterances", "8"]

    def run(out: str, *more: str) -> int:
        return recipe.script(recipe.Recipe, recipe.run, [*given, "--out", str(tmp_path / out), *more])  # type: ignore[no-any-return]

    assert run("refused") == 1 and not (tmp_path / "refused").exists()
    assert "dev.jsonl" in (said := capsys.readouterr().err) and "--tune_on half-test" in said
    assert run("halved", "--tune_on", "half-test") == 0, capsys.readouterr().err
    values = read_record(tmp_path / "halved")
    tuned, scored = (values["data"][name]["utterances"] for name in ("dev", "test"))
    assert tuned + scored == 8 and f"chosen on {tuned} sentences, {scored} others are scored" in capsys.readouterr().out
    texts = {u.text for u in splits["test"][:8]}
    lines = (tmp_path / "halved" / "hypotheses.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["reference"] for line in lines} < texts
    for name in ("run.json", "../../run.json"):
        (model / name).unlink()
    assert run("unknown", "--tune_on", "dev") == 0
    assert "no run record says what the model was trained on" in capsys.readouterr().out
