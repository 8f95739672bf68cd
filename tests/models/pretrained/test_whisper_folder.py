"""Published folders of Whisper whose files are damaged, or of another model than the weights, are refused by field."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asr_transfer.errors import ModelError
from asr_transfer.models.pretrained.door import open_pretrained
from tests.models.pretrained.whole_whisper import FIRST_MARK, MARKS, write_whisper

SIZE = FIRST_MARK + len(MARKS)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small Whisper, not to be changed."""
    folder = tmp_path_factory.mktemp("published") / "whisper"
    write_whisper(folder)
    return folder


@pytest.fixture
def folder(published: Path, tmp_path: Path) -> Path:
    """Return a copy of it."""
    return Path(shutil.copytree(published, tmp_path / "whisper"))


def change(file: Path, alter: Callable[[dict[str, Any]], Any]) -> None:
    """Alter what a JSON file holds; one that is not there holds nothing."""
    plain = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    alter(plain)
    file.write_text(json.dumps(plain), encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "field", "value", "message"),
    [
        ("generation_config", "suppress_tokens", "x", r"generation_config.json: `suppress_tokens` must be a list"),
        ("generation_config", "suppress_tokens", [99999], rf"`suppress_tokens` holds 99999, but .* is {SIZE}; the fol"),
        ("generation_config", "begin_suppress_tokens", [-2], r"`begin_suppress_tokens` holds -2, but `vocab_size`"),
        ("generation_config", "suppress_tokens", [*range(SIZE)], "leave no token that a text could begin with; copy"),
        ("generation_config", "alignment_heads", "x", r"generation_config.json: `alignment_heads` must be a list, got"),
        ("generation_config", "alignment_heads", [[0, 0, 0]], r"`alignment_heads\[0\]` must be a list of 2"),
        ("config", "d_model", 0, r"config.json: `d_model` must be from 1 to 100000, got 0"),
        ("config", "d_model", 15, r"`d_model` must be a multiple of `encoder_attention_heads`, got 15 and 2"),
        ("config", "decoder_attention_heads", 3, r"config.json: `d_model`, 16, must be a multiple of the attention"),
        ("config", "encoder_layers", "2", r"`encoder_layers` must be a whole number"),
        ("config", "vocab_size", 10**9, r"`vocab_size` must be from 1 to 10000000, got 1000000000"),
        ("config", "vocab_size", None, r"config.json: `vocab_size` must be a whole number, got None"),
        ("preprocessor_config", "sampling_rate", 8000, r"`sampling_rate` is 8000, but 16000 is all that can be compu"),
        ("preprocessor_config", "feature_size", 128, r"`feature_size` is 128, but the model hears 80; copy the file"),
        ("processor_config", "feature_extractor", {"hop_length": 80}, r"`hop_length` is 80, but 160 is all that can"),
        ("processor_config", "feature_extractor", 3, r"`feature_extractor` must be a mapping"),
    ],
)
def test_a_field_that_cannot_be_is_named_with_its_file(
    file: str, field: str, value: Any, message: str, folder: Path
) -> None:
    change(folder / f"{file}.json", lambda plain: plain.update({field: value}))
    with pytest.raises(ModelError, match=message) as caught:
        open_pretrained(folder)
    told = str(caught.value)
    assert told.startswith(f"{folder / file}.json: ") and told.count(str(folder)) == 1 and "\n" not in told


@pytest.mark.parametrize("where", ["vocab", "added_tokens"])
def test_a_token_that_the_model_does_not_have_is_named(where: str, folder: Path) -> None:
    def alter(plain: dict[str, Any]) -> None:
        if where == "vocab":
            plain["model"]["vocab"]["ab"] = 5000
        else:
            plain["added_tokens"].append({**plain["added_tokens"][-1], "id": SIZE, "content": "<|more|>"})

    change(folder / "tokenizer.json", alter)
    with pytest.raises(ModelError, match=rf"tokenizer.json: has the token '.*' at \d+, but .* is {SIZE}; the folder m"):
        open_pretrained(folder)


def test_what_is_no_tokenizer_is_named(folder: Path) -> None:
    (folder / "tokenizer.json").write_bytes(b"\xff{")
    with pytest.raises(ModelError, match=r"tokenizer.json: the tokenizer is damaged \("):
        open_pretrained(folder)


def test_fields_that_say_the_usual_are_taken(folder: Path) -> None:
    """A token of -1 stands for none, and the settings of the features are those that are computed."""
    usual = {"sampling_rate": 16000, "feature_size": 80, "hop_length": 160, "n_fft": 400}
    change(folder / "preprocessor_config.json", lambda plain: plain.update(usual))
    change(
        folder / "generation_config.json", lambda plain: plain.update(suppress_tokens=[-1], alignment_heads=[[1, 0]])
    )
    (tokens,) = open_pretrained(folder).tokens.values()
    assert tokens.never == () and len(tokens) == SIZE  # type: ignore[attr-defined]
