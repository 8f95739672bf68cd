"""A head that does not say its language, as of most published CTC models, is taken for one, or gets one beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError
from asr_transfer.languages import learning
from asr_transfer.languages.heads import extend_head, renamed
from tests.commands.conftest import Lines
from tests.learning import learn, manifest, speech
from tests.models.pretrained.ctc_folders import write


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small wav2vec 2.0 with one head."""
    folder = tmp_path_factory.mktemp("published") / "w2v"
    write(folder, "wav2vec2", ["<pad>", "<unk>", "|", *"abcdef"], pad_token_id=0)
    return folder


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a manifest whose texts have a letter that the head lacks."""
    made = tmp_path_factory.mktemp("speech")
    spoken = speech(made, "de", 16, 12)
    return manifest(made / "de.jsonl", [replace(u, text=u.text.replace("ace", "acé")) for u in spoken])


@pytest.fixture
def unlearnt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a model be written although a step has taught it nothing."""
    monkeypatch.setattr(learning, "HOPELESS", 99.0)


def test_its_rows_are_kept_bit_for_bit_and_new_ones_follow(folder: Path) -> None:
    source = Recogniser.load(folder)
    taken = renamed(source, "main", "eo")
    assert (taken.head, taken.model.head_names(), source.model.head_names()) == ("eo", ["eo"], ["main"])
    more = extend_head(taken, "eo", Tokens([*"abcĉ"]))
    before, after = source.model.state_dict(), more.model.state_dict()
    for kind in ("weight", "bias"):
        old, new = before.pop(f"heads.main.{kind}"), after.pop(f"heads.eo.{kind}")
        assert torch.equal(new[: len(old)], old) and len(new) == len(old) + 1
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert more.tokens.symbols == [*source.tokens.symbols, "ĉ"]


def test_it_grows_where_the_user_says_its_language(folder: Path, grown: Path, tmp_path: Path, unlearnt: None) -> None:
    words = ("--head", "main", "--language", "de", "--way", "head", "--steps", 1)
    ran = learn(folder, grown, tmp_path / "out", *words)
    assert "the head 'main' is taken for that of 'de'" in ran.printed
    assert "vocabulary: the head 'de' has 8 rows, all of which are kept; 1 are added: é" in ran.printed
    assert {rung["way"] for rung in ran.record["learning"]["ladder"]} == {"none", "head"}
    assert Recogniser.load(ran.out).model.head_names() == ["de"]


def test_else_the_language_gets_a_head_beside_it_and_is_told_how(
    folder: Path, grown: Path, tmp_path: Path, unlearnt: None
) -> None:
    ran = learn(folder, grown, tmp_path / "out", "--way", "head", "--steps", 1)
    assert "the model's head 'main' does not say its language, so 'de' gets a head of its own" in ran.printed
    assert "(--head main --language de would take that head for it" in ran.printed
    both = Recogniser.load(ran.out, "main")
    assert sorted(both.model.head_names()) == ["de", "main"]
    assert torch.equal(both.model.head("main").weight, Recogniser.load(folder).model.head("main").weight)


def test_what_it_cannot_be_taken_for_is_said_in_a_sentence(
    folder: Path, grown: Path, lines: Lines, tmp_path: Path
) -> None:
    given = ("learn", "--model", folder, "--data", grown, "--out", tmp_path / "out", "--head")
    for words, said in (
        (("main",), "`head` is taken for that of the language; give its code with --language"),
        (("mian", "--language", "de"), "the model has no head 'mian'"),
        (("main", "--language", "german"), "`language` is 'german', which is a name; give its code, 'de'"),
    ):
        status, _, error = lines(*given, *words)
        assert status == 1 and said in error and error.count("\n") == 1
    with pytest.raises(ConfigError, match="`head` is 'eo', which is the language of that head"):
        renamed(renamed(Recogniser.load(folder), "main", "eo"), "eo", "de")
