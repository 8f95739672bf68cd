"""Nothing that comes after the steps of a training loses the model that they made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from asr_transfer.adaptation.named_speakers import by_voice
from asr_transfer.data.manifest import read_manifest, write_manifest
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import DataError
from asr_transfer.models.speaker_space import FILE, SpeakerSpace
from asr_transfer.runs.record import read_record
from tests.adapting import run
from tests.tones import TINY, make_speaker

QUICK = (*TINY, "--trainer.steps", "3", "--trainer.validate_every", "0")


@pytest.fixture(scope="module")
def bilingual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a manifest of two languages in which every name occurs in both, and some recordings name nobody."""
    folder = tmp_path_factory.mktemp("bilingual")
    made = []
    for language in ("en", "nl"):
        for number, name in enumerate(("a", "b", "c", "d", "unknown")):
            own = make_speaker(folder, f"{language}-{name}", 0.95 + 0.02 * number, 2, number, language)
            made += [replace(utterance, speaker=name) for utterance in own]
    write_manifest(folder / "train.jsonl", made)
    return folder / "train.jsonl"


def test_a_name_in_two_languages_is_a_speaker_of_each(bilingual: Path, feature_cache: Path, tmp_path: Path) -> None:
    wanted = tuple(sorted(f"{name} ({language})" for name in "abcd" for language in ("en", "nl")))
    assert len(by_voice(read_manifest(bilingual))) == 8
    options = ("--train", bilingual, "--out", tmp_path / "run", *QUICK, "--keep_judged", 0)
    assert run("train", *options, "--speaker_profiles", "lin") == 0
    assert SpeakerSpace.load(tmp_path / "run" / "model" / FILE).speakers == wanted
    model = ("--model", tmp_path / "run", "--data", bilingual, "--device", "cpu")
    assert run("profile", "speakers", *model, "--overwrite", "true") == 0
    assert SpeakerSpace.load(tmp_path / "run" / "model" / FILE).speakers == wanted


def _fail(*given: object, **named: object) -> None:
    raise DataError("a made-up failure.")


STAGES = (
    ("asr_transfer.decoding.identify.calibrated", (), "go on with --resume"),
    ("asr_transfer.data.kept_source.keep", (), "go on with --resume"),
    ("asr_transfer.adaptation.warp.prior_of_training", (), "go on with --resume"),
    ("asr_transfer.training.hypotheses.hypotheses", (), "go on with --resume"),
    ("asr_transfer.adaptation.speaker_profiles.space_of_training", ("--speaker_profiles", "lin"),
     "it lacks speaker profiles alone, which `asr-transfer profile speakers` makes"),
    ("asr_transfer.adaptation.adaptable_source.train_to_be_adapted", ("--meta.recordings", 1, "--meta.steps", 1),
     "go on with --resume"),
    ("asr_transfer.adaptation.adaptable_source.normalise", ("--warp_normalised", "true"), "go on with --resume"),
)  # fmt: skip
"""What comes after the steps, the options that ask for it, and how the user is told to go on."""


@pytest.mark.parametrize(("stage", "options", "how"), STAGES)
def test_whatever_fails_the_model_is_there_and_the_run_goes_on(
    stage: str, options: tuple[object, ...], how: str, tmp_path: Path, feature_cache: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    made = [u for n in range(8) for u in make_speaker(tmp_path, f"s{n}", 0.95 + 0.02 * n, 2, n)]
    write_manifest(tmp_path / "train.jsonl", made)
    write_manifest(tmp_path / "test.jsonl", make_speaker(tmp_path, "x", 1.0, 2, 9))
    write_manifest(tmp_path / "dev.jsonl", make_speaker(tmp_path, "y", 1.0, 2, 10))
    files = [word for part in ("train", "dev", "test") for word in (f"--{part}", tmp_path / f"{part}.jsonl")]
    command = ("train", *files, "--out", tmp_path / "run", *QUICK, *options)
    with monkeypatch.context() as patch:
        patch.setattr(stage, _fail)
        assert run(*command) == 1
    said = capsys.readouterr().err.strip()
    model = tmp_path / "run" / "model"
    assert "\n" not in said and f"a made-up failure; {model} holds the trained model: " in said and how in said
    assert Recogniser.load(model).transcribe([made[0].audio])
    assert run(*command, "--resume") == 0
    assert read_record(tmp_path / "run")["status"] == "finished" and Recogniser.load(model).origin["trained_on"]


def test_what_nobody_can_mend_keeps_its_traceback_behind_a_line_on_the_model(
    tone_corpus: dict[str, Path], feature_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def fail(*given: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("asr_transfer.data.kept_source.keep", fail)
    with pytest.raises(ZeroDivisionError):
        run("train", "--train", tone_corpus["train"], "--out", tmp_path / "run", *QUICK)
    assert "holds the trained model" in " ".join(capsys.readouterr().out.split())
    assert Recogniser.load(tmp_path / "run" / "model").head == "en"
