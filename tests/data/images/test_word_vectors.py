"""Vectors of words as means of their pieces', with a made-up tokenizer of three pieces."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from asr_transfer.data.images import word_vectors
from asr_transfer.errors import DataError
from asr_transfer.fetched import IMAGES, STAMP, fetched_images


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of vectors (1, 0) of `cat`, (0, 1) of `fish`, and (5, 5) of what is unknown."""
    monkeypatch.setenv("ASR_TRANSFER_DATA", str(tmp_path))
    folder = tmp_path / IMAGES / "word-vectors"
    for name in ("weights", "tokenizers"):
        (folder / "wordllama" / name).mkdir(parents=True)
    (folder / STAMP).write_text("{}")
    table = torch.tensor([[1.0, 0], [0, 1], [5, 5]], dtype=torch.float16)
    save_file({"embedding.weight": table}, folder / "wordllama/weights/l2_supercat_256.safetensors")
    tokenizer = Tokenizer(models.WordLevel({"cat": 0, "fish": 1, "?": 2}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "wordllama/tokenizers/l2_supercat_tokenizer_config.json"))
    return folder


def test_a_word_is_the_mean_of_its_pieces(made: Path) -> None:
    vectors = word_vectors(["cat", "cat fish", "fish", "cat fish fish"])
    assert vectors.dtype == torch.float32
    assert torch.allclose(vectors, torch.tensor([[1, 0], [0.5, 0.5], [0, 1], [1 / 3, 2 / 3]]))


def test_bad_words_and_files(made: Path) -> None:
    with pytest.raises(DataError, match="word 2 of 2 is empty, so that it has no vector; name it"):
        word_vectors(["cat", " "])
    (made / "wordllama/weights/l2_supercat_256.safetensors").write_bytes(b"cut")
    with pytest.raises(DataError, match=r"word-vectors: is damaged \(.+\); remove it and fetch it again"):
        word_vectors(["cat"])
    (made / "wordllama/tokenizers/l2_supercat_tokenizer_config.json").write_text("{")
    with pytest.raises(DataError, match="is damaged"):
        word_vectors(["cat"])
    (made / STAMP).unlink()
    with pytest.raises(DataError, match="get it with `asr-transfer fetch word-vectors`"):
        word_vectors(["cat"])


def test_fetched_vectors_know_what_belongs_together() -> None:
    try:
        fetched_images("word-vectors")
    except DataError as error:
        pytest.skip(str(error))
    vectors = torch.nn.functional.normalize(word_vectors(["car", "truck", "kitten", "cat"]), dim=1)
    near = vectors @ vectors.T
    assert vectors.shape == (4, 256)
    assert near[0, 1] > near[0, 3] and near[2, 3] > near[0, 3]
