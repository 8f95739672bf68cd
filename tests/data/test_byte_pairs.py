"""Byte pairs spell any text, between the marks that tell a decoder what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer.data.byte_pairs import BytePairTokens
from asr_transfer.data.tokens import Tokens
from asr_transfer.errors import DataError
from tests.models.pretrained.whole_whisper import mark, tokenizer


@pytest.fixture(scope="module")
def tokens() -> BytePairTokens:
    return BytePairTokens(tokenizer().encode(), 300, [3, 4], [5])


def test_a_target_is_the_prompt_the_text_and_the_end(tokens: BytePairTokens) -> None:
    prompt = [mark("startoftranscript"), mark("cs"), mark("transcribe"), mark("notimestamps")]
    found = tokens.targets("Jo, řeka!", "cs")
    assert found[:4] == prompt and found[-1] == mark("endoftext")
    assert found[4:-1] == tokens.encode("Jo, řeka!")
    assert tokens.decode(found) == "Jo, řeka!"
    assert tokens.prompt("cs") == prompt


def test_the_text_of_a_mark_does_not_become_the_mark(tokens: BytePairTokens) -> None:
    text = "a <|endoftext|> b"
    assert max(tokens.encode(text)) < mark("endoftext")
    assert tokens.decode(tokens.encode(text)) == text


def test_texts_begin_with_a_space_where_words_are_spaced(tokens: BytePairTokens) -> None:
    assert len(tokens.targets("ab", "en")) == len(tokens.targets("ab", "zh")) + 1


def test_manifests_may_name_a_language_otherwise(tokens: BytePairTokens) -> None:
    assert [tokens.language(code) for code in ("cmn", "en-GB", "cs", "de", "")] == ["zh", "en", "cs", None, None]
    with pytest.raises(
        DataError, match="utterance 'a': the model knows no language 'de'; name another with --language"
    ):
        tokens.targets("ab", "de", "utterance 'a'")


def test_a_file_names_its_tokenizer_and_is_read_again(tmp_path: Path, tokens: BytePairTokens) -> None:
    tokens.save(tmp_path / "tokens.txt")
    again = Tokens.load(tmp_path / "tokens.txt")
    assert isinstance(again, BytePairTokens) and again == tokens and len(again) == 300
    assert (again.never, again.never_first) == ((3, 4), (5,))
    assert again != BytePairTokens(tokens.data, 300, [3], [5])
    (tmp_path / "tokens.json").unlink()
    with pytest.raises(DataError, match=r"tokens.json: the tokenizer is missing"):
        Tokens.load(tmp_path / "tokens.txt")
    (tmp_path / "tokens.txt").write_text("# units: byte-pairs\n# size: few\n")
    with pytest.raises(DataError, match=r"tokens.txt: is no token file of byte pairs"):
        Tokens.load(tmp_path / "tokens.txt")


def test_a_tokenizer_of_another_model_is_refused() -> None:
    with pytest.raises(DataError, match="knows no <|endoftext|>, so it is not one of Whisper's"):
        BytePairTokens(tokenizer().replace("<|endoftext|>", "<|finis|>").encode())
