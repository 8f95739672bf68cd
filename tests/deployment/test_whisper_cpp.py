"""The ggml file holds the sizes, the filters, the bytes of the tokens and the tensors as whisper.cpp reads them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from asr_transfer.deployment import ExportOptions, Source, find_target, whisper_cpp
from asr_transfer.errors import ModelError
from asr_transfer.models.pretrained.whisper_folder import published_tensors
from tests.deployment import sources
from tests.models.pretrained import whole_whisper

TARGET = find_target("whisper.cpp")
PLAIN = ExportOptions()


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    """Return a model whose sizes whisper.cpp would take, but for the number of its tokens and its window."""
    whole_whisper.write_whisper(tmp_path / "published", encoder_ffn_dim=64, decoder_ffn_dim=64)
    monkeypatch.setattr(whisper_cpp, "VOCABULARIES", (265,))
    monkeypatch.setattr(whisper_cpp, "WINDOW", 2.0)
    monkeypatch.setattr(whisper_cpp, "find_spec", lambda name: None)
    return sources.opened(tmp_path / "published")


def test_the_file_is_laid_out_as_whisper_cpp_reads_it(source: Source, tmp_path: Path) -> None:
    assert TARGET.refusal(source, PLAIN) is None
    report = TARGET.write(source, tmp_path, PLAIN)
    assert "whisper.cpp itself was not run, for pywhispercpp is not installed" in report.lines[0]
    data = (tmp_path / "ggml-model.bin").read_bytes()
    assert struct.unpack("<12i", data[:48]) == (0x67676D6C, 265, 100, 16, 2, 2, 64, 16, 2, 2, 80, 1)
    assert struct.unpack("<2i", data[48:56]) == (80, 201)
    filters = np.frombuffer(data[56 : 56 + 4 * 80 * 201], "<f4").reshape(80, 201)
    # The first triangle of 80 bands stands over bin 1 alone, and every one has an area of about one.
    assert filters[0].argmax() == 1 and (filters.sum(1) * 40 > 0.5).all()
    tokens = data[56 + 4 * 80 * 201 :]
    assert struct.unpack("<i", tokens[:4]) == (256,)
    lengths = {struct.unpack("<i", tokens[4 + 5 * n : 8 + 5 * n])[0] for n in range(256)}
    assert lengths == {1} and sorted(tokens[8 + 5 * n] for n in range(256)) == list(range(256))


def test_tensors_have_its_names_shapes_and_precisions(source: Source, tmp_path: Path) -> None:
    TARGET.write(source, tmp_path, PLAIN)
    found = dict(whisper_cpp.read_tensors(tmp_path / "ggml-model.bin"))
    own = published_tensors(source.recogniser.model)  # type: ignore[arg-type]
    # As whisper.cpp counts them: three of a front end, two norms, the embedding, and those of the layers.
    assert len(found) == len(own) == 5 + 2 + 2 + 2 + 2 * 15 + 2 * 24
    for name, there, dtype in (
        ("encoder.blocks.1.attn.key.weight", "model.encoder.layers.1.self_attn.k_proj.weight", "<f2"),
        ("encoder.blocks.0.mlp.2.bias", "model.encoder.layers.0.fc2.bias", "<f4"),
        ("decoder.blocks.1.cross_attn.out.weight", "model.decoder.layers.1.encoder_attn.out_proj.weight", "<f2"),
        ("decoder.blocks.0.cross_attn_ln.weight", "model.decoder.layers.0.encoder_attn_layer_norm.weight", "<f4"),
        ("encoder.positional_embedding", "model.encoder.embed_positions.weight", "<f4"),
        ("decoder.token_embedding.weight", "model.decoder.embed_tokens.weight", "<f2"),
        ("encoder.ln_post.weight", "model.encoder.layer_norm.weight", "<f4"),
        ("encoder.conv1.weight", "model.encoder.conv1.weight", "<f2"),
    ):
        assert found[name].dtype == dtype
        np.testing.assert_array_equal(found[name], own[there].numpy().astype(dtype))
    assert found["encoder.conv1.bias"].shape == (16, 1)


def test_a_damaged_file_is_found(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = whisper_cpp._write

    def cut(out: object, source: Source) -> None:
        whole(out, source)  # type: ignore[arg-type]
        out.seek(-4, 2)  # type: ignore[attr-defined]
        out.write(b"\1\2\3\4")  # type: ignore[attr-defined]

    monkeypatch.setattr(whisper_cpp, "_write", cut)
    with pytest.raises(ModelError, match="does not hold the model's weights"):
        TARGET.write(source, tmp_path, PLAIN)


def test_sizes_that_it_cannot_compute_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = sources.whisper(tmp_path / "published")
    assert "by the number of tokens, 51864, 51865, 51866, not 265" in str(TARGET.refusal(source, PLAIN))
    monkeypatch.setattr(whisper_cpp, "VOCABULARIES", (265,))
    assert "four times as wide" in str(TARGET.refusal(source, PLAIN))
    assert "this is a TransformersCtc" in str(TARGET.refusal(sources.ctc(tmp_path / "ctc"), PLAIN))
