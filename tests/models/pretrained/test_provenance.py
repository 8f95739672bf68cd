"""The name and the licence of the pretrained model are kept by all models that are made from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.models.configuration import read_config
from asr_transfer.models.pretrained.provenance import BASE, base_of, told_base
from tests.adapting import adapt, recordings, run
from tests.models.pretrained.ctc_folders import write

HEAD = "---\nlicense: apache-2.0\nlanguage:\n- en\n---\n# A model\n"
SYMBOLS = ["<pad>", "<unk>", "|", *"abcdef"]


@pytest.mark.parametrize(
    ("files", "licence"),
    [
        ({}, "not told"),
        ({"README.md": HEAD}, "apache-2.0"),
        ({"README.md": HEAD, "fetched.json": '{"licence": "MIT"}'}, "MIT"),
        ({"README.md": "---\nlicense: other\nlicense_name: of-the-house\n---\n"}, "of-the-house"),
        ({"README.md": "---\nlicense: [\n---\n", "config.json": '{"license": "bsd-3-clause"}'}, "bsd-3-clause"),
        ({"LICENSE": "\n  MIT License\n\nCopyright\n"}, "MIT License"),
        ({"fetched.json": "{", "README.md": "no head"}, "not told"),
    ],
)
def test_the_licence_is_what_the_folder_tells(files: dict[str, str], licence: str, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    assert base_of(folder) == {BASE: {"name": "tiny", "licence": licence}}
    assert licence in told_base(base_of(folder)) and told_base({}) == ""


def test_the_name_is_that_of_the_hub_where_the_folder_is_a_copy_of_it(tmp_path: Path) -> None:
    cached = tmp_path / "models--openai--whisper-small" / "snapshots" / "0a1b"
    cached.mkdir(parents=True)
    assert base_of(cached)[BASE]["name"] == "openai/whisper-small"
    (tmp_path / "config.json").write_text(json.dumps({"_name_or_path": "facebook/hubert-base-ls960"}))
    assert base_of(tmp_path)[BASE]["name"] == "facebook/hubert-base-ls960"


def test_generations_of_adapted_models_keep_them_on_their_cards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published = tmp_path / "w2v"
    write(published, "wav2vec2", SYMBOLS, pad_token_id=0)
    (published / "README.md").write_text(HEAD)
    kim = recordings(tmp_path / "speaker", "kim", 1.17, 4, 7)
    before = published
    for out in (tmp_path / "first", tmp_path / "second"):
        options = ("--method", "lhuc", "--steps", 1, "--check", "false", "--keep_suspicious", "--precision", "fp32")
        adapt(before, kim, out, *options)
        assert read_config(out / "model")["origin"][BASE] == {"name": "w2v", "licence": "apache-2.0"}
        card = (out / "model" / "README.md").read_text()
        assert card.count("Base model: w2v; licence, which binds this model too: apache-2.0.") == 1
        capsys.readouterr()
        assert run("show", out) == 0
        assert "base model: w2v" in capsys.readouterr().out
        before = out
    assert Recogniser.load(before).origin[BASE]["name"] == "w2v"
