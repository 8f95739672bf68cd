"""The form of the pages: the front page fits a screen, links lead somewhere, tables name what there is, code runs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from asr_transfer.adaptation.methods import METHODS
from docs.records import PAGES, ROOT, page_name
from tests.learning import in_folder, speech
from tests.tones import make_speaker

README = ROOT / "README.md"
GUIDES = [page for page in PAGES if page.parent.name == "docs"]
BLOCKS = re.compile(r"```.*?```|<!--.*?-->", re.DOTALL)


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def _anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    found = re.findall(r"^#+ (.+)$", BLOCKS.sub("", _text(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_the_front_page_fits_a_screen_and_leads_to_every_page() -> None:
    text = _text(README)
    assert text.count("\n") < 80
    linked = {(ROOT / target).resolve() for target in re.findall(r"\]\(([^)#:]+)\)", text)}
    assert linked >= set(PAGES) - {README}


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_relative_link_and_picture_leads_to_a_file_and_every_anchor_to_a_heading(page: Path) -> None:
    text = BLOCKS.sub("", _text(page))
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|srcset|href)="([^"]+)"', text)
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.is_file(), target
        assert not anchor or anchor in _anchors(file), target


@pytest.mark.parametrize("page", GUIDES, ids=page_name)
def test_a_guide_begins_with_what_it_is_for(page: Path) -> None:
    title, sentence = _text(page).split("\n\n")[:2]
    assert title.startswith("# ") and re.match(r"This page (is for|says|shows|describes) ", sentence)


def test_the_guides_say_nothing_twice() -> None:
    """Of sentences of ten words and more, outside of code and tables, each stands on one page once."""
    where: dict[str, str] = {}
    for page in (README, *GUIDES):
        prose = re.sub(r"^[|].*$", "", BLOCKS.sub("", _text(page)), flags=re.MULTILINE)
        for sentence in re.split(r"(?<=[.:])\s+", prose):
            plain = " ".join(sentence.split())
            if len(plain.split()) >= 10:
                assert plain not in where, f"{page_name(page)} and {where[plain]}: {plain}"
                where[plain] = page_name(page)
    assert len(where) > 100


def test_the_table_of_rooms_names_every_module_of_the_ground_floor_and_every_room() -> None:
    rows = [row for row in _text(ROOT / "docs" / "how-it-is-built.md").splitlines() if row.startswith("| `")]
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    package = ROOT / "asr_transfer"
    modules = {path.stem for path in package.glob("*.py")} - {"__init__"}
    rooms = {path.parent.name for path in package.glob("*/__init__.py")} | {"data_prep"}
    assert sorted(named) == sorted(modules | rooms)


def test_the_table_of_methods_names_every_method() -> None:
    table = _text(ROOT / "docs" / "adapt.md").split("| `--method` | what it does |\n|---|---|\n")[1].split("\n\n")[0]
    named = [name for row in table.splitlines() for name in re.findall(r"`([\w-]+)`", row.split("|")[1])]
    assert sorted(named) == sorted({*METHODS, "auto"})


def test_the_program_on_the_page_about_python_runs(
    tone_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tone_run, tmp_path / "my_model")
    for utterance in make_speaker(tmp_path / "raw", "me", 1.1, 6, seed=5):
        target = tmp_path / "my_recordings" / Path(utterance.audio).name
        target.parent.mkdir(exist_ok=True)
        shutil.move(utterance.audio, target)
        target.with_suffix(".txt").write_text(utterance.text, encoding="utf-8")
    shutil.copy(next((tmp_path / "my_recordings").glob("*.wav")), tmp_path / "new.wav")
    in_folder(tmp_path / "my_language", speech(tmp_path / "raw", "mk", 120, 1, seed=6))
    monkeypatch.chdir(tmp_path)
    (program,) = re.findall(r"```python\n(.*?)```", _text(ROOT / "docs" / "python.md"), re.DOTALL)
    assert 'language="eo")' in program
    exec(compile(program.replace('language="eo")', 'language="eo", steps=8)'), "docs/python.md", "exec"), {})
    printed = capsys.readouterr().out
    assert re.search(r"^eo \[", printed, re.MULTILINE)
    assert re.search(r"\d+ errors in \d+ words", printed) and "my_adapted_scores 0." in printed
    assert (tmp_path / "report" / "report.html").is_file()
