"""`asr-transfer export` through the command line: head, profile and folder, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from asr_transfer.adaptation.profile import save_profile
from asr_transfer.cli import main
from asr_transfer.commands.export import ExportCommand
from asr_transfer.commands.profile_on_model import load_with_profile
from asr_transfer.data.manifest import read_manifest
from asr_transfer.deployment import TARGETS
from asr_transfer.models.adapters import AdapterSpec, add_adapter
from asr_transfer.models.folder import load_model
from asr_transfer.runs.console import say
from tests.small import small_model

onnxruntime = pytest.importorskip("onnxruntime")


def run(*arguments: object) -> int:
    """Run the command."""
    return main(["export", *(str(argument) for argument in arguments)])


@pytest.fixture(scope="module")
def profile(tone_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a profile with adapters that are folded into weights, far enough off to be heard."""
    base, adapted = load_model(tone_run / "model"), load_model(tone_run / "model")
    add_adapter(adapted, AdapterSpec("lora", 2))
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in adapted.adapters.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    facts = {"method": "lora", "utterances": 3, "seconds": 4.0, "head": "en"}
    return save_profile(tmp_path_factory.mktemp("profile") / "ida", base, adapted, facts)


def test_a_trained_model_writes_the_same_texts_elsewhere(
    tone_run: Path, tone_corpus: dict[str, Path], profile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run("--model", tone_run, "--profile", profile, "--to", "onnx", "--out", out) == 0
    assert "written for onnx" in capsys.readouterr().out
    recogniser = load_with_profile(tone_run, profile)
    utterances = read_manifest(tone_corpus["test"])[:6]
    session = onnxruntime.InferenceSession(str(out / "model.onnx"))
    for utterance in utterances:
        wave = torch.as_tensor(np.asarray(__import__("soundfile").read(utterance.audio, dtype="float32")[0]))
        fed = recogniser.model.inputs.analyse(wave).numpy()[None]
        found = session.run(None, {"features": fed, "lengths": np.array([fed.shape[1]])})[0][0].argmax(1)
        text = recogniser.tokens.decode(torch.unique_consecutive(torch.as_tensor(found)).tolist())
        assert [text] == recogniser.transcribe([utterance.audio])
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "with the profile" in card and "lora from 3 utterances" in card and "errors in words: " in card
    assert json.loads((out / "export.json").read_text(encoding="utf-8"))["profile"] == str(profile)


def test_a_profile_of_another_base_is_refused(
    tone_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, adapted = small_model(seed=1, heads={"en": 8}), small_model(seed=2, heads={"en": 8})
    wrong = save_profile(tmp_path / "wrong", other, adapted, {"method": "all", "utterances": 1, "seconds": 1.0})
    assert run("--model", tone_run, "--profile", wrong, "--to", "onnx", "--out", tmp_path / "out") == 1
    assert "the profile belongs to the base model" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_language_picks_the_head(languages_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--model", languages_run, "--to", "onnx", "--out", tmp_path / "out"]
    assert run(*options) == 1 and "has the heads en, nl; say which with --language" in capsys.readouterr().err
    assert run(*options, "--language", "fr") == 1 and "fr" in capsys.readouterr().err
    assert run(*options, "--language", "auto") == 1 and "name it with --language" in capsys.readouterr().err
    assert run(*options, "--language", "nl") == 0
    assert "the heads en stay behind" in capsys.readouterr().out
    assert "u " in (tmp_path / "out" / "tokens.txt").read_text(encoding="utf-8")


def test_nothing_is_written_into_the_model(tone_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--model", tone_run, "--to", "onnx", "--out", tone_run / "model" / "onnx") == 1
    assert "lies in the folder of the model" in capsys.readouterr().err


def test_the_help_names_every_target() -> None:
    said = ExportCommand.__doc__ or ""
    assert say and all(f"`{name}`" in said for name in TARGETS)
