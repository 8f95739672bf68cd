"""Words of sentence corpora: what counts as heard, phrases, cuts, shared phones and figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from asr_transfer.config import ModelConfig
from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, DataError, ModelError
from asr_transfer.evaluation.scoring import Hypothesis
from asr_transfer.experiments.words.error_rates import (
    Extras,
    control_figures,
    phone_figures,
    sentence_figures,
    word_figures,
)
from asr_transfer.experiments.words.listeners import load_listener
from asr_transfer.experiments.words.segments import MARGIN, Aligned, cut_pieces
from asr_transfer.experiments.words.unseen import (
    SEEN_WORDS,
    UNSEEN,
    WITHIN_WORDS,
    Row,
    Words,
    groups,
    headline,
    refuse_leaks,
)
from asr_transfer.experiments.words.word_corpus import MaterialConfig, SpokenWords, assemble, load_words, save_words
from asr_transfer.experiments.words.word_exposure import ALIKE, MADE_OF, SAID, TRAINED, WITHIN, Heard
from asr_transfer.training.phone_models import make_phone_model
from tests.small import small_model


def _said(text: str, phones: str | None = None, name: str = "", language: str = "en") -> Utterance:
    return Utterance(name or text, f"{name or text}.wav", 1.0, text, "ann", language, pronunciation=phones)


def test_a_word_counts_as_heard_wherever_it_was_said_and_a_phrase_by_its_words() -> None:
    train = [
        _said("hold the line", "h o l d"),
        _said("yes", "j e s"),
        _said("due", "d j u"),
        _said("ja", "x", "1", "de"),
    ]
    heard = Heard(train, "phones", "ipa")
    expected = {"yes": TRAINED, "line": SAID, "the line": SAID, "yes line": MADE_OF}
    assert {text: heard.category(_said(text, "q q")) for text in expected} == expected
    assert heard.category(_said("dew", "d j u")) == ALIKE
    others = [heard.category(_said(text, "q q")) for text in ("lin", "yes sir", "ja")]
    assert not {TRAINED, SAID, ALIKE, MADE_OF} & set(others), "part of a word, an unknown word, another language's word"


def test_where_no_spaces_part_words_a_word_inside_a_longer_text_is_not_called_never_trained_on() -> None:
    """Spaces between the words of the training texts change nothing; letters of other scripts are parted by spaces."""
    for written in ("我们一起走", "我们 一起 走", "我们 一 起 走"):
        heard = Heard([_said(written, "q q", language="zh")], "phones", "pinyin")
        within = [heard.category(_said(text, "x y", language="zh")) == WITHIN for text in ("们一", "起来", "走我")]
        assert within == [True, False, False]
    assert Heard([_said("一起走", "q")], "phones", "ipa").category(_said("一起", "x", language="zh")) != WITHIN
    assert Heard([_said("category", "q")], "phones", "ipa").category(_said("cat", "x")) != WITHIN
    assert Heard([_said("31245", "q")], "phones", "ipa").category(_said("12", "x")) != WITHIN


def test_words_inside_longer_texts_are_counted_apart_in_the_figures() -> None:
    test = [_said(text, phones, language="zh") for text, phones in (("起来", "q i3 l ai2"), ("一起", "i4 q i3"))]
    train = [_said("我们一起走", "uo3 m en2 i4 q i3 z ou3", language="zh")]
    lexicon = Lexicon.from_pairs((u.text, u.pronunciation or "") for u in test)
    phones = sorted({phone for u in (*test, *train) for phone in (u.pronunciation or "").split()})
    tokens = Tokens(phones, "phones")
    recogniser = Recogniser(small_model(heads={"zh": len(tokens)}), tokens, "zh", {})
    members = headline(groups(Words(train, [], test, lexicon), recogniser))
    assert {name: where.tolist() for name, where in members.items()} == {
        UNSEEN: [True, False],
        WITHIN_WORDS: [False, True],
    }
    rows = [Row(9, name, 1, 1, 1, 0.5, 0.2, 0.8, 1.0, 0.5, 0.2, 0.8, 1.0) for name in members]
    assert [figure.what for figure in word_figures(rows)] == [
        f"words {name} found, lexicon of 9" for name in (UNSEEN, WITHIN_WORDS)
    ]


def test_seen_and_unseen_words_are_held_against_each_other() -> None:
    one, two = np.array([True, False, False]), np.array([False, True, False])
    both = headline({UNSEEN: ~(one | two), TRAINED: one, SAID: two})
    assert both[SEEN_WORDS].tolist() == [True, True, False] and both[UNSEEN].tolist() == [False, False, True]
    assert headline({TRAINED: one}).keys() == {SEEN_WORDS}


def _spoken() -> SpokenWords:
    train = [_said("please hold the line"), _said("transfer"), _said("please stop"), _said("un moment", "a", "0", "fr")]
    test = [_said("hold", name="t1"), _said("hold time", name="t2"), _said("stop", name="t3"),
            _said("please wait for the next agent", name="t4")]  # fmt: skip
    return SpokenWords(
        train, [_said("stop the line", name="d1")], [_said("transfer", name="d2")], test, [_said("xylophone")]
    )


def test_short_utterances_are_words_long_ones_sentences_and_held_out_words_are_not_trained_on() -> None:
    said: list[str] = []
    config = MaterialConfig("arpabet", phrase_words=2, hold_out=("stop",))
    with pytest.raises(DataError, match=r"(?s).*"):
        assemble(replace(_spoken(), test=[]), config, said.append)
    words = assemble(_spoken(), replace(config, scheme="ipa"), said.append)
    assert [u.text for u in words.test] == ["hold", "hold time", "stop"]
    assert [u.id for u in words.sentences] == ["t4"]
    assert not any("stop" in u.text.split() for u in (*words.train, *(words.judging or ())))
    assert words.train[-1].language == "fr" and len(words.train) == 3 and "1 training utterances" in said[0]
    listed = set(words.lexicon.words)
    assert {"hold time", "agent", "xylophone", "stop"} <= listed and "please wait for the next agent" not in listed
    assert "moment" not in listed, "another language's words are not looked for"
    assert words.by_rule is not None
    rule = {e.word for e in words.by_rule if e.guessed}
    assert rule == {"hold", "hold time", "stop"} and set(words.by_rule.words) == listed
    assert all(u.pronunciation for u in (*words.train, *words.test, *words.sentences, *words.dev))


def test_own_pronunciations_go_first_and_material_is_read_as_it_was_written(tmp_path: Path) -> None:
    config = MaterialConfig("ipa", spoken={"hold": "x y"})
    words = assemble(replace(_spoken(), train=_spoken().train[:3]), config, print)
    phrase = next(entry for entry in words.lexicon if entry.word == "hold time")
    assert phrase.phones[:2] == ("x", "y") and phrase.phones[2] == "t"
    assert words.test[0].pronunciation == "x y" and (words.train[0].pronunciation or "").split()[4:6] == ["x", "y"]
    save_words(words, tmp_path)
    again = load_words(tmp_path)
    assert [u.pronunciation for u in again.test] == [u.pronunciation for u in words.test]
    assert list(again.lexicon.words) == list(words.lexicon.words) and again.by_rule is not None
    assert again.pieces == [] and [u.id for u in again.sentences] == ["t4"]
    with pytest.raises(DataError, match=r"has no `pronunciation`; say with `material\.scheme`"):
        assemble(_spoken(), MaterialConfig(), print)
    for wrong, name in (({"spoken": {"a": "b"}}, "spoken"), ({"manifest_phones": False}, "manifest_phones"),
                        ({"phrase_words": 0}, "phrase_words")):  # fmt: skip
        with pytest.raises(ConfigError, match=name):
            MaterialConfig(**wrong)  # type: ignore[arg-type]


def test_a_word_cut_out_of_a_recording_that_was_trained_on_is_refused() -> None:
    lexicon = Lexicon.from_pairs([("a", "a")])
    cut = replace(_said("a", name="x"), start=0.2, id="cut")
    with pytest.raises(DataError, match="'cut'.*in `train` and in `test`"):
        refuse_leaks(Words([_said("a b", name="x")], [], [cut], lexicon), print)
    refuse_leaks(Words([_said("a b", name="y")], [], [cut], lexicon), print)


def test_cuts_lie_half_way_to_the_neighbours_and_inside_the_recording() -> None:
    places = np.array([[0.30, 0.34], [0.40, 0.44], [0.60, 0.64], [0.98, 1.0]])
    one = Aligned(replace(_said("ab cd"), start=2.0), ("a", "b", "c", "d"), places)
    word = one.cut(0, 2, "ab")
    assert (word.start, word.duration) == (pytest.approx(2.0 + 0.30 - MARGIN), pytest.approx(0.52 - 0.30 + MARGIN))
    assert (word.text, word.pronunciation, word.audio) == ("ab", "a b", one.utterance.audio)
    inner = one.cut(2, 3, "c")
    assert inner.start == pytest.approx(2.0 + (0.44 + 0.60) / 2) and inner.duration == pytest.approx(0.79 - 0.52)
    last = one.cut(3, 4, "d")
    assert last.start == pytest.approx(2.0 + 0.98 - MARGIN) and last.start + last.duration == pytest.approx(3.0)
    pieces = cut_pieces([one], 20, 0)
    assert pieces == cut_pieces([one], 20, 0) != cut_pieces([one], 20, 1)
    assert len({p.id for p in pieces}) == len(pieces) > 1 and all(p.text == p.pronunciation for p in pieces)
    assert all(p.text in "a b c d" and 2 <= len(p.text.split()) < 4 for p in pieces)


def test_a_language_unseen_in_training_listens_through_shared_phones(tmp_path: Path) -> None:
    config = ModelConfig(encoder="tdnn", layers=1, dim=16, channels=16, units="phones")
    tokens = {"en": Tokens(["a", "p", "t"], "phones"), "fr": Tokens(["a", "b"], "phones")}
    model = make_phone_model(config, tokens, "phones")
    Recogniser(model, tokens["en"], "en", {}, others={"fr": tokens["fr"]}).save(tmp_path / "model", "card", {})
    words = Words([], [], [], Lexicon.from_pairs([("tab", "t a b"), ("dab", "d a b")]))
    assert load_listener(tmp_path, "fr", words).tokens == tokens["fr"]
    heard = load_listener(tmp_path, "de", words)
    assert set(heard.tokens.symbols[1:]) <= {"a", "b", "p", "t"} and heard.lexicon is None
    torch.manual_seed(0)
    hidden = torch.randn(2, 3, 16)
    own, other = heard.model.head("de")(hidden), heard.model.head("fr")(hidden)
    place = heard.tokens.symbols.index("b")
    assert torch.equal(own[..., place], other[..., tokens["fr"].symbols.index("b")])
    with pytest.raises(ModelError, match="no such model folder"):
        load_listener(tmp_path / "none", "de", words)


def test_figures_are_shares_over_all_models() -> None:
    def heard(*pairs: tuple[str, str]) -> tuple[Hypothesis, ...]:
        return tuple(Hypothesis(str(n), "ann", "en", *pair) for n, pair in enumerate(pairs))

    members = {UNSEEN: np.array([True, False]), SEEN_WORDS: np.array([False, True])}
    sentences = heard(("old new", "old new"), ("new old", "old"))
    models = [Extras(heard(("a b", "a b"), ("c", "c")), sentences), Extras(heard(("a b", "a"), ("c", "d")), sentences)]
    assert [figure.value for figure in phone_figures(models, members)] == [pytest.approx(1 / 4), pytest.approx(1 / 2)]
    words = Words([_said("old")], [], [], Lexicon.from_pairs([("a", "a")]), [_said("old new"), _said("new old")])
    wer, recall = sentence_figures(models, words)
    assert wer.value == pytest.approx(1 / 4) and recall.value == pytest.approx(1 / 2)
    assert recall.low is recall.high is None, "two sentences say nothing of others"
    control = control_figures(heard(("new", ""), ("old", "old")), "words", members)
    assert [figure.value for figure in control] == [0.0, 1.0]
