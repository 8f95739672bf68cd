"""A profile may keep how its model adapts to each utterance: stored, shown, applied, merged, refused when damaged."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from asr_transfer.adaptation.profile import FACTS, Profile, ProfileFacts, save_profile
from asr_transfer.commands.profile_on_model import load_with_profile
from asr_transfer.data.kept_source import FILES
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.decoding.settings import SutaConfig
from asr_transfer.errors import ModelError
from asr_transfer.plain import to_plain
from tests.adapting import run

SUTA = SutaConfig(steps=3, learning_rate=0.05, temperature=2.0, entropy_weight=0.5)


@pytest.fixture(scope="module")
def made(tone_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a profile that changes nothing of the model but how it listens."""
    model = Recogniser.load(tone_run).model
    return save_profile(
        tmp_path_factory.mktemp("own") / "mia", model, model, ProfileFacts("suta", 0, 0.0, test_time=SUTA)
    )


@pytest.fixture(scope="module")
def files(tone_corpus: dict[str, Path]) -> list[Path]:
    """Return recordings of a speaker whom the model knows little of."""
    return sorted((tone_corpus["test"].parent / "wav" / "ida").glob("*.wav"))[:8]


def test_settings_are_stored_and_a_profile_without_them_is_as_before(
    made: Path, tone_run: Path, tmp_path: Path
) -> None:
    profile = Profile.load(made)
    assert profile.facts.test_time == SUTA and "adaptation to each utterance" in profile.describe()
    assert yaml.safe_load((made / FACTS).read_text(encoding="utf-8"))["test_time"] == to_plain(SUTA)
    model = Recogniser.load(tone_run).model
    plain = save_profile(tmp_path / "plain", model, model, ProfileFacts("full", 3, 4.0))
    assert "test_time" not in yaml.safe_load((plain / FACTS).read_text(encoding="utf-8"))
    assert Profile.load(plain).facts.test_time is None


def test_transcribing_with_the_profile_adapts_to_each_recording(
    made: Path, tone_run: Path, files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    listener = Recogniser.load(tone_run)
    before = listener.transcribe(files)
    listener.test_time = SUTA
    expected = listener.transcribe(files)
    assert expected != before, "large steps must change something, or the test sees nothing"
    assert run("transcribe", "--model", tone_run, "--profile", made, *files) == 0
    assert [line.split("\t")[1] for line in capsys.readouterr().out.splitlines()] == expected


def test_a_merged_model_listens_alike_and_keeps_its_source(
    made: Path, tone_run: Path, files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    merge = ("profile", "merge", "--model", tone_run, "--profile", made, "--out", tmp_path / "merged")
    assert run(*merge) == 0
    assert "adapts to each utterance" in capsys.readouterr().out
    merged, both = Recogniser.load(tmp_path / "merged"), load_with_profile(tone_run, made)
    assert merged.test_time == both.test_time == SUTA and merged.transcribe(files) == both.transcribe(files)
    for name in FILES:
        kept = (tmp_path / "merged" / "source" / name).read_bytes()
        assert kept == (tone_run / "model" / "source" / name).read_bytes()
    assert run(*merge, "--overwrite") == 0, "a model's own summary is nothing foreign"
    (tmp_path / "merged" / "source" / "notes.txt").write_text("precious")
    assert run(*merge, "--overwrite") == 1
    assert "holds other things than a model (source/notes.txt)" in capsys.readouterr().err


def test_show_lists_the_settings(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("profile", "show", made) == 0
    rows = {" ".join(line.split()) for line in capsys.readouterr().out.splitlines()}
    assert {f"test-time {name} {value}" for name, value in to_plain(SUTA).items()} <= rows


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda plain: plain.update(steps=2.5), "`test_time.steps` must be a whole number, got 2.5"),
        (lambda plain: plain.update(steps="many"), "is damaged"),
        (lambda plain: plain.update(steps=-1), "`suta.steps` must be at least 0"),
        (lambda plain: plain.update(stepps=1), "unknown key `test_time.stepps`. Did you mean 'steps'?"),
        (None, "`test_time` must be a mapping of fields, got 3"),
    ],
)
def test_damaged_settings_are_one_sentence(
    made: Path, tmp_path: Path, damage: Callable[[dict[str, Any]], None] | None, message: str
) -> None:
    folder = Path(shutil.copytree(made, tmp_path / "own"))
    plain = yaml.safe_load((folder / FACTS).read_text(encoding="utf-8"))
    if damage is None:
        plain["test_time"] = 3
    else:
        damage(plain["test_time"])
    (folder / FACTS).write_text(yaml.safe_dump(plain), encoding="utf-8")
    with pytest.raises(ModelError) as error:
        Profile.load(folder)
    assert message in str(error.value) and str(folder) in str(error.value)
