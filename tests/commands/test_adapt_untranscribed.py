"""`adapt` on recordings of which some or all have no transcript."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from asr_transfer.data.manifest import read_manifest, write_manifest
from tests.adapting import QUICK, adapt, recordings, run


@pytest.fixture
def partly(tmp_path: Path) -> Path:
    """Return a folder of twelve recordings of a new speaker, six with a transcript; one other is a copy of these."""
    folder = recordings(tmp_path, "kim", 1.06, 12, 3)
    table = folder / "transcripts.tsv"
    lines = table.read_text(encoding="utf-8").splitlines()
    table.write_text("\n".join(lines[:7]) + "\n", encoding="utf-8")
    shutil.copy(folder / "kim-0.wav", folder / "copy.wav")
    return folder


def test_recordings_without_transcript_are_tried_beside_the_others(
    tone_run: Path, partly: Path, tmp_path: Path
) -> None:
    ran = adapt(tone_run, partly, tmp_path / "out", *QUICK, "--choice.confidences", "[0.0]", "--keep_suspicious")
    assert f"{partly}: 6 kept, 7 without transcript" in ran.printed
    about = ran.record["adaptation"]["untranscribed"]
    assert about["reason"] in ran.printed and "on held-out recordings (" in about["reason"]
    assert ran.record["data"]["untranscribed"]["utterances"] == 6, "the copy of a transcribed recording is none"
    assert len(about["trials"]) == 1 and about["trials"][0]["units"] > 0
    assert set(about["used"]) <= {f"kim-{n}" for n in range(6, 12)}


def test_a_manifest_with_empty_texts_counts_alike(tone_run: Path, partly: Path, tmp_path: Path) -> None:
    assert run("prepare", "folder", "--root", partly, "--out", tmp_path / "data") == 0
    made = [
        *read_manifest(tmp_path / "data" / "all.jsonl"),
        *read_manifest(tmp_path / "data" / "unlabelled.jsonl", False),
    ]
    write_manifest(tmp_path / "both.jsonl", made)
    ran = adapt(tone_run, tmp_path / "both.jsonl", tmp_path / "out", *QUICK, "--choice.confidences", "[0.0]",
                "--keep_suspicious")  # fmt: skip
    assert ran.record["data"]["untranscribed"]["utterances"] == 6
    assert ran.record["adaptation"]["untranscribed"]["reason"] in ran.printed


def test_they_can_be_left_out(tone_run: Path, partly: Path, tmp_path: Path) -> None:
    ran = adapt(tone_run, partly, tmp_path / "out", *QUICK, "--use_untranscribed", "false", "--keep_suspicious")
    assert "untranscribed" not in ran.record["adaptation"] and "untranscribed" not in ran.record["data"]
    named = adapt(tone_run, partly, tmp_path / "named", "--method", "full", "--steps", 2, "--check", "false",
                  "--keep_suspicious")  # fmt: skip
    assert "7 recordings without transcript are not used" in named.printed


def test_a_named_method_that_learns_from_transcripts_says_that_there_are_none(
    tone_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = recordings(tmp_path, "lee", 1.0, 3, 4, table=False)
    assert run("adapt", "--model", tone_run, "--data", bare, "--out", tmp_path / "out", "--method", "full") == 1
    error = capsys.readouterr().err
    assert "no recording has a transcript, which `full` learns from" in error and not (tmp_path / "out").exists()


def test_auto_without_any_transcript_says_what_it_does_not_know(tone_run: Path, tmp_path: Path) -> None:
    bare = recordings(tmp_path, "lee", 1.0, 4, 4, table=False)
    ran = adapt(tone_run, bare, tmp_path / "out", "--device", "cpu")
    about = ran.record["adaptation"]
    assert about["method"] in ("none", "suta") and about["ladder"] == []
    assert f"chosen: {about['method']}: without any transcript nothing shows what a method gains" in ran.printed
    assert "that is no error rate" in ran.printed and "serve as source" not in ran.printed


def test_auto_without_transcripts_judges_on_the_test_recordings(tone_run: Path, tmp_path: Path) -> None:
    bare = recordings(tmp_path / "bare", "lee", 1.0, 4, 4, table=False)
    test = recordings(tmp_path / "test", "lee", 1.0, 3, 5)
    tried = ("--choice.without_transcripts", "[suta, pseudo-label+lhuc]", "--choice.strengths", "[1.0]")
    quick = ("--device", "cpu", "--steps", 3, "--settings.confidence", 0)
    ran = adapt(tone_run, bare, tmp_path / "out", "--test", test, *quick, *tried)
    about = ran.record["adaptation"]
    assert {rung["method"] for rung in about["ladder"]} == {"suta", "pseudo-label+lhuc"}
    assert "3 recordings with transcripts" in about["reason"] and about["reason"] in ran.printed


def test_auto_without_transcripts_refuses_methods_that_read_some(
    tone_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = recordings(tmp_path, "lee", 1.0, 3, 4, table=False)
    options = ("--choice.without_transcripts", "[full]")
    assert run("adapt", "--model", tone_run, "--data", bare, "--out", tmp_path / "out", *options) == 1
    assert "`choice.without_transcripts` names `full`, which reads transcripts" in capsys.readouterr().err
