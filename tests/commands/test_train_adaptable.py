"""`asr-transfer train` makes sources that are made to be adapted, which everything else reads like any model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from asr_transfer.adaptation.profile import Profile
from asr_transfer.cli import main
from asr_transfer.data.manifest import read_manifest, write_manifest
from asr_transfer.runs.record import read_record
from tests.adapting import adapt, equal, recordings, run, weights
from tests.tones import TINY

QUICK = ("--trainer.steps", "6", "--trainer.validate_every", "0")


def _train(corpus: dict[str, Path], out: Path, *options: str) -> Path:
    assert main(["train", "--train", str(corpus["train"]), "--out", str(out), *TINY, *QUICK, *options]) == 0
    return out


@pytest.fixture(scope="module")
def coded(tone_corpus: dict[str, Path], feature_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run folder of a model that was trained with speaker codes."""
    out = tmp_path_factory.mktemp("coded") / "run"
    return _train(tone_corpus, out, "--speaker_adaptive.kind", "speaker-code", "--speaker_adaptive.code", "3")


def test_a_model_trained_with_codes_is_adapted_by_a_profile_of_one_code(coded: Path, tmp_path: Path) -> None:
    config = yaml.safe_load((coded / "model" / "config.yaml").read_text())
    assert config["codes"] == 3 and "adapters" not in config
    kim = recordings(tmp_path, "kim", 1.17, 4, 7)
    ran = adapt(
        coded, kim, tmp_path / "run", "--method", "speaker-code", "--steps", 4, "--check", "false", "--keep_suspicious"
    )
    profile = Profile.load(ran.out / "profile")
    assert list(profile.tensors) == ["adapters.speaker-code.code"]
    assert profile.tensors["adapters.speaker-code.code"].abs().max() > 0
    assert equal(weights(coded, ran.out / "profile"), weights(ran.out))


def test_a_model_trained_with_film_is_adapted_by_a_summary_for_which_no_transcript_is_read(
    tone_corpus: dict[str, Path], feature_cache: Path, tmp_path: Path
) -> None:
    films = _train(tone_corpus, tmp_path / "films", "--speaker_adaptive.kind", "film", "--speaker_adaptive.code", "3")
    config = yaml.safe_load((films / "model" / "config.yaml").read_text())
    assert config["modulation"] == 3 and "adapters" not in config
    kim = recordings(tmp_path, "kim", 1.17, 4, 7)
    ran = adapt(films, kim, tmp_path / "run", "--method", "film", "--keep_suspicious")
    summary = Profile.load(ran.out / "profile").tensors
    assert list(summary) == ["adapters.film.summary"] and summary["adapters.film.summary"].abs().max() > 0
    assert equal(weights(films, ran.out / "profile"), weights(ran.out))
    assert "film: a summary of 4 recordings" in ran.printed
    # Without texts it is the same summary, and what is trained on top of it leaves the summary as it is.
    mute = recordings(tmp_path / "mute", "kim", 1.17, 4, 7, table=False)
    unread = adapt(films, mute, tmp_path / "unread", "--method", "film", "--keep_suspicious")
    assert equal(Profile.load(unread.out / "profile").tensors, summary)
    quick = ("--steps", 3, "--check", "false", "--keep_suspicious")
    more = adapt(films, kim, tmp_path / "more", "--method", "film+lhuc", *quick)
    found = Profile.load(more.out / "profile").tensors
    assert torch.equal(found["adapters.film.summary"], summary["adapters.film.summary"])
    assert any(name.startswith("adapters.lhuc.") for name in found)


def test_scales_of_speakers_leave_a_plain_model(
    tone_corpus: dict[str, Path], feature_cache: Path, tmp_path: Path
) -> None:
    out = _train(tone_corpus, tmp_path / "run", "--speaker_adaptive.kind", "lhuc")
    config = yaml.safe_load((out / "model" / "config.yaml").read_text())
    assert not {"codes", "adapters"} & config.keys()
    assert read_record(out)["config"]["speaker_adaptive"]["share"] == 0.5


def test_a_second_training_through_warps_leaves_a_plain_model_that_expects_them(
    tone_corpus: dict[str, Path], feature_cache: Path, tmp_path: Path
) -> None:
    out = _train(tone_corpus, tmp_path / "run", "--warp_normalised", "true")
    assert "warps of 6 training speakers: " in (out / "log.txt").read_text(encoding="utf-8")
    config = yaml.safe_load((out / "model" / "config.yaml").read_text())
    assert not {"codes", "modulation", "adapters"} & config.keys()
    record = read_record(out)
    assert record["training"]["steps"] == 12 and record["config"]["warp_normalised"] is True
    command = ["train", "--train", str(tone_corpus["train"]), "--out", str(tmp_path / "other"), *TINY, *QUICK]
    assert run(*command, "--warp_normalised", "true", "--model.features.kind", "kaldi-fbank") == 0
    assert run("train", "--train", tone_corpus["train"], "--out", tmp_path / "plain", *TINY, *QUICK) == 0
    assert "warp_normalised" not in read_record(tmp_path / "plain")["config"]


@pytest.mark.parametrize("method", ["full", "lhuc"])
def test_meta_learning_leaves_a_plain_model_and_says_what_rates_it_learnt(
    method: str, tone_corpus: dict[str, Path], feature_cache: Path, tmp_path: Path
) -> None:
    meta = ("--meta.steps", "2", "--meta.speakers", "2", "--meta.recordings", "2", "--meta.inner_steps", "2")
    out = _train(
        tone_corpus, tmp_path / "run", *meta, "--meta.method", method, "--meta.learn_rates", "true",
        "--meta.batch_budget", "200",
    )  # fmt: skip
    config = yaml.safe_load((out / "model" / "config.yaml").read_text())
    assert not {"codes", "adapters"} & config.keys()
    rates = config["origin"]["learning_rates"]
    assert {"frontend", "encoder.layers.0"} <= rates.keys() and set(rates.values()) != {1.0}
    assert "heads" in rates or method == "lhuc"
    assert read_record(out)["training"]["steps"] == 8


def test_what_cannot_be_done_is_told(
    tone_corpus: dict[str, Path], feature_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "--train", str(tone_corpus["train"]), "--out", str(tmp_path / "run"), *TINY, *QUICK]
    assert run(*command, "--meta.method", "none") != 0
    assert "`meta.method` is 'none', which trains nothing" in capsys.readouterr().err
    assert not (tmp_path / "run").exists(), "nothing is begun, and nothing overwritten"
    one = tmp_path / "one.jsonl"
    write_manifest(one, [u for u in read_manifest(tone_corpus["train"]) if u.speaker == "anna"])
    assert run("train", "--train", one, "--out", tmp_path / "run", *TINY, "--speaker_adaptive.kind", "lhuc") != 0
    assert "needs several speakers, but there is one to train on" in capsys.readouterr().err
    assert run(*command, "--meta.way", "reptile", "--meta.learn_rates", "true") != 0
    assert "`meta.learn_rates` needs `meta.way` fomaml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("method", "unused", "mend"),
    [
        ("film+lhuc", "film", "give `lhuc` alone"),
        ("eigen-profile+lhuc", "eigen-profile", "give `lhuc` alone"),
        ("warp+first-layers", "warp", "give `first-layers` alone"),
        ("adabn+full", "adabn", "give `full` alone"),
        ("full+kld", "kld", "give `full` alone"),
        ("l2sp", "l2sp", "give `full` or `lhuc` instead"),
        ("replay", "replay", "give `full` or `lhuc` instead"),
        ("pseudo-label", "pseudo-label", "give `full` or `lhuc` instead"),
    ],
)
def test_meta_learning_refuses_a_method_of_which_it_would_leave_something_out(
    method: str, unused: str, mend: str, tone_corpus: dict[str, Path], feature_cache: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    command = ("train", "--train", tone_corpus["train"], "--out", tmp_path / "run", *TINY, *QUICK)
    assert run(*command, "--meta.method", method) == 1
    said = capsys.readouterr().err
    assert f"which `{unused}` does not say; {mend}." in said and said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_what_meta_learning_asks_of_the_speech_is_asked_before_any_training(
    tone_corpus: dict[str, Path], feature_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    everything = read_manifest(tone_corpus["train"])
    few = [u for u in everything if int(u.id.rpartition("-")[2]) < 5]
    write_manifest(tmp_path / "few.jsonl", few)
    write_manifest(tmp_path / "one.jsonl", few[::5])
    write_manifest(tmp_path / "nobody.jsonl", [replace(u, speaker="unknown") for u in everything])
    lhuc, lower = ("--meta.method", "lhuc"), "give `meta.recordings` 2, or leave `meta` out"
    for name, options, reason in (
        ("few", lhuc, f"nobody who is named has more than 5; {lower}"),
        ("one", lhuc, "nobody who is named has more than 1; give more recordings of each speaker"),
        ("nobody", lhuc, "no recording names its speaker"),
        ("nobody", ("--warp_normalised", "true"), "`warp_normalised` needs to know whose is whose"),
        ("few", ("--meta.method", "first-layers", "--model.layers", "1", "--meta.recordings", "2"), "`settings.first`"),
    ):
        out = ("--out", tmp_path / "run", *TINY, *QUICK, "--keep_judged", 0)
        assert run("train", "--train", tmp_path / f"{name}.jsonl", *out, *options) == 1
        said = capsys.readouterr().err
        assert reason in said and said.count("\n") == 1 and not (tmp_path / "run").exists()


def test_a_batch_of_meta_learning_leaves_enough_to_adapt_to(
    tone_corpus: dict[str, Path], feature_cache: Path, tmp_path: Path
) -> None:
    made = [u for u in read_manifest(tone_corpus["train"]) if int(u.id.rpartition("-")[2]) < 5]
    odd = [replace(u, speaker="unknown") if u.speaker == "anna" else u for u in made if u.id != "ben-0"]
    write_manifest(tmp_path / "few.jsonl", [u for u in odd if u.id != "ben-1"])
    meta = ("--meta.recordings", 2, "--meta.batch_budget", 100_000, "--meta.steps", 4, "--meta.share", 1)
    more = ("--out", tmp_path / "run", *TINY, *QUICK, "--keep_judged", 0, "--speeds", "[0.9, 1.0]")
    assert run("train", "--train", tmp_path / "few.jsonl", *more, *meta) == 0
    assert read_record(tmp_path / "run")["training"]["steps"] == 10
    assert "8 of 12 speakers, copies at other speeds counted, have 4 recordings and a name" in (
        tmp_path / "run" / "log.txt"
    ).read_text(encoding="utf-8")


def test_a_model_that_was_trained_without_a_summary_is_not_adapted_by_one(
    coded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kim = recordings(tmp_path, "kim", 1.17, 4, 7)
    assert run("adapt", "--model", coded, "--data", kim, "--out", tmp_path / "out", "--method", "film") == 1
    assert "this one was trained without; train one with --speaker_adaptive.kind film" in capsys.readouterr().err
