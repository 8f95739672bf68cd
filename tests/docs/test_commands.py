"""Commands of recipes that stand on the pages: whoever types them all overwrites no run with another."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from docs.records import PAGES, ROOT


def _commands(text: str) -> list[list[str]]:
    """Return the words of a page's recipe commands."""
    lines = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).splitlines()
    found = (shlex.split(line.split("  #")[0]) for line in lines)
    return [words for words in found if len(words) > 1 and words[1].startswith("recipes/")]


def test_no_two_experiments_write_into_one_folder() -> None:
    places: dict[str, set[str]] = {}
    for page in PAGES:
        for words in _commands(page.read_text(encoding="utf-8")):
            places.setdefault(words[words.index("--out") + 1], set()).add(" ".join(words))
    assert len(places) > 20
    assert {out: made for out, made in places.items() if len(made) > 1} == {}


def test_tables_of_words_have_their_commands_on_the_page_under_the_records_names() -> None:
    """A record `NAME.json` is of `runs/NAME`, which one command makes, with no option over the settings' files."""
    text = (ROOT / "recipes" / "zero_shot_words" / "README.md").read_text(encoding="utf-8")
    commands = {Path(words[words.index("--out") + 1]).name: words for words in _commands(text)}
    names = {
        name
        for found in re.findall(r"<!-- table (?:figures|words|ideas|sentences) (.+?) -->", text)
        for name in found.split()
    }
    assert names and names <= set(commands)
    plain = {
        "--config",
        "--root",
        "--speech",
        "--out",
        "--also",
        "--source",
        "--aligner",
        "--model",
        "--head",
        "--corpus",
    }
    for name in names:
        assert {word for word in commands[name] if word.startswith("--")} <= plain, name
