"""What the outputs of published CTC models mean: vocabularies of characters, phones and pieces, one or many."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import tokenizers
import torch

from asr_transfer.data.subwords import MARK, subwords_of
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.folder import heads_in
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import DataError, ModelError
from asr_transfer.languages.heads import extend_head, told_rows
from asr_transfer.models.pretrained.door import open_pretrained
from asr_transfer.models.pretrained.tokenizer_files import read_vocabulary
from tests.models.pretrained.ctc_folders import STABLE, SYMBOLS, WAVE, write, write_vocabulary

TEXTS = ["the cat sat on the mat", "a man and the hat that sat", "another other mother", "banana and ananas can"]


def _indices(symbols: list[str]) -> dict[str, int]:
    return {symbol: index for index, symbol in enumerate(symbols)}


def test_the_blank_is_first_and_what_no_text_holds_is_left_out(tmp_path: Path) -> None:
    write_vocabulary(tmp_path, _indices([*SYMBOLS, "ß"]), unk_token={"content": "ß"})
    found = read_vocabulary(tmp_path, blank=1, outputs=13)
    assert found.tokens == Tokens([" ", *"ABCDEF'"])
    assert found.rows == (1, 4, 5, 6, 7, 8, 9, 10, 11)
    assert found.left_out == ("<s>", "</s>", "<unk>", "ß")


def test_phoneme_tokenizers_write_phones_and_none_a_space(tmp_path: Path) -> None:
    symbols = ["<pad>", "<s>", "a", "tʃ", "ɔɪ"]
    write_vocabulary(
        tmp_path, _indices(symbols), tokenizer_class="Wav2Vec2PhonemeCTCTokenizer", word_delimiter_token=None
    )
    assert read_vocabulary(tmp_path, 0, 5).tokens == Tokens(["a", "tʃ", "ɔɪ"], "phones")


def test_added_tokens_may_lie_beyond_the_head(tmp_path: Path) -> None:
    write_vocabulary(tmp_path, _indices(["|", "a", "[UNK]", "[PAD]"]), pad_token="[PAD]", unk_token="[UNK]")
    (tmp_path / "added_tokens.json").write_text('{"<s>": 4, "</s>": 5}')
    assert read_vocabulary(tmp_path, 3, 4).rows == (3, 0, 1)


@pytest.mark.parametrize(
    ("vocabulary", "blank", "message"),
    [
        ({"<pad>": 3, "a": 1}, 0, r"vocab.json: <pad> has the index 3, but the blank in config.json .* is 0"),
        ({"<pad>": 0, "a": 9}, 0, r"vocab.json: has 10 entries, but the model 5 outputs"),
        ({"<pad>": 0, "a": "1"}, 0, "must have a whole number for every symbol"),
        ({"<pad>": 0, "a": 1, "b": 1}, 0, "has the same number for two symbols"),
        ({"<pad>": 0, "<s>": 1}, 0, "names no symbols that texts are written in"),
    ],
)
def test_a_vocabulary_of_another_model_is_refused(
    vocabulary: dict[str, Any], blank: int, message: str, tmp_path: Path
) -> None:
    write_vocabulary(tmp_path, vocabulary)
    with pytest.raises(ModelError, match=message):
        read_vocabulary(tmp_path, blank, 5)


def test_a_folder_without_a_tokenizer_is_refused_in_a_sentence(tmp_path: Path) -> None:
    write(tmp_path / "model", "wav2vec2")
    (tmp_path / "model" / "vocab.json").unlink()
    with pytest.raises(ModelError, match=r"holds no vocabulary \(vocab.json or .* copy its tokenizer"):
        Recogniser.load(tmp_path / "model")


def _trained(kind: str, folder: Path) -> tokenizers.Tokenizer:
    special = ["<unk>", "<pad>"]
    if kind == "BPE":
        tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="<unk>"))
        trainer: Any = tokenizers.trainers.BpeTrainer(vocab_size=40, special_tokens=special, show_progress=False)
    else:
        tokenizer = tokenizers.Tokenizer(tokenizers.models.Unigram())
        trainer = tokenizers.trainers.UnigramTrainer(
            vocab_size=40, special_tokens=special, unk_token="<unk>", show_progress=False
        )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer


@pytest.mark.parametrize("kind", ["BPE", "Unigram"])
def test_pieces_of_words_spell_as_their_tokenizer(kind: str, tmp_path: Path) -> None:
    theirs = _trained(kind, tmp_path)
    found = read_vocabulary(tmp_path, blank=1, outputs=theirs.get_vocab_size())
    assert found.tokens.units == "subwords" and found.left_out == ("<unk>",)
    for text in [*TEXTS, "the mother can eat a hat"]:
        rows = [found.rows[index] for index in found.tokens.encode(text)]
        assert rows == theirs.encode(text).ids
        assert found.tokens.decode(found.tokens.encode(text)) == text
    found.tokens.save(tmp_path / "tokens.txt")
    assert Tokens.load(tmp_path / "tokens.txt") == found.tokens


def test_pieces_of_one_character_are_characters(tmp_path: Path) -> None:
    plain = {"model": {"type": "Unigram", "vocab": [["<pad>", 0.0], [MARK, -1.0], ["a", -2.0], ["é", -2.5]]}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(plain))
    assert read_vocabulary(tmp_path, 0, 4).tokens == Tokens([" ", "a", "é"])


@pytest.mark.parametrize("model", [{"type": "WordPiece"}, {}, None])
def test_other_tokenizers_are_refused(model: Any, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": model}))
    with pytest.raises(ModelError, match="tokenizer.json: the tokenizer is of a kind .* known are BPE and Unigram"):
        read_vocabulary(tmp_path, 0)


UNIGRAM = {"type": "Unigram"}
BPE = {"type": "BPE", "vocab": {"<pad>": 0, "a": 1, "b": 2, "ab": 3, "|": 4}, "merges": ["a b"]}


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"model": {"type": "BPE"}}, "`model.vocab` must be a mapping, got None"),
        ({"model": {**BPE, "vocab": 3}}, "`model.vocab` must be a mapping"),
        ({"model": {**BPE, "vocab": {"a": "1"}}}, "`model.vocab.a` must be a whole number"),
        ({"model": {**BPE, "merges": 3}}, "`model.merges` must be a list"),
        ({"model": {**BPE, "merges": None}}, "`model.merges` must be a list"),
        ({"model": {**BPE, "merges": [3]}}, r"`model.merges\[0\]` must be a list of 2"),
        ({"model": {**BPE, "merges": ["ab"]}}, r"`model.merges\[0\]` must be a list of 2"),
        ({"model": UNIGRAM}, "`model.vocab` must be a list, got None"),
        ({"model": {**UNIGRAM, "vocab": []}}, "names no symbols"),
        ({"model": {**UNIGRAM, "vocab": [[1]]}}, r"`model.vocab\[0\]` must be a list of 2"),
        ({"model": {**UNIGRAM, "vocab": [["a", None]]}}, r"`model.vocab\[0\]\[1\]` must be a number"),
        ({"model": BPE, "added_tokens": None}, "`added_tokens` must be a list"),
        ({"model": BPE, "added_tokens": ["a"]}, r"`added_tokens\[0\]` must be a mapping"),
        ({"model": BPE, "added_tokens": [{}]}, r"`added_tokens\[0\].content` must be a text"),
        ({"model": BPE, "added_tokens": [{"content": "a", "id": None}]}, r"`added_tokens\[0\].id` must be a whole n"),
        ({"model": BPE, "added_tokens": [{"content": "a", "id": "x"}]}, r"`added_tokens\[0\].id` must be a whole num"),
        ({"model": BPE, "added_tokens": [{"content": "a", "id": -1}]}, "must have a whole number for every symbol"),
        ({"model": BPE, "added_tokens": [{"content": "c", "id": 1}]}, "has the same number for two symbols"),
    ],
)
def test_a_damaged_fast_tokenizer_is_refused_by_field(plain: Any, message: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(plain))
    with pytest.raises(ModelError, match=f"tokenizer.json: {message}.*opy the tokenizer's files again"):
        read_vocabulary(tmp_path, 0)


def test_the_delimiter_is_a_letter_among_pieces_of_words(tmp_path: Path) -> None:
    """It was taken for a space, which pieces have a mark of their own for."""
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": BPE}))
    assert read_vocabulary(tmp_path, 0, 5).tokens.symbols[1:] == ["a", "b", "ab", "|"]


@pytest.mark.parametrize(
    ("named", "outputs", "taken"),
    [(4, 12, False), (8, 12, True), (29, 32, True), (950, 1024, True), (900, 1024, False)],
)
def test_few_outputs_may_be_named_by_no_symbol(named: int, outputs: int, taken: bool, tmp_path: Path) -> None:
    """The vocabulary of another model gave texts in its letters."""
    write_vocabulary(tmp_path, {"<pad>": 0, **{chr(0x4E00 + n): n for n in range(1, named)}})
    if taken:
        assert len(read_vocabulary(tmp_path, 0, outputs).rows) == named
        return
    with pytest.raises(ModelError, match=rf"vocab.json: names {named} of the model's {outputs} outputs and says noth"):
        read_vocabulary(tmp_path, 0, outputs)


def test_outputs_that_the_tokenizers_settings_name_are_named(tmp_path: Path) -> None:
    added = {str(n): {"content": f"<extra_{n}>", "special": True} for n in range(3, 13)}
    write_vocabulary(tmp_path, {"<pad>": 0, "a": 1, "b": 2}, added_tokens_decoder=added)
    assert read_vocabulary(tmp_path, 0, 13).rows == (0, 1, 2)


def test_pieces_that_stand_twice_are_no_model() -> None:
    with pytest.raises(DataError, match="one of them may stand twice"):
        subwords_of([("a", -1.0), ("a", -2.0)])


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a model with adapters for two languages, in the format of MMS, and a third without."""
    folder = tmp_path_factory.mktemp("mms")
    symbols = {"eng": ["<pad>", "<s>", "|", *"abc"], "deu": ["<pad>", "<s>", *"xyzäö", "|"], "fra": ["<pad>", "é"]}
    model = write(folder, "wav2vec2", **STABLE, adapter_attn_dim=4, vocab_size=6)
    for seed, language in enumerate(("eng", "deu")):
        torch.manual_seed(seed)
        adapter = {name: torch.randn_like(tensor) for name, tensor in model._get_adapters().items()}
        for name in ("weight", "bias"):
            shape = adapter[f"lm_head.{name}"].shape[1:]
            adapter[f"lm_head.{name}"] = torch.randn(len(symbols[language]), *shape)
        safetensors.torch.save_file(adapter, folder / f"adapter.{language}.safetensors")
    write_vocabulary(folder, {name: _indices(own) for name, own in symbols.items()})
    assert model.config.num_hidden_layers == WAVE["num_hidden_layers"]
    (folder / "config.json").write_text(
        json.dumps({**json.loads((folder / "config.json").read_text()), "pad_token_id": 0})
    )
    return folder


def test_each_language_of_mms_has_its_adapter_and_vocabulary(many: Path) -> None:
    import transformers

    assert heads_in(many) == ["eng", "deu"]
    samples = torch.randn(1, 4000, generator=torch.Generator().manual_seed(0))
    for language, rows in {"eng": [0, 2, 3, 4, 5], "deu": [0, 2, 3, 4, 5, 6, 7]}.items():
        theirs = transformers.Wav2Vec2ForCTC.from_pretrained(
            many, target_lang=language, ignore_mismatched_sizes=True
        ).eval()
        recogniser = Recogniser.load(many, language)
        assert recogniser.head == language and len(recogniser.tokens) == len(rows)
        with torch.no_grad():
            logits, _ = recogniser.logits(samples[:, :, None], torch.tensor([4000]))
            wanted = theirs(samples).logits
        torch.testing.assert_close(logits, wanted[..., rows], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("language", "message"),
    [
        (None, "has vocabularies of eng, deu, fra. Say which with --language"),
        ("spa", "'spa' is none of them"),
        ("fra", "adapter.fra.safetensors: the adapter of fra is missing"),
    ],
)
def test_a_language_that_there_is_no_adapter_for_is_refused(language: str | None, message: str, many: Path) -> None:
    with pytest.raises(ModelError, match=message):
        open_pretrained(many, language=language)


def test_an_adapter_of_another_model_is_refused(many: Path, tmp_path: Path) -> None:
    for file in many.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    safetensors.torch.save_file({"other.weight": torch.ones(2)}, tmp_path / "adapter.eng.safetensors")
    with pytest.raises(ModelError, match="'other.weight' is no tensor of the model"):
        open_pretrained(tmp_path, language="eng")


def test_a_published_head_grows_by_symbols_and_keeps_its_rows(tmp_path: Path) -> None:
    write(tmp_path / "model", "wav2vec2")
    source = Recogniser.load(tmp_path / "model")
    grown = extend_head(source, "main", Tokens(["A", "Ä", "Z"]))
    assert grown.tokens.symbols == [*source.tokens.symbols, "Ä", "Z"]
    told = told_rows("main", source.tokens_by_head, Tokens(["A", "Ä", "Z"]))
    assert f"has {len(source.tokens)} rows, all of which are kept; 2 are added: Ä Z" in told
    told = told_rows("de", source.tokens_by_head, Tokens(["A"]))
    assert "'de' is a new head of 2 rows" in told and f"'main' ({len(source.tokens)}) are kept" in told
    old, new = (one.model.head("main").weight for one in (source, grown))
    assert torch.equal(new[: len(old)], old) and new[len(old) :].any()
    samples = torch.randn(1, 4000, 1, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before, after = (one.logits(samples, torch.tensor([4000]))[0] for one in (source, grown))
    torch.testing.assert_close(after[..., : before.shape[-1]], before)
