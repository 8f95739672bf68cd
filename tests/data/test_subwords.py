"""Pieces of words: texts come back, spelled as by SentencePiece itself; folders are complete or refused; they train."""

from __future__ import annotations

import itertools
import math
import pickle
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch

from asr_transfer.cli import main
from asr_transfer.config import (
    FeatureConfig,
    ModelConfig,
    SourceConfig,
    SpecAugmentConfig,
    SubwordConfig,
    TrainerConfig,
)
from asr_transfer.data.features import FeatureStore, build_store
from asr_transfer.data.lexicon import Lexicon, read_for, spelled_lexicon
from asr_transfer.data.manifest import Utterance, write_manifest
from asr_transfer.data.speech import Spoken
from asr_transfer.data.subwords import MARK, SubwordModel, train_subwords
from asr_transfer.data.tokens import BLANK, Tokens, language_tokens, piece_remarks
from asr_transfer.decoding.beam import SentenceSearch
from asr_transfer.decoding.decoders import WordDecoder
from asr_transfer.decoding.lexicon_search import PrefixTree, score_words
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.decoding.settings import SearchConfig
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.experiments.languages.points import error_unit, spellable
from asr_transfer.languages.config import LanguageConfig
from asr_transfer.languages.heads import extend_head
from asr_transfer.languages.transfer import learn_language
from asr_transfer.orthography import tidied
from asr_transfer.training.hypotheses import hypotheses
from asr_transfer.training.session import train_recogniser
from tests.tones import WORDS, make_speaker

TEXTS = ["so it goes", "as it goes so it went", "l'été a été", "你好 吗 你好", "going gone goes", "e\u0301te\u0301"]
POOLS = (
    "abc ",
    "aé e\u0301\u0302 ",
    "你好吗我 ",
    "\u200b\ufffd\x01b  \t\u3000\u2028",
    "𝔘𝔫 😀👩‍👧 ",
    "<unk>/s\\⁇# ",
    "אב กขา้ ",
)
FEATURES = FeatureConfig(mels=20)
NETWORK = ModelConfig("tdnn", layers=2, dim=24, channels=24, features=FEATURES, units="subwords")
MASKS = SpecAugmentConfig(1, 4, 1, 4)


def _trainer(**changes: Any) -> TrainerConfig:
    usual = {"steps": 12, "batch_budget": 1500, "validate_every": 6, "device": "cpu", "learning_rate": 0.01}
    return TrainerConfig(**{**usual, **changes})  # type: ignore[arg-type]


def _made_up(seed: int) -> list[str]:
    """Return texts of characters drawn from a few scripts, combining marks and odd spaces among them."""
    draw = random.Random(seed)
    pool = "".join(draw.sample(POOLS, draw.randint(1, 3)))
    return ["x", *("".join(draw.choices(pool, k=draw.randint(0, 25))) for _ in range(draw.randint(1, 10)))]


@pytest.mark.parametrize("seed", range(60))
def test_texts_come_back_and_nothing_is_unknown(seed: int) -> None:
    texts = _made_up(seed)
    tokens = Tokens.from_texts(texts, "subwords", (1, 5, 30, 100_000)[seed % 4])
    plain = [tidied(text) for text in texts]
    for text in [*texts, *(a + b for a in plain for b in plain)]:
        labels = tokens.encode(text)
        assert 0 not in labels
        assert tokens.decode(labels) == tokens.decode([0, *labels, 0]) == " ".join(tokens.written(text).split())
        assert tidied(tokens.decode(labels)) == tidied(text)
    assert tokens == Tokens.from_texts(texts[::-1], "subwords", (1, 5, 30, 100_000)[seed % 4])


def test_pieces_and_spellings_are_those_of_sentencepiece() -> None:
    draw = random.Random(0)
    words = [stem + end for stem in ("sing", "walk", "über", "été", "唱歌") for end in ("", "s", "ing", "er", "ed")]
    texts = [" ".join(draw.choices(words, k=5)) for _ in range(60)]
    tokens = Tokens.from_texts(texts, "subwords", 40)
    assert tokens.model is not None
    peer = sentencepiece.SentencePieceProcessor(model_proto=tokens.model.data)
    assert tokens.symbols == [BLANK, *(peer.id_to_piece(n) for n in range(1, peer.get_piece_size()))]
    assert 35 < len(set(tokens.symbols)) == len(tokens) <= 41
    for text in [*texts, "singed walking", "é", "rasend  blinder"]:
        assert tokens.encode(text) == peer.encode(text)
        assert [tokens.symbols[n] for n in tokens.encode(text)] == peer.encode(text, out_type=str)
        assert tokens.decode(tokens.encode(text)) == peer.decode(tokens.encode(text))
    assert sum(map(len, texts)) > 3 * sum(len(tokens.encode(text)) for text in texts), "pieces hold several characters"
    assert tokens.encode("") == [] == tokens.encode("  ")
    assert tokens.decode([tokens.symbols.index(MARK)] * 2) == ""


def test_unknown_characters_are_named() -> None:
    tokens = Tokens.from_texts(TEXTS, "subwords")
    for text, shown in (("so Zü", "'Z', 'ü'"), (f"so{MARK}it", "'▁'"), ("so \ud800", r"'\\ud800'"), ("so ▅", "'▅'")):
        with pytest.raises(DataError, match=f"utterance 'u': {shown} cannot be spelled by the model's subwords"):
            tokens.encode(text, "utterance 'u'")
    for text in (f"a{MARK}b", "a▅b", "a\0b", "a\ud800"):
        with pytest.raises(DataError, match="which subwords cannot spell"):
            Tokens.from_texts(["ab", text], "subwords")
    with pytest.raises(DataError, match="hold no symbols"):
        Tokens.from_texts(["", "  "], "subwords")


def test_as_many_pieces_as_the_texts_allow() -> None:
    few, many = (Tokens.from_texts(["ab ab", "ba"], "subwords", pieces) for pieces in (1, 5000))
    assert sorted(few.symbols[1:]) == ["a", "b", MARK]
    assert 4 <= len(many) < 12
    told = piece_remarks({"en": few}, SubwordConfig(1)) + piece_remarks({"en": many}, SubwordConfig(5000))
    assert told == [
        "en: 3 pieces of words instead of 1, for there are so many characters",
        f"en: {len(many) - 1} pieces of words instead of 5000, for no more recur in the texts",
    ]
    assert not piece_remarks({"en": few}, SubwordConfig(3)) + piece_remarks({"en": Tokens(["a"])})


def test_own_and_shared_pieces() -> None:
    texts = {"en": ["so it goes", "it goes on"], "fr": ["l'été", "les étés"], "nl": ["ja"]}
    units: dict[str, Any] = {"en": "subwords", "fr": "subwords", "nl": "characters"}
    own = language_tokens(texts, units, SubwordConfig(20, {"fr": 12}))
    assert own["en"] != own["fr"] and len(own["fr"]) <= 13 and own["nl"] == Tokens(["a", "j"])
    assert own["en"] == Tokens.from_texts(texts["en"], "subwords", 20)
    shared = language_tokens(texts, units, SubwordConfig(24, shared=True))
    assert shared["en"] == shared["fr"] == Tokens.from_texts(texts["en"] + texts["fr"], "subwords", 24)
    assert shared["nl"] == own["nl"]
    assert shared["en"].decode(shared["en"].encode("l'été goes")) == "l'été goes"
    assert len(piece_remarks(shared, SubwordConfig(999, shared=True))) == 1
    with pytest.raises(ConfigError, match="no units are `subwords`"):
        language_tokens({"nl": ["ja"]}, units, SubwordConfig())
    with pytest.raises(ConfigError, match="names the language 'nl', which has no units `subwords`"):
        language_tokens(texts, units, SubwordConfig(pieces_of={"nl": 5}))


def test_files_come_back_and_damage_is_refused(tmp_path: Path) -> None:
    tokens, file, model = (
        Tokens.from_texts(TEXTS, "subwords"),
        tmp_path / "tokens.a.b.txt",
        tmp_path / "tokens.a.b.model",
    )
    tokens.save(file)
    again = Tokens.load(file)
    assert again == tokens == pickle.loads(pickle.dumps(again))
    assert [again.encode(text) for text in TEXTS] == [tokens.encode(text) for text in TEXTS]
    assert sorted(path.name for path in tmp_path.iterdir()) == [model.name, file.name]
    data, listed = model.read_bytes(), file.read_text()
    for damaged in (b"", data[: len(data) // 2], data[:-1] + b"\xff", train_subwords(["other"], 9).data):
        model.write_bytes(damaged)
        with pytest.raises(DataError, match=r"tokens\.a\.b\.model: is damaged or not the one that tokens\.a\.b\.txt"):
            Tokens.load(file)
    for damaged in (b"", b"junk", data[: len(data) // 2]):
        model.write_bytes(damaged)
        file.write_text(listed.replace(SubwordModel(data).checksum, SubwordModel(damaged).checksum))
        with pytest.raises(DataError, match=r"tokens\.a\.b\.model: is no SentencePiece model; copy"):
            Tokens.load(file)
    model.unlink()
    with pytest.raises(DataError, match=r"tokens\.a\.b\.model: the subwords' model is missing"):
        Tokens.load(file)
    model.write_bytes(data)
    file.write_text(listed + "more\n")
    with pytest.raises(DataError, match=r"tokens\.a\.b\.txt: subwords are the pieces of a SentencePiece model"):
        Tokens.load(file)
    file.write_text(f"# units: subwords\n{BLANK}\na\n")
    with pytest.raises(DataError, match=r"tokens\.a\.b\.txt: subwords are the pieces"):
        Tokens.load(file)
    with pytest.raises(DataError, match="another one or not given"):
        Tokens(tokens.symbols[1:], "characters", tokens.model)


def test_a_lexicon_in_pieces_is_searched() -> None:
    tokens = Tokens.from_texts(["abba cab", "abba abba", "cabba"], "subwords", 8)
    words = ["abba", "cab", "cabba"]
    spelled = {word: " ".join(tokens.symbols[n] for n in tokens.encode(word)) for word in words}
    lexicon = Lexicon.from_pairs(list(spelled.items()))
    said = tokens.encode("cabba abba")
    path = [n for label in said for n in (label, 0)]
    logits = 9 * torch.nn.functional.one_hot(torch.tensor([path]), len(tokens)).float()
    lengths = torch.tensor([len(path)])
    best = SentenceSearch(lexicon, tokens).best_sentences(logits.log_softmax(-1), lengths)[0][0]
    assert best.text == "cabba abba"
    one = 2 * len(tokens.encode("cabba"))
    assert WordDecoder(lexicon, tokens)(logits[:, :one], torch.tensor([one]))[0].text == "cabba"
    # Letters, phones, and the pieces of another model give way to the model's own pieces.
    for phones in (" ".join, lambda word: "k ae", lambda word: f"{MARK}{word}"):
        other = Lexicon.from_pairs([(word, phones(word)) for word in words])
        assert list(other.fitted(tokens)) == list(lexicon) == list(lexicon.fitted(tokens))
        search = SentenceSearch(other, tokens)
        found = search.best_sentences(logits.log_softmax(-1), lengths)[0][0]
        assert found == best and search.labels(found) == said
        assert WordDecoder(other, tokens)(logits[:, :one], torch.tensor([one]))[0].text == "cabba"


@pytest.mark.parametrize("frames", [1, 3, 5])
def test_scores_of_words_and_sentences_in_pieces_sum_all_alignments(frames: int) -> None:
    """Every path through all frames is gone through; its pieces are a sentence, or of none."""
    tokens = Tokens.from_texts(["ab ab", "b a", "abab"], "subwords", 7)
    lexicon = spelled_lexicon(["ab", "b", "aba", "a"], tokens)
    speech = torch.randn(frames, len(tokens), generator=torch.Generator().manual_seed(frames), dtype=torch.float64)
    speech = (2 * speech).log_softmax(-1)
    said = {
        tuple(n for word in words for n in tokens.encode(word)): words
        for count in range(frames + 1)
        for words in itertools.product(lexicon.words, repeat=count)
    }
    total: dict[tuple[str, ...], float] = defaultdict(float)
    for path in itertools.product(range(len(tokens)), repeat=frames):
        labels = tuple(index for index, _ in itertools.groupby(path) if index)
        if labels in said:
            total[said[labels]] += math.exp(sum(float(speech[t, index]) for t, index in enumerate(path)))
    config = SearchConfig(beam=1_000_000, beam_threshold=math.inf)
    found = SentenceSearch(lexicon, tokens, config).best_sentences(speech[None], torch.tensor([frames]), 100_000)[0]
    assert {s.words: pytest.approx(s.score, abs=1e-9) for s in found} == {w: math.log(p) for w, p in total.items()}
    tree = PrefixTree(lexicon, tokens)
    scores = score_words(speech[None], torch.tensor([frames]), tree)[0].exp().tolist()
    assert scores == pytest.approx([total.get((word,), 0.0) for word in lexicon.words])


def test_a_plain_list_of_words_is_spelled_by_the_model(tmp_path: Path) -> None:
    pieces = Tokens.from_texts(["abba cab", "abba abba", "cabba"], "subwords", 8)
    file = tmp_path / "words.txt"
    file.write_text("\ufeff# words\r\n\r\n cabba\r\nab cab\ncabba\n", encoding="utf-8")
    for tokens in (pieces, Tokens([" ", "a", "b", "c"]), Tokens(["cabba", "ab", "cab"], "words")):
        lexicon = read_for(file, tokens)
        assert lexicon.words == ["cabba", "ab cab"] and [entry.line for entry in lexicon] == [3, 4]
        assert lexicon.targets(tokens) == [tokens.encode("cabba"), tokens.encode("ab cab")]
    assert read_for(file, pieces)[0].phones == (f"{MARK}cab", "ba")
    with pytest.raises(
        DataError, match=r"words\.txt: is a list of words without phones, but .* are phones; .*lexicon g2p"
    ):
        read_for(file, Tokens(["a"], "phones"))
    for text in ("cab\nabz\n", "cab\tc a b\nabz\ta b z\n"):
        file.write_text(text, encoding="utf-8")
        message = (
            r"words\.txt line 2: the word 'abz': 'z' cannot be spelled by the model's subwords; rewrite the word \("
        )
        with pytest.raises(DataError, match=message):
            read_for(file, pieces)
    file.write_text("cab\tc a b\nabba\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"words\.txt line 2: 'abba' has 1 column"):
        read_for(file, pieces)


@pytest.fixture(scope="module")
def hasty(spoken: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model trained too shortly to hear well, so that a hot word can change what is heard."""
    made, store = spoken
    recogniser = train_recogniser(
        Spoken(made["en"], store), Spoken([], store), SourceConfig(NETWORK, _trainer(steps=60), MASKS, (1.0,))
    )[0]
    folder = tmp_path_factory.mktemp("hasty")
    recogniser.save(folder / "model", "", {})
    return folder / "model"


@pytest.fixture
def heard(hasty: Path, spoken: Any, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function from options of `transcribe` to what is heard in a recording."""

    def hear(*arguments: object) -> str:
        sound = spoken[0]["en"][0].audio
        assert main(["transcribe", "--model", str(hasty), *map(str, arguments), sound]) == 0
        return capsys.readouterr().out.strip().split("\t")[-1]

    return hear


def test_hot_words_at_the_command_line(
    hasty: Path, heard: Callable[..., str], spoken: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hot, wrong = tmp_path / "hot.txt", tmp_path / "wrong.txt"
    hot.write_text("faced\n", encoding="utf-8")  # never trained on
    wrong.write_text("faced\nface!\n", encoding="utf-8")
    assert "faced" not in heard().split()
    assert "faced" not in heard("--hotwords", hot, "--search.hot_weight", 0).split()
    assert "faced" in heard("--hotwords", hot, "--search.hot_weight", 50).split()
    sound = spoken[0]["en"][0].audio
    assert main(["transcribe", "--model", str(hasty), "--hotwords", str(wrong), sound]) == 1
    told = capsys.readouterr().err
    assert "wrong.txt line 2: the hot word 'face!': '!' cannot be spelled by the model's subwords; rewrite" in told


def test_lexica_at_the_command_line(hasty: Path, heard: Callable[..., str], tmp_path: Path) -> None:
    words, hot = tmp_path / "words.txt", tmp_path / "hot.txt"
    words.write_text("".join(f"{word}\t{' '.join(word)}\n" for word in WORDS), encoding="utf-8")
    assert heard("--lexicon", words) in WORDS
    sentence = heard("--lexicon", words, "--sentences").split()
    assert sentence and set(sentence) <= set(WORDS)
    hot.write_text("face\n", encoding="utf-8")
    assert "face" in heard("--lexicon", words, "--sentences", "--hotwords", hot, "--search.hot_weight", 50).split()
    letters = heard("--lexicon", words)
    words.write_text("".join(f"{word}\n" for word in WORDS), encoding="utf-8")  # a plain list
    assert heard("--lexicon", words) == letters
    assert main(["lexicon", "check", str(words), "--model", str(hasty)]) == 0


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[Utterance]], FeatureStore]:
    """Return utterances of two languages, the second in other letters."""
    folder = tmp_path_factory.mktemp("languages")
    made = {
        name: [replace(u, language=name) for u in make_speaker(folder, name, shift, 20, seed)]
        for seed, (name, shift) in enumerate((("en", 1.0), ("el", 2.3)))
    }
    greek = str.maketrans("abcdef", "αβγδεφ")
    made["el"] = [replace(u, text=u.text.translate(greek)) for u in made["el"]]
    return made, build_store([u for own in made.values() for u in own], FEATURES, (1.0,), folder / "features")


@pytest.mark.parametrize("shared", [False, True])
def test_a_model_of_two_languages_trains_saves_loads_and_decodes(spoken: Any, shared: bool, tmp_path: Path) -> None:
    made, store = spoken
    train = [u for own in made.values() for u in own[:15]]
    dev = [u for own in made.values() for u in own[15:]]
    pieces = SubwordConfig(24, shared=True) if shared else SubwordConfig(999, {"el": 14})
    lines: list[str] = []
    settings = SourceConfig(NETWORK, _trainer(steps=60, validate_every=30), MASKS, (1.0,), subwords=pieces)
    recogniser, result, report = train_recogniser(Spoken(train, store), Spoken(dev, store), settings, log=lines.append)
    assert recogniser.head == "el" and set(recogniser.others) == {"en"} and report.kept == 30
    assert (recogniser.tokens == recogniser.others["en"]) == shared
    assert len(recogniser.tokens) <= (25 if shared else 15)
    assert any("en: " in line and "instead of 999" in line for line in lines) != shared
    assert result.best is not None and result.history[-1]["train_loss"] < 0.7 * result.history[0]["train_loss"]
    recogniser.save(tmp_path / "model", "", {})
    there = {path.name for path in (tmp_path / "model").glob("tokens.*")}
    assert there == {"tokens.el.txt", "tokens.el.model", "tokens.en.txt", "tokens.en.model"}
    again = Recogniser.load(tmp_path / "model", "en")
    assert again.tokens == recogniser.others["en"] and again.others["el"] == recogniser.tokens
    found = hypotheses(again, Spoken(dev, store), by_head=True)
    assert found == hypotheses(recogniser, Spoken(dev, store), by_head=True)
    assert [h.reference for h in found] == [u.text for u in dev] and any(h.hypothesis for h in found)
    (tmp_path / "model" / "tokens.el.model").write_bytes(b"")
    with pytest.raises(DataError, match=r"tokens\.el\.model: is damaged"):
        Recogniser.load(tmp_path / "model", "en")


def test_isolated_words_become_a_lexicon_in_pieces(spoken: Any) -> None:
    made, store = spoken
    settings = SourceConfig(NETWORK, _trainer(), MASKS, (1.0,), isolated_words=True)
    recogniser, _, _ = train_recogniser(Spoken(made["en"], store), Spoken([], store), settings)
    assert recogniser.lexicon is not None
    assert set(recogniser.lexicon.words) == {u.text for u in made["en"]}
    heard = recogniser.listen(Spoken(made["en"][:4], store))
    assert set(heard) <= set(recogniser.lexicon.words)


def test_a_further_language_is_learnt_in_pieces(spoken: Any, tmp_path: Path) -> None:
    made, store = spoken
    source = train_recogniser(
        Spoken(made["en"], store), Spoken([], store), SourceConfig(NETWORK, _trainer(), MASKS, (1.0,))
    )[0]
    learning = LanguageConfig("all", units="subwords", pieces=12, trainer=_trainer(), augment=MASKS, speeds=(1.0,))
    learnt = learn_language(source, Spoken(made["el"][:15], store), Spoken(made["el"][15:], store), learning).recogniser
    assert len(learnt.tokens) <= 13 and learnt.others["en"] == source.tokens
    learnt.save(tmp_path / "model", "", {})
    again = Recogniser.load(tmp_path / "model", "el")
    assert hypotheses(again, Spoken(made["el"], store)) == hypotheses(learnt, Spoken(made["el"], store))
    # A head that is kept stays as it is, if it can spell what is learnt.
    kept = learn_language(
        learnt, Spoken(made["el"], store), Spoken([], store), replace(learning, keep_head=True, pieces=None)
    ).recogniser
    assert kept.tokens == learnt.tokens
    assert extend_head(learnt, "el", Tokens.from_texts(["αβ γδ"], "subwords")) is learnt
    with pytest.raises(ConfigError, match="'el' emits subwords, to which no character can be added, and lacks 'ω'"):
        extend_head(learnt, "el", Tokens.from_texts(["αω"], "subwords"))
    with pytest.raises(ConfigError, match="emits subwords but characters are asked for"):
        extend_head(learnt, "el", Tokens(["α"]))
    odd = replace(made["el"][0], text="ω")
    assert spellable([odd, *made["el"][:3]], made["el"], "subwords") == made["el"][:3]


def test_settings_of_pieces_are_checked_and_follow_the_languages() -> None:
    for wrong, message in (
        ({"pieces": 0}, "`subwords.pieces` must be at least 1, got 0"),
        ({"pieces_of": {"en": 0}}, "`subwords.pieces_of.en` must be at least 1"),
        ({"pieces_of": {"en": 9}, "shared": True}, "languages with pieces of their own"),
    ):
        with pytest.raises(ConfigError, match=message):
            SubwordConfig(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="`language.pieces` is for the units `subwords`, not for characters"):
        LanguageConfig(pieces=9)
    config = SourceConfig(units_of={"en": "subwords", "fr": "words"}, subwords=SubwordConfig(9, {"en": 7}))
    assert config.only(["en", "nl"]) == SourceConfig(units_of={"en": "subwords"}, subwords=SubwordConfig(9, {"en": 7}))
    assert config.only(["fr"]) == SourceConfig(units_of={"fr": "words"})
    assert error_unit("subwords") == "character"


def test_the_command_line_trains_pieces(spoken: Any, feature_cache: Path, tmp_path: Path) -> None:
    made, _ = spoken
    for name in ("train", "test"):
        write_manifest(tmp_path / f"{name}.jsonl", made["en"][:15] if name == "train" else made["en"][15:])
    common = ("--trainer.steps", "2", "--trainer.device", "cpu", "--speeds", "[1.0]", "--model.layers", "1")
    files = ("--train", str(tmp_path / "train.jsonl"), "--test", str(tmp_path / "test.jsonl"))
    size = ("--model.encoder", "tdnn", "--model.dim", "16", "--model.channels", "16")
    pieces = ("--model.units", "subwords", "--subwords.pieces", "14")
    assert main(["train", *files, "--out", str(tmp_path / "run"), *common, *size, *pieces]) == 0
    assert Recogniser.load(tmp_path / "run").tokens.units == "subwords"
    refused = ("--model.units", "words", "--subwords.pieces", "14")
    assert main(["train", *files, "--out", str(tmp_path / "other"), *common, *size, *refused]) == 1
