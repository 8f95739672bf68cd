"""`make base` and `make base-whisper`: the corpora that they fetch, the manifests that they prepare, their settings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from asr_transfer.runs.record import RunRecord
from data_prep.fetch import SOURCES as FETCHED
from data_prep.multilingual import SOURCES
from docs.commands import settings_of
from docs.records import ROOT

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.fixture(scope="module", params=["base", "base-whisper"])
def target(request: pytest.FixtureRequest) -> str:
    """Return the name of the target."""
    return str(request.param)


@pytest.fixture(scope="module")
def commands(target: str) -> list[str]:
    """Return the lines of the target."""
    found = re.search(rf"^{target}: .*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert found
    return [line.strip() for line in found[1].splitlines()]


def test_every_corpus_that_is_fetched_is_a_source(commands: list[str]) -> None:
    listed = re.search(r"^BASE_CORPORA = (.+)$", MAKEFILE, re.MULTILINE)
    assert listed
    names = listed[1].split()
    fetched = {place.fetched: name for name, place in SOURCES.items() if place.fetched}
    assert len(names) == len(set(names)) and set(names) <= FETCHED.keys()
    assert set(fetched) == set(names), "all that can be fetched is, and nothing else"


def test_it_trains_on_what_it_prepares_and_keeps_speech_of_each_language(commands: list[str]) -> None:
    (trains,) = [line for line in commands if " train " in line]
    settings = settings_of(f"asr-transfer {trains.partition(' ')[2]}")
    (prepares,) = [line for line in commands if "prepare languages" in line]
    folder = Path(prepares.split("--out ")[1].split()[0])
    files = {name: Path(str(settings[name])) for name in ("train", "test", "about")}
    assert files == {"train": folder / "train.jsonl", "test": folder / "test.jsonl", "about": folder / "about.md"}
    assert settings["keep_source"] >= 1000 and settings["keep_judged"] >= 30, "for `learn`"


def test_it_goes_on_where_it_was_stopped_and_begins_where_nothing_is(
    commands: list[str], target: str, tmp_path: Path
) -> None:
    assert commands[-1].endswith(f"--out runs/{target} --resume")
    assert not RunRecord(tmp_path / "base", {}, resume=True).finished_before
