"""The reports of real runs (AN4, and the recipe on FSDD) in a real headless Chromium."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest

from asr_transfer.cli import main
from asr_transfer.evaluation.scoring import Hypothesis
from tests.browser import CARDS, COLUMN, choose
from tests.evaluation.test_report import compare_folder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session", params=["an4", "fsdd"])
def real(request: pytest.FixtureRequest, driver: Any) -> list[Path]:
    """Return run folders of a real corpus; without a browser nothing is trained."""
    if request.param == "an4":
        runs: list[Path] = request.getfixturevalue("an4_runs")
        return runs
    return [request.getfixturevalue("digits_run")]


@pytest.fixture(scope="session")
def report(real: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page that the command writes of the runs."""
    out = tmp_path_factory.mktemp("real") / "comparison"
    assert main(["compare", *map(str, real), "--out", str(out)]) == 0
    return out / "report.html"


def scored(real: list[Path]) -> dict[str, list[Hypothesis]]:
    """Return the hypotheses of each system."""
    return {entry.name: entry.system.utterances for entry in compare_folder(*real).entries}


def test_tables_sort(visit: Callable[..., Any], report: Path, real: list[Path]) -> None:
    page = visit(report)
    systems = scored(real)
    heads = page.find_elements("css selector", "#summary .scroll table thead th")
    rate = [head.text.split("\n")[0] for head in heads].index("WER %")
    for ascending in (True, False):
        heads[rate].find_element("tag name", "button").click()
        shown = [float(text) for text in page.execute_script(COLUMN, rate)[: len(systems)]]
        assert shown == sorted(shown, reverse=not ascending) and len(set(shown)) > 1
    assert sorted(page.execute_script(COLUMN, 0)[: len(systems)]) == sorted(systems)
    speakers = page.find_element("css selector", "#groups table")
    speakers.find_element("css selector", "thead th:nth-child(2) button").click()
    counts = [int(cell.text) for cell in speakers.find_elements("css selector", "tbody td:nth-child(2)")]
    assert counts == sorted(counts) and sum(counts) == len(next(iter(systems.values())))


def test_filters_work(visit: Callable[..., Any], report: Path, real: list[Path]) -> None:
    page = visit(report)
    first = next(iter(scored(real).values()))
    of_speaker = Counter(u.speaker for u in first)
    for speaker, count in of_speaker.most_common(3):
        choose(page, "speaker", speaker)
        assert page.find_element("id", "status").text.startswith(f"{min(40, count)} of {count}")
        own = {u.id for u in first if u.speaker == speaker}
        assert set(page.execute_script(CARDS)) <= own
    choose(page, "speaker", f"all {len(of_speaker)}")
    choose(page, "order", "by name")
    assert page.find_element("id", "status").text.startswith(f"40 of {len(first)}")
    word = first[0].reference.split()[0]
    page.find_element("css selector", "#filters [name=text]").send_keys(word)
    page.implicitly_wait(2)
    page.find_element("xpath", f"//p[@id='status'][not(contains(., ' of {len(first)} '))]")
    page.implicitly_wait(0)
    assert first[0].id in page.execute_script(CARDS)


def test_every_utterance_has_a_player_of_its_recording(
    visit: Callable[..., Any], report: Path, real: list[Path]
) -> None:
    page = visit(report)
    first = next(iter(scored(real).values()))
    more = page.find_element("id", "more")
    while more.is_displayed():
        more.click()
    assert sorted(page.execute_script(CARDS)) == sorted(u.id for u in first)
    found = page.execute_script("return [...document.querySelectorAll('#cards .card audio')].map(a => a.src)")
    assert len(found) == len(first)
    assert all(Path(unquote(urlparse(address).path)).is_file() for address in found)


def test_a_recording_can_be_played(driver: Any, report: Path) -> None:
    """The content security policy lets recordings in, and the browser reads their format."""
    driver.get(report.resolve().as_uri())
    seconds = driver.execute_async_script(
        """const done = arguments[arguments.length - 1];
        const player = document.querySelector('#cards audio');
        player.addEventListener('loadedmetadata', () => done(player.duration));
        player.addEventListener('error', () => done(player.error.message));
        player.load(); player.preload = 'auto';"""
    )
    assert isinstance(seconds, float) and 0.1 < seconds < 20


def test_it_shows_what_was_run(visit: Callable[..., Any], report: Path, real: list[Path]) -> None:
    page = visit(report, "dark")
    for entry in compare_folder(*real).entries:
        text = page.execute_script("return document.querySelector('#origin').textContent")
        assert entry.system.record["command"] in text
        assert all(noted["checksum"] in text for noted in entry.system.record["data"].values())
        assert entry.system.record["versions"]["torch"] in text
