"""`asr-transfer learn` as a new user meets it: minutes of a language in, a model that knows it and figures out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import asr_transfer as at
import asr_transfer.adaptation.kept as kept
from asr_transfer.data.kept_source import FOLDER, JUDGED, load_summaries
from asr_transfer.decoding.folder import OFFSETS
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.languages.learning import LEARNT
from asr_transfer.languages.ways import WAYS
from asr_transfer.models.folder import update_origin
from asr_transfer.training.trainer import Trainer
from tests.adapting import Ran, adapt, equal, run
from tests.learning import QUICK, Languages, in_folder, learn, manifest, speech


def _ids(file: Path) -> set[str]:
    return {json.loads(line)["id"] for line in file.read_text(encoding="utf-8").splitlines()}


def _languages(model: Path, name: str) -> dict[str, int]:
    """Return how many utterances of each language a model keeps in a folder."""
    found: dict[str, int] = {}
    for utterance in load_summaries(model, Recogniser.load(model, "de").model.inputs)[name].utterances:
        found[utterance.language] = found.get(utterance.language, 0) + 1
    return found


def _tensors(model: Path, language: str = "de") -> dict[str, torch.Tensor]:
    return Recogniser.load(model, language).model.state_dict()


@pytest.fixture(scope="module")
def learnt(languages: Languages, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Return a run on a language of another alphabet, whose ways were left to the command."""
    return learn(languages.base, languages.new, tmp_path_factory.mktemp("learnt") / "mk", "--keep_source", 1000)


def test_a_new_alphabet_is_learnt_from_minutes(learnt: Ran, languages: Languages, tmp_path: Path) -> None:
    heard = Recogniser.load(learnt.out, "mk")
    assert set(heard.tokens.symbols) >= set("абвгде ") and not set(heard.tokens.symbols) & set("abcuvw")
    fresh = speech(tmp_path, "mk", 1, 4, seed=77)
    said = heard.transcribe([u.audio for u in fresh])
    assert sum(text == u.text for text, u in zip(said, fresh, strict=True)) >= 3
    assert learnt.record["learning"]["language"] == "mk" and learnt.record["learning"]["units"] == "characters"


def test_the_ways_and_what_was_held_out_are_told_with_reasons(learnt: Ran) -> None:
    about = learnt.record["learning"]
    assert {rung["way"] for rung in about["ladder"]} == {"head", "joint", "all"}
    assert [rung["error"] for rung in about["ladder"]] == sorted(rung["error"] for rung in about["ladder"])
    assert "minutes are few, so the head alone is tried too" in learnt.printed
    assert "held out: 32 are scored at the end (of speakers who are not trained on)" in learnt.printed
    assert f"chosen: {about['way']}: {about['reason']}" in learnt.printed


def test_what_is_scored_was_never_trained_on(learnt: Ran, languages: Languages) -> None:
    data = learnt.record["data"]
    assert [data[name]["utterances"] for name in ("given", "train", "dev", "test")] == [192, 128, 32, 32]
    scored = _ids(learnt.out / "hypotheses.jsonl")
    trained = {name for name in _ids(learnt.out / "model" / FOLDER / "utterances.jsonl") if name.startswith("mk")}
    assert len(scored) == 32 and len(trained) == 128 and not scored & trained
    assert {name for name in _ids(learnt.out / "model" / JUDGED / "utterances.jsonl") if "mk" in name} == scored


def test_what_others_lose_is_measured_in_each_language_with_its_own_head(learnt: Ran) -> None:
    others = learnt.record["learning"]["others"]
    assert [row["language"] for row in others] == ["de", "fr"]
    assert all(row["before"]["rate"] < 0.1 and row["after"]["rate"] < 0.5 for row in others), "not another's alphabet"
    assert all(row["after"]["utterances"] == 10 and row["after"]["high"] is not None for row in others)
    assert "points of errors in the mean of 2" in learnt.printed


def test_the_new_model_keeps_speech_of_all_languages_for_what_comes_next(
    learnt: Ran, languages: Languages, tmp_path: Path
) -> None:
    before = _languages(languages.base, FOLDER)
    assert _languages(learnt.out, FOLDER) == {**before, "mk": 128}
    assert _languages(learnt.out, JUDGED) == {"de": 10, "fr": 10, "mk": 32}
    # `adapt` takes what is of the head that it adapts, then that of the others.
    model = Recogniser.load(learnt.out, "mk")
    speech_of = kept.kept_speech(learnt.out, model, ())
    assert list(kept.in_its_languages(speech_of, FOLDER, learnt.out, model)) == ["mk", "de", "fr"]
    # And so does a further `learn`.
    later = learn(learnt.out, languages.further, tmp_path / "el", "--way", "joint", "--keep_source", 5)
    assert [row["language"] for row in later.record["learning"]["others"]] == ["de", "fr", "mk"]
    assert _languages(later.out, FOLDER) == {**before, "mk": 128, "el": 5}
    origin = Recogniser.load(later.out, "mk").origin
    assert origin[JUDGED] == {"de": "utterances", "el": "speakers", "fr": "utterances", "mk": "utterances"}
    assert list(origin[LEARNT]) == ["mk", "el"]
    assert origin[LEARNT]["mk"] == learnt.record["data"]["train"]["checksum"] != origin[LEARNT]["el"]


def test_where_a_model_comes_from_is_kept_by_all_that_goes_on_from_it(languages: Languages, tmp_path: Path) -> None:
    """Learning kept nothing of it but the published base."""
    told = {"trained_on": "earlier", "adapted_to": "somebody", "base_model": {"name": "b/c"}}
    base = Path(shutil.copytree(languages.base / "model", tmp_path / "base"))
    update_origin(base, told)
    learnt = learn(base, languages.more, tmp_path / "learnt", "--way", "head", "--steps", 4)
    origin = Recogniser.load(learnt.out, "de").origin
    assert {name: origin[name] for name in told} == told
    assert origin[JUDGED] == {"de": "utterances", "fr": "utterances"}, "the base was trained on their speakers"
    assert list(origin[LEARNT]) == ["de"]
    own = in_folder(tmp_path / "mine", speech(tmp_path, "de", 2, 1, seed=78))
    adapted = adapt(learnt.out, own, tmp_path / "voice", "--method", "lhuc", "--steps", 1, "--check", "false")
    after = Recogniser.load(adapted.out, "de").origin
    changed = {name for name, value in after.items() if origin.get(name) != value}
    assert after.keys() >= origin.keys() and changed == {"adapted_to", "method", OFFSETS}


def test_the_card_says_what_was_learnt_and_how_well(learnt: Ran) -> None:
    card = (learnt.out / "model" / "README.md").read_text(encoding="utf-8")
    assert "Speech recogniser (de, fr, mk)" in card and "| mk | 32 | 2 | characters |" in card
    assert f"by the way `{learnt.record['learning']['way']}`" in card and "`judged` holds" in card


def test_later_commands_take_the_language_that_was_learnt(
    learnt: Ran, languages: Languages, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert at.load(learnt.out).head == "mk"
    folder = in_folder(tmp_path / "mine", speech(tmp_path, "mk", 4, 1, seed=78))
    adapted = adapt(learnt.out, folder, tmp_path / "voice", "--method", "lhuc", "--steps", 2, "--check", "false")
    assert "taken in 'mk', which it was taught or adapted in last" in adapted.printed
    elsewhere = adapt(learnt.out, folder, tmp_path / "other", "--language", "de", "--method", "suta",
                      "--check", "false")  # fmt: skip
    assert at.load(elsewhere.out).head == "de" and at.load(adapted.out).head == "mk"


def test_languages_are_told_apart_after_learning(learnt: Ran, languages: Languages) -> None:
    assert set(Recogniser.load(learnt.out, "mk").offsets) == {"de", "fr", "mk"}


def test_more_of_a_known_language_is_not_taken_where_it_helps_nothing(languages: Languages, tmp_path: Path) -> None:
    ran = learn(languages.base, languages.more, tmp_path / "more", "--way", "head", "--learning_rate", 10)
    assert ran.record["learning"]["way"] == "none" and "chosen: none" in ran.printed
    assert equal(_tensors(ran.out), _tensors(languages.base))
    assert ran.record["scores"]["before"] == ran.record["scores"]["test"]["by_language"][0]
    assert "0 % fewer than before" in ran.printed and "way `none`" in (ran.out / "model" / "README.md").read_text()


def test_a_head_that_is_there_grows_by_new_letters(languages: Languages, tmp_path: Path) -> None:
    before = Recogniser.load(languages.base, "de").tokens.symbols
    ran = learn(languages.base, languages.grown, tmp_path / "grown", "--way", "head")
    after = Recogniser.load(ran.out, "de").tokens.symbols
    assert after == [*before, "é"], "known letters keep their places"
    assert ran.record["learning"]["way"] == "head" and ran.record["scores"]["fewer_errors"]["share"] > 0.1
    first, second = _tensors(languages.base), _tensors(ran.out)
    moved = {n for n in first if first[n].shape != second[n].shape or not torch.equal(first[n], second[n])}
    assert moved == {"heads.de.weight", "heads.de.bias"}


@pytest.mark.parametrize("way", sorted(name for name, way in WAYS.items() if not way.on_published))
def test_each_way_by_name(way: Any, languages: Languages, tmp_path: Path) -> None:
    ran = learn(languages.base, languages.new, tmp_path / "out", "--way", way, "--steps", 8)
    about = ran.record["learning"]
    assert [rung["way"] for rung in about["ladder"]] == [about["way"]] == [way]
    heads = set(Recogniser.load(ran.out, "mk").model.head_names())
    assert heads == ({"de", "fr", "mk"} if WAYS[way].needs_source else {"mk"})
    if not WAYS[way].needs_source:
        assert "other languages: lost, for the new model is of 'mk' alone (de, fr)" in ran.printed
        assert about["others"] == []
    elif WAYS[way].start == "layers":
        first, second = _tensors(languages.base), _tensors(ran.out)
        moved = {name.split(".")[0] for name in first if not torch.equal(first[name], second[name])}
        others = {"heads"} if WAYS[way].uses_source else set()
        expected = ({"encoder", "frontend"} if way != "head" else set()) | others
        history = ran.record["history"]
        best = min(history, key=lambda entry: (entry["cer"], entry["loss"]))
        # Of `gradual` the model of the best phase is taken, and only the last phase trains all layers.
        assert moved < expected if best.get("phase") != history[-1].get("phase") else moved == expected


def test_the_users_own_recordings_choose_and_are_scored(languages: Languages, tmp_path: Path) -> None:
    parts = {name: speech(tmp_path / name, "mk", 4, 3, seed=seed) for name, seed in (("dev", 61), ("test", 62))}
    given = {name: manifest(tmp_path / f"{name}.jsonl", own) for name, own in parts.items()}
    ran = learn(languages.base, languages.new, tmp_path / "out", "--way", "head", "--dev", given["dev"],
                "--test", given["test"], "--minutes", 1.2)  # fmt: skip
    data = ran.record["data"]
    assert 65 < data["train"]["seconds"] <= 72 and data["given"] == {**data["train"], "path": data["given"]["path"]}
    assert _ids(ran.out / "hypotheses.jsonl") == {u.id for u in parts["test"]} and data["dev"]["utterances"] == 12
    assert "held out:" not in ran.printed


def test_source_speech_of_the_user_is_mixed_in(languages: Languages, tmp_path: Path) -> None:
    options = ("--way", "joint", "--steps", 8, "--use_summary", "false", "--source", languages.train)
    ran = learn(languages.base, languages.new, tmp_path / "out", *options)
    assert ran.record["learning"]["way"] == "joint" and "other languages: not measured" in ran.printed
    assert set(_languages(ran.out, FOLDER)) == {"mk"}, "what the earlier model kept is left out"


def test_subwords_are_learnt_and_written(languages: Languages, tmp_path: Path) -> None:
    ran = learn(languages.base, languages.new, tmp_path / "out", "--way", "all", "--units", "subwords", "--pieces", 12)
    tokens = Recogniser.load(ran.out, "mk").tokens
    assert tokens.units == "subwords" and tokens.model is not None and len(tokens) == 13
    assert ran.record["learning"]["units"] == "subwords" and ran.record["scores"]["test"]["cer"] < 0.6


@pytest.mark.voices
def test_phones_are_made_of_texts_and_counted(languages: Languages, tmp_path: Path) -> None:
    ran = learn(languages.base, languages.new, tmp_path / "out", "--way", "head", "--units", "phones")
    assert Recogniser.load(ran.out, "mk").tokens.units == "phones"
    (row,) = ran.record["scores"]["test"]["by_language"]
    assert row["unit"] == "phone" and row["rate"] < 0.5 and "of the phones wrong" in ran.printed


def test_a_folder_as_users_have_it(languages: Languages, tmp_path: Path) -> None:
    folder = in_folder(tmp_path / "mine", speech(tmp_path, "mk", 130, 1, seed=9))
    for bare in sorted(folder.glob("*.txt"))[:3]:
        bare.unlink()
    ran = learn(languages.base, folder, tmp_path / "out", "--language", "mk", "--way", "head")
    assert "127 kept, 3 without transcript, 0 left out" in ran.printed and "without transcript: " in ran.printed
    assert "(of speakers who are trained on)" in ran.printed and ran.record["data"]["given"]["utterances"] == 127
    lines = (ran.out / "hypotheses.jsonl").read_text(encoding="utf-8").splitlines()
    texts = {json.loads(line)["reference"] for line in lines}
    trained = load_summaries(ran.out, Recogniser.load(ran.out, "mk").model.inputs)[FOLDER].utterances
    assert texts and not texts & {u.text for u in trained}, "no text is scored that was trained on"


def test_a_model_of_one_language_learns_another(tone_run: Path, languages: Languages, tmp_path: Path) -> None:
    ran = learn(tone_run, languages.new, tmp_path / "out", "--way", "joint")
    assert Recogniser.load(ran.out, "mk").others.keys() == {"en"}
    again = learn(tone_run, languages.english, tmp_path / "again", "--way", "all", "--steps", 4)
    assert "other languages" not in again.printed.replace("other languages, points", ""), "it has no other"


def test_a_stopped_run_goes_on_to_the_same_bits(
    languages: Languages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = learn(languages.base, languages.new, tmp_path / "whole", "--steps", 8)
    step, taken = Trainer.fit_batch, []

    def stopping(self: Trainer, batch: Any) -> Any:
        taken.append(batch)
        if len(taken) == 13:  # within the second way
            raise KeyboardInterrupt
        return step(self, batch)

    monkeypatch.setattr(Trainer, "fit_batch", stopping)
    options = ("--model", languages.base, "--data", languages.new, "--out", tmp_path / "parts", *QUICK, "--steps", 8)
    assert run("learn", *options) == 130 and not (tmp_path / "parts" / "model").exists()
    monkeypatch.undo()
    assert run("learn", *options, "--resume") == 0
    assert equal(_tensors(tmp_path / "parts"), _tensors(whole.out))
    record = Ran(tmp_path / "parts", "").record
    assert record["learning"]["ladder"][0]["error"] == whole.record["learning"]["ladder"][0]["error"]


def test_a_finished_run_is_left_alone(learnt: Ran, languages: Languages, capsys: pytest.CaptureFixture[str]) -> None:
    before = (learnt.out / "model" / "model.safetensors").stat().st_mtime_ns
    again = learn(languages.base, languages.new, learnt.out, "--keep_source", 1000, "--resume")
    assert "the run is finished already; nothing to do" in again.printed
    assert (learnt.out / "model" / "model.safetensors").stat().st_mtime_ns == before
