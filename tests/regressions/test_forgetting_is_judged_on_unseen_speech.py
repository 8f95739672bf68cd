"""What others lose by an adaptation is judged on speech that the model was not trained on, or is said to be unknown."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asr_transfer.adaptation import choice as choosing
from asr_transfer.adaptation.adapt import Adapted
from asr_transfer.adaptation.adapt import adapt as plain_adapt
from asr_transfer.adaptation.kept import excess
from asr_transfer.adaptation.settings import ChoiceConfig
from asr_transfer.data.inputs import LogMel
from asr_transfer.data.kept_source import Summary
from asr_transfer.data.manifest import checksum, read_manifest, write_manifest
from asr_transfer.data.speech import Spoken
from asr_transfer.evaluation.standard_error import in_points, residuals, standard_error
from asr_transfer.models.configuration import read_config
from asr_transfer.runs.record import read_record
from tests.adapting import Ran, adapt, recordings, run
from tests.tones import TINY

QUICK = ("--steps", 4, "--device", "cpu", "--choice.folds", 2, "--choice.with_source", "[full+replay, full]",
         "--choice.without_source", "[full]", "--choice.rates", "[3.0]", "--keep_suspicious")  # fmt: skip


@pytest.fixture(scope="module")
def kept_run(
    tone_corpus: dict[str, Path], feature_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """Return the run folder of a model that holds twelve utterances out from training, and what `train` printed."""
    out = tmp_path_factory.mktemp("kept") / "si"
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert run("train", "--train", tone_corpus["train"], "--out", out, *TINY, "--trainer.steps", 40,
                   "--trainer.validate_every", 0, "--keep_judged", 12) == 0  # fmt: skip
    return out, printed.getvalue()


@pytest.fixture(scope="module")
def kim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return six recordings of a speaker some way off the training speakers, with a table."""
    return recordings(tmp_path_factory.mktemp("speaker"), "kim", 1.17, 6, 7)


def judged_of(folder: Path) -> list[str]:
    """Return the ids of what a run's model keeps to judge on."""
    lines = (folder / "model" / "judged" / "utterances.jsonl").read_text(encoding="utf-8").splitlines()
    return sorted(json.loads(line)["id"] for line in lines)


def test_train_keeps_speech_that_it_does_not_train_on(kept_run: tuple[Path, str], tone_corpus: dict[str, Path]) -> None:
    out, printed = kept_run
    everything, judged, record = read_manifest(tone_corpus["train"]), judged_of(out), read_record(out)
    assert len(judged) == 12 and "12 utterances held out from training" in printed
    rest = [u for u in everything if u.id not in judged]
    assert record["data"]["train"]["checksum"] == checksum(rest) and record["data"]["judged"]["utterances"] == 12
    assert "training on 132 utterances" in printed, "what is held out is not trained on"
    replayed = Summary.load(out / "model" / "source", LogMel()).utterances
    assert {u.id for u in replayed} == {u.id for u in rest}, "nor is it replayed"
    card = (out / "model" / "README.md").read_text(encoding="utf-8")
    assert "`judged` holds features and transcripts of utterances that were not trained on" in card
    assert read_config(out / "model")["origin"]["judged"] == "utterances"


def test_train_holds_nothing_out_of_few_utterances_or_where_that_is_asked(
    feature_cache: Path, tone_corpus: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = ("train", "--train", tone_corpus["train"], *TINY, "--trainer.steps", 1, "--trainer.validate_every", 0)
    for name, options in (("few", ()), ("none", ("--keep_judged", 0))):
        assert run(*quick, *options, "--out", tmp_path / name) == 0
        printed = capsys.readouterr().out
        assert not (tmp_path / name / "model" / "judged").exists() and "training on 144 utterances" in printed
        assert ("too few to hold any out" in printed) == (name == "few")
    assert run(*quick, "--keep_judged", -1, "--out", tmp_path / "no") == 1
    assert "`keep_judged` must be at least 0" in capsys.readouterr().err


def test_development_speech_is_kept_to_judge_on(tone_run: Path, tone_corpus: dict[str, Path]) -> None:
    """The model of `tone_run` was given development speech."""
    assert judged_of(tone_run) == sorted(u.id for u in read_manifest(tone_corpus["dev"]))
    assert read_record(tone_run)["data"]["train"]["utterances"] == 144
    assert read_config(tone_run / "model")["origin"]["judged"] == "speakers"


@pytest.fixture(scope="module")
def adapted(
    kept_run: tuple[Path, str], kim: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Ran, list[set[str]]]:
    """Return an adaptation that tolerates much, and the utterances of each training on the way."""
    trained: list[set[str]] = []

    def noting(source: Any, spoken: Spoken, *more: Any, source_speech: Spoken, **options: Any) -> Adapted:
        trained.append({u.id for u in [*spoken.utterances, *source_speech.utterances]})
        return plain_adapt(source, spoken, *more, source_speech=source_speech, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(choosing, "adapt", noting)
        out = tmp_path_factory.mktemp("adapted") / "out"
        return adapt(kept_run[0], kim, out, *QUICK, "--choice.tolerance", 9), trained


def test_nobody_learns_from_what_is_judged_on(kept_run: tuple[Path, str], adapted: tuple[Ran, list[set[str]]]) -> None:
    judged, trained = set(judged_of(kept_run[0])), adapted[1]
    assert trained and not any(judged & learnt for learnt in trained)
    assert all(len(learnt) == 3 + 132 for learnt in trained), "all that was trained on is there to be mixed in"


def test_the_ladder_and_the_result_tell_what_unseen_utterances_lose(adapted: tuple[Ran, list[set[str]]]) -> None:
    ran, _ = adapted
    about, what = ran.record["adaptation"], "12 utterances that the model was not trained on, of "
    for rung in about["ladder"]:
        assert in_points(rung["forgetting"], rung["forgetting_error"]) + " points" in ran.printed, "and how sure it is"
    assert f"others: judged on {what}" in ran.printed and about["others"].startswith(what)
    scores = ran.record["scores"]["judged"]
    assert scores["before"] != scores["after"] and sum(pair["words"] for pair in scores["pairs"])
    (line,) = [line for line in ran.printed.splitlines() if line.startswith("others: WER")]
    change = scores["cer_change"]
    assert f"{100 * scores['after']['wer']:.1f} %" in line and what in line
    assert f"({in_points(change['value'], change['standard_error'])} points)" in line
    assert change["value"] == pytest.approx(scores["after"]["cer"] - scores["before"]["cer"])


def test_the_adapted_model_can_be_gone_on_from(
    kept_run: tuple[Path, str], adapted: tuple[Ran, list[set[str]]], tmp_path: Path
) -> None:
    out, ran = kept_run[0], adapted[0]
    assert ran.record["data"]["judged"]["utterances"] == 12
    assert judged_of(ran.out) == sorted(judged_of(out))
    assert "`judged` holds" in (ran.out / "model" / "README.md").read_text(encoding="utf-8")
    assert run("profile", "merge", "--model", out, "--profile", ran.out, "--out", tmp_path / "merged") == 0
    assert sorted(p.name for p in (tmp_path / "merged").iterdir() if p.is_dir()) == ["judged", "source"]


def test_a_method_that_harms_them_is_refused_although_training_utterances_would_be_kept(
    kept_run: tuple[Path, str], kim: Path, tmp_path: Path
) -> None:
    ran = adapt(kept_run[0], kim, tmp_path / "out", *QUICK, "--choice.tolerance", -1)
    assert ran.record["adaptation"]["method"] == "none" and "refused" in ran.printed and "points" in ran.printed
    assert "judged" not in ran.record["scores"], "nothing changed"


@pytest.mark.parametrize("method", ["auto", "full", "full+replay"])
def test_a_model_that_keeps_training_utterances_alone_says_that_it_was_not_measured(
    kept_run: tuple[Path, str], kim: Path, tmp_path: Path, method: str
) -> None:
    model = Path(shutil.copytree(kept_run[0] / "model", tmp_path / "model"))
    shutil.rmtree(model / "judged")
    options = QUICK if method == "auto" else (*QUICK, "--method", method, "--choice.folds", 2)
    ran = adapt(model, kim, tmp_path / "out", *options)
    assert all(rung["forgetting"] is None for rung in ran.record["adaptation"]["ladder"])
    assert ran.printed.count("others: not measured") == 2 and "points" not in ran.printed
    assert "not measured" in ran.record["adaptation"]["others"] and "judged" not in ran.record["scores"]
    left = adapt(kept_run[0], kim, tmp_path / "left", *QUICK, "--use_summary", "false")
    assert "others: not measured, for --use_summary false" in left.printed


def test_of_recordings_given_as_source_it_is_said_that_they_may_have_been_trained_on(
    kept_run: tuple[Path, str], tone_corpus: dict[str, Path], kim: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(kept_run[0] / "model", tmp_path / "model"))
    shutil.rmtree(model / "judged")
    ran = adapt(model, kim, tmp_path / "out", *QUICK, "--source", tone_corpus["train"], "--source_utterances", 30)
    assert "others: judged on 10 utterances of --source, which the model may have been trained on" in ran.printed
    assert "others: not measured" in ran.printed, "the result is not measured on what was mixed in"
    # What the model keeps to judge on is better, and goes before its own recordings among those given.
    given = adapt(kept_run[0], kim, tmp_path / "given", *QUICK, "--source", tone_corpus["train"])
    assert "12 utterances of --source are not mixed in" in given.printed
    assert given.record["data"]["source"]["utterances"] == 132
    assert "others: judged on 12 utterances that the model was not trained on" in given.printed


def test_whom_the_model_is_adapted_to_is_no_other(tone_run: Path, tone_corpus: dict[str, Path], tmp_path: Path) -> None:
    """Adapted to one of its own development speakers, the model is judged, and can later be judged, on the rest."""
    gus = [u for u in read_manifest(tone_corpus["dev"]) if u.speaker == "gus"]
    write_manifest(tmp_path / "gus.jsonl", gus[:6])
    ran = adapt(tone_run, tmp_path / "gus.jsonl", tmp_path / "out", *QUICK, "--choice.tolerance", 9)
    assert "24 utterances of 1 speaker that the model was not trained on" in ran.printed
    assert all(name.startswith("hal-") for name in judged_of(ran.out)) and len(judged_of(ran.out)) == 24


def test_a_last_training_that_costs_others_more_than_is_tolerated_is_named() -> None:
    tolerant = ChoiceConfig(tolerance=0.03)
    assert excess(0.05, 0.059, ChoiceConfig()) == excess(0.05, 0.07, tolerant) == excess(0.2, 0.1, tolerant) == ""
    assert "others: that is 2.0 points of the character error rate, more than the 1" in excess(
        0.05, 0.07, ChoiceConfig()
    )


def test_the_standard_error_is_that_of_drawing_utterances_again() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(5, 40, 200).astype(float)
    changes = rng.binomial(3, 0.2, 200) - rng.binomial(3, 0.1, 200) + 0.0
    found = standard_error(residuals(changes, sizes), ["one"] * 200)
    draws = rng.integers(0, 200, (4000, 200))
    assert found == pytest.approx(np.std(changes[draws].sum(1) / sizes[draws].sum(1)), rel=0.05)


def test_speakers_who_differ_make_it_greater_and_one_utterance_tells_none() -> None:
    changes, sizes = np.repeat([2.0, 0.0, 1.0, -1.0], 25), np.full(100, 20.0)
    alone = standard_error(residuals(changes, sizes), ["one"] * 100)
    several = standard_error(residuals(changes, sizes), [name for name in "abcd" for _ in range(25)])
    assert alone is not None and several is not None and several > 4 * alone
    assert several == pytest.approx(np.std([2, 0, 1, -1], ddof=1) / 20 / np.sqrt(4))
    assert standard_error(residuals(changes[:1], sizes[:1]), ["one"]) is None
    assert in_points(0.005, 0.006) == "+0.5 ± 0.6" and in_points(-0.01, None) == "-1.0"
