"""What is written for Transformers loads there, and gives the logits and texts that the model itself gives."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from asr_transfer.config import Units
from asr_transfer.data.subwords import MARK, subwords_of
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.deployment import ExportOptions, Source, find_target
from asr_transfer.errors import ModelError
from asr_transfer.models.adapters import AdapterSpec, add_adapter
from asr_transfer.models.pretrained.whisper import Whisper
from tests.deployment import sources
from tests.models.pretrained.ctc_folders import FAMILIES
from tests.models.pretrained.published import random_encoder

transformers = pytest.importorskip("transformers")
TARGET = find_target("transformers")
PLAIN = ExportOptions()
WHOLE = {"sounds": 3, "equal texts": 3}


def _written(source: Source, folder: Path, options: ExportOptions = PLAIN) -> dict[str, object]:
    folder.mkdir()
    assert TARGET.refusal(source, options) is None
    report = TARGET.write(source, folder, options)
    return {name: value for name, value in report.check.items() if name in WHOLE}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_gives_the_same_logits_and_texts_there_and_is_read_again(name: str, tmp_path: Path) -> None:
    source = sources.ctc(tmp_path / "published", name)
    assert _written(source, tmp_path / "out") == WHOLE
    again = Recogniser.load(tmp_path / "out")
    own = source.recogniser.model.state_dict()
    assert again.tokens.symbols == source.recogniser.tokens.symbols
    for key, tensor in again.model.state_dict().items():
        torch.testing.assert_close(tensor, own[key], rtol=1e-5, atol=1e-6)


def _with_tokens(source: Source, tokens: Tokens) -> Source:
    """Return a source whose head writes other tokens."""
    model = source.recogniser.model
    with torch.no_grad():
        model.heads["main"] = torch.nn.Linear(16, len(tokens))
    return replace(source, recogniser=replace(source.recogniser, tokens=tokens))


PIECES = [(MARK + "a", -1.0), ("b", -2.0), ("a", -2.5), ("ab", -1.5), (MARK, -3.0)]


@pytest.mark.parametrize(
    "tokens",
    [
        Tokens(["a", " ", "|", "é", "ch"]),
        Tokens(["AH0", "B", "tʃ"], "phones"),
        Tokens([piece for piece, _ in PIECES], "subwords", subwords_of(PIECES)),
        Tokens([piece for piece, _ in PIECES], "subwords", subwords_of(PIECES, merges=True)),
    ],
    ids=["letters", "phones", "pieces", "merged-pieces"],
)
@pytest.mark.parametrize("name", ["wav2vec2", "parakeet"])
def test_every_kind_of_tokens_is_written_as_here(name: str, tokens: Tokens, tmp_path: Path) -> None:
    source = _with_tokens(sources.ctc(tmp_path / "published", name), tokens)
    assert _written(source, tmp_path / "out") == WHOLE
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    random = torch.Generator().manual_seed(1)
    for _ in range(20):
        spoken = torch.randint(0, len(tokens), (12,), generator=random).tolist()
        collapsed = [n for n, before in zip(spoken, [0, *spoken], strict=False) if n != before]
        assert " ".join(tokenizer.decode(spoken).split()) == tokens.decode(collapsed)
    if tokens.model is not None:
        assert tokenizer("ab a", add_special_tokens=False).input_ids == tokens.encode("ab a")


def test_whisper_keeps_tokenizer_features_and_alignment(tmp_path: Path) -> None:
    source = sources.whisper(tmp_path / "published", "cs")
    assert _written(source, tmp_path / "out") == WHOLE
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {"preprocessor_config.json", "vocab.json", "merges.txt", "added_tokens.json", "tokenizer.json"}
    assert names >= {"special_tokens_map.json", "generation_config.json", "tokenizer_config.json", "config.json"}
    rules = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert rules["language"] == "cs" and rules["suppress_tokens"] == list(range(40)) + rules["suppress_tokens"][40:]
    processor = transformers.AutoProcessor.from_pretrained(tmp_path / "out")
    assert processor.feature_extractor.n_samples == 32_000
    again = Recogniser.load(tmp_path / "out")
    assert again.tokens == source.recogniser.tokens
    own = source.recogniser.model.state_dict()
    assert all(torch.equal(tensor, own[key]) for key, tensor in again.model.state_dict().items())


def test_alignment_heads_outlive_a_folder_of_ours(tmp_path: Path) -> None:
    first = sources.whisper(tmp_path / "published")
    rules = tmp_path / "published" / "generation_config.json"
    rules.write_text(json.dumps({**json.loads(rules.read_text()), "alignment_heads": [[1, 0], [1, 1]]}))
    Recogniser.load(tmp_path / "published").save(tmp_path / "ours", "card", {})
    source = sources.opened(tmp_path / "ours")
    assert isinstance(first.recogniser.model, Whisper) and first.recogniser.model.decoder_sizes.alignment == ()
    assert _written(source, tmp_path / "out") == WHOLE
    assert json.loads((tmp_path / "out" / "generation_config.json").read_text())["alignment_heads"] == [[1, 0], [1, 1]]


def test_half_precision_is_half_the_size(tmp_path: Path) -> None:
    source = sources.whisper(tmp_path / "published")
    _written(source, tmp_path / "whole")
    _written(source, tmp_path / "half", ExportOptions(fp16=True))
    whole, half = ((tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "half"))
    assert half < 0.6 * whole


def test_a_published_extractor_of_other_features_is_refused(tmp_path: Path) -> None:
    source = sources.whisper(tmp_path / "published")
    (tmp_path / "published" / "preprocessor_config.json").write_text('{"feature_size": 128}')
    with pytest.raises(ModelError, match="`feature_size` is 128, but the model needs 80"):
        _written(source, tmp_path / "out")


def test_weights_that_recognise_otherwise_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = sources.ctc(tmp_path / "published")
    from asr_transfer.deployment import ctc_files

    whole = ctc_files.published_model

    def damaged(*arguments: object) -> object:
        model = whole(*arguments)
        model.lm_head.weight.data[2] += 0.5
        return model

    monkeypatch.setattr(ctc_files, "published_model", damaged)
    with pytest.raises(ModelError, match="recognises otherwise than the model"):
        _written(source, tmp_path / "out")


def test_layers_of_our_own_adapters_and_whole_words_are_refused(tmp_path: Path) -> None:
    source = sources.ctc(tmp_path / "ctc")
    own = replace(source, recogniser=replace(source.recogniser, model=random_encoder({"main": 9})))
    assert "WhisperEncoderModel, which has layers of its own" in str(TARGET.refusal(own, PLAIN))
    units: Units = "words"
    whole = replace(source, recogniser=replace(source.recogniser, tokens=Tokens(["yes", "no"], units)))
    assert "whole words" in str(TARGET.refusal(whole, PLAIN))
    add_adapter(source.recogniser.model, AdapterSpec("lhuc"))
    assert "the adapter lhuc cannot be folded" in str(TARGET.refusal(source, PLAIN))
    spoken = sources.whisper(tmp_path / "whisper")
    add_adapter(spoken.recogniser.model, AdapterSpec("lhuc"))
    assert "the adapter lhuc cannot be folded" in str(TARGET.refusal(spoken, PLAIN))
