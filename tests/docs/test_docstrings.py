"""Module docstrings begin with what the module does: a verb in the third person."""

from __future__ import annotations

import ast
import re

import pytest

from docs.records import ROOT

FOLDERS = ("asr_transfer", "data_prep", "recipes", "docs", "benchmarks", "examples")
NOUNS = {"This", "Its", "Bus", "Class", "Corpus", "Loss", "Progress", "Settings"}
"""Words in s that are no verb and could begin a docstring."""
BEHIND_A_NOUN = {"of", "that", "as", "with", "in", "by", "under", "are", "is"}
"""Words behind a noun in the plural, as in "Tables of an experiment"."""
VERBS = {"Checks that", "Fills in", "Has in", "Puts in", "Shows that", "Takes in", "Ensures that", "States that"}
"""Verbs that these words may follow."""


def begins_with_a_verb(docstring: str) -> bool:
    """Return whether the first word is capitalised, ends in s, and is not followed as a noun would be."""
    found = re.match(r"(?P<first>[A-Z][a-z]+s)(?: and [a-z]+s\b)?(?P<behind> [a-z]+)?(?![\w:])", docstring)
    if found is None or found["first"] in NOUNS:
        return False
    behind = (found["behind"] or "").strip()
    return f"{found['first']} {behind}" in VERBS or behind not in {*BEHIND_A_NOUN, "and"}


def test_every_module_says_first_what_it_does() -> None:
    wrong = []
    for path in (path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        if docstring is None and path.name == "__init__.py":
            continue
        if not begins_with_a_verb(docstring or ""):
            wrong.append(f"{path.relative_to(ROOT)}: {(docstring or 'has no docstring').splitlines()[0]}")
    assert not wrong, "a module's docstring begins with a verb in the third person, as in 'Reads manifests'"


@pytest.mark.parametrize(
    ("docstring", "right"),
    [
        ("Reads audio: whatever soundfile decodes.", True),
        ("Reads and writes manifests.", True),
        ("Checks that a language model and a lexicon are of the same words.", True),
        ("Tables of experiments on new languages.", False),
        ("Tables and files of an experiment.", False),
        ("Manifests: one utterance per line.", False),
        ("Batches: what a model is fed.", False),
        ("Read a manifest.", False),
        ("What every run writes.", False),
        ("reads audio", False),
    ],
)
def test_verbs_are_told_from_nouns(docstring: str, right: bool) -> None:
    assert begins_with_a_verb(docstring) is right
