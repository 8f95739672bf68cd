"""`adapt --method warp` and what comes of it: a profile of one number, transcribed with, merged, refused elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from asr_transfer.adaptation.profile import Profile
from asr_transfer.commands.profile_on_model import load_with_profile
from asr_transfer.data.manifest import write_manifest
from asr_transfer.decoding.recogniser import Recogniser
from tests.adapting import Ran, adapt, recordings, run
from tests.tones import TINY, make_speaker


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return recordings with transcripts of a voice whose tones all lie 16 % higher."""
    return recordings(tmp_path_factory.mktemp("voice"), "lea", 1.16, 6, 41)


@pytest.fixture(scope="module")
def warped(tone_run: Path, voice: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Return a run that warped the tone model's features for that voice."""
    out = tmp_path_factory.mktemp("warped") / "out"
    test = recordings(tmp_path_factory.mktemp("test"), "lea", 1.16, 6, 42)
    return adapt(tone_run, voice, out, "--method", "warp", "--test", test, "--keep_suspicious")


def test_the_profile_is_one_number(warped: Ran) -> None:
    found = warped.record["adaptation"]["warp"]
    assert 0.84 <= found["factor"] <= 0.92 and f"warp: {found['factor']:.2f}, for" in warped.printed
    scores = warped.record["scores"]["test"]
    assert scores["after"]["cer"] < scores["before"]["cer"], "or nothing was gained by it"
    profile = Profile.load(warped.out / "profile")
    assert profile.tensors["adapters.warp.factor"] == torch.tensor(found["factor"], dtype=torch.float32)
    assert len(profile.tensors) == 1 and profile.size_bytes < 2000 and profile.facts.utterances == 6
    assert f"warp of {found['factor']:.2f}" in profile.describe()


def test_the_profile_is_put_on_merged_and_taken_off(
    tone_run: Path, voice: Path, warped: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile, files = Profile.load(warped.out / "profile"), sorted(voice.glob("*.wav"))
    plain, own = Recogniser.load(tone_run), Recogniser.load(warped.out)
    expected = own.transcribe(files)
    assert expected != plain.transcribe(files)
    run("profile", "merge", "--model", tone_run, "--profile", warped.out, "--out", tmp_path / "merged")
    assert "kept as adapters inside it: warp" in " ".join(capsys.readouterr().out.split())
    for options in (("--model", tone_run, "--profile", warped.out), ("--model", tmp_path / "merged")):
        assert run("transcribe", *options, *files) == 0
        assert [line.split("\t")[1] for line in capsys.readouterr().out.splitlines()] == expected
    model = load_with_profile(tone_run, warped.out).model
    profile.remove(model, plain.model)
    before, after = plain.model.state_dict(), model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert plain.transcribe(files) == Recogniser.load(tone_run).transcribe(files)


def test_without_transcripts_the_other_name_is_asked_for(
    tone_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = recordings(tmp_path, "mia", 1.16, 6, 43, table=False)
    given = ("--model", tone_run, "--data", bare, "--out", tmp_path / "out")
    assert run("adapt", *given, "--method", "warp") == 1
    said = capsys.readouterr().err.strip()
    assert "take `--method warp-untranscribed`, which reads none." in said and "\n" not in said
    ran = adapt(tone_run, bare, tmp_path / "out", "--method", "warp-untranscribed")
    assert 0.84 <= ran.record["adaptation"]["warp"]["factor"] <= 0.92


def test_more_is_learnt_on_top_of_a_warp(tone_run: Path, voice: Path, warped: Ran, tmp_path: Path) -> None:
    options = ("--steps", 2, "--check", "false", "--device", "cpu", "--keep_suspicious", "--precision", "fp32")
    later = adapt(tone_run, voice, tmp_path / "later", "--profile", warped.out, "--method", "lhuc", *options)
    at_once = adapt(tone_run, voice, tmp_path / "at_once", "--method", "warp+lhuc", *options)
    one, other = (Profile.load(ran.out / "profile").tensors for ran in (later, at_once))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert len(one) > 1 and "adapters.warp.factor" in one


def test_train_keeps_how_widely_its_speakers_lie_and_adapt_hands_it_on(
    voice: Path, feature_cache: Path, tmp_path: Path
) -> None:
    speakers = [make_speaker(tmp_path / "wav", f"s{n}", 0.93 + 0.02 * n, 3, 50 + n) for n in range(8)]
    write_manifest(tmp_path / "train.jsonl", [u for own in speakers for u in own])
    tiny = [*TINY, "--trainer.steps", 3, "--trainer.validate_every", 0, "--keep_source", 0, "--keep_judged", 0]
    assert run("train", "--train", tmp_path / "train.jsonl", "--out", tmp_path / "si", *tiny) == 0
    kept = yaml.safe_load((tmp_path / "si/model/config.yaml").read_text(encoding="utf-8"))["origin"]["warp"]
    assert kept["speakers"] == 8 and kept["width"] >= 0 and set(kept["factors"]) == {f"s{n}" for n in range(8)}
    ran = adapt(tmp_path / "si", voice, tmp_path / "out", "--method", "warp", "--keep_suspicious")
    assert ran.record["adaptation"]["warp"]["width"] == max(0.1, kept["width"])
    again = yaml.safe_load((ran.out / "model/config.yaml").read_text(encoding="utf-8"))["origin"]
    assert again["warp"] == kept and again["method"] == "warp"
