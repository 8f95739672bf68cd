"""Without the extra `voices` everything imports and runs but espeak-ng, which says how to install it."""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import asr_transfer
import data_prep
from asr_transfer.cli import main
from asr_transfer.data import g2p, synthesis
from asr_transfer.errors import ConfigError
from data_prep.made_up import MadeUpConfig, prepare_made_up

REFUSAL = r"espeak-ng.* is not installed; use: pip install 'asr-transfer\[voices\]'"


@pytest.fixture
def blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the package look as if it were not installed."""
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    monkeypatch.setattr(synthesis, "_engine", synthesis._engine.__wrapped__)
    g2p._espeak.cache_clear()


def test_no_module_imports_espeak() -> None:
    names = [
        found.name
        for package in (asr_transfer, data_prep)
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]
    code = f"""import importlib, sys
for name in {names!r}:
    importlib.import_module(name)
assert "asr_transfer.data.synthesis" in sys.modules and "data_prep.synthetic" in sys.modules
assert "espeakng_loader" not in sys.modules"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


def test_voices_name_the_extra_and_leave_no_folder(
    blocked: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=REFUSAL):
        synthesis.synthesise(["one"], synthesis.Voice("en-us"))
    with pytest.raises(ConfigError, match=REFUSAL):
        prepare_made_up(MadeUpConfig(), tmp_path / "words")
    assert main(["prepare", "synthetic", "--out", str(tmp_path / "corpus")]) == 1
    error = capsys.readouterr().err
    assert "pip install 'asr-transfer[voices]'" in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_pronunciations_by_rule_name_the_extra(blocked: None) -> None:
    with pytest.raises(ConfigError, match=REFUSAL + "; or give a lexicon that holds the words, or take characters"):
        g2p.pronounce(["perro"], "es")
    with pytest.raises(ConfigError, match=REFUSAL):
        g2p.guess_sentence("el perro", "es")
