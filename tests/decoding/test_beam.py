"""The search for sentences: unpruned it equals going through all paths; pruned it finds what was said."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch

from asr_transfer.data.lexicon import Entry, Lexicon
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding import beam
from asr_transfer.decoding.alignment import Segment
from asr_transfer.decoding.beam import SearchConfig, Sentence, SentenceSearch
from asr_transfer.decoding.ngram import NgramModel
from asr_transfer.errors import ConfigError, DataError, ModelError

PHONES = Tokens(["a", "b", "c"], "phones")
LETTERS = Tokens([" ", "a", "b"])
UNPRUNED = SearchConfig(beam=1_000_000, beam_threshold=math.inf, lm_weight=0.0)
MODEL = NgramModel.from_texts(["x y", "y x x", "x", "y z y"], order=3, vocabulary=["ab"])
LEXICA = {
    "phones": (PHONES, [("x", "a b"), ("y", "b"), ("z", "b b"), ("x", "a")]),
    "homophones": (PHONES, [("x", "a"), ("y", "a"), ("z", "a b a")]),
    "letters": (LETTERS, [("ab", "a b"), ("a", "a"), ("bb", "b b")]),
    "words": (Tokens(["x", "y", "z"], "words"), [("x", "x"), ("y", "y"), ("z", "z")]),
}


def _lexicon(name: str, weights: Sequence[float] = (0.0, 0.0, 0.0, 0.0)) -> tuple[Tokens, Lexicon]:
    tokens, pairs = LEXICA[name]
    entries = (Entry(word, tuple(phones.split()), w) for (word, phones), w in zip(pairs, weights, strict=False))
    return tokens, Lexicon(entries)


def _speech(frames: int, tokens: int, seed: int = 0, sharpness: float = 2.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (sharpness * torch.randn(frames, tokens, generator=generator, dtype=torch.float64)).log_softmax(-1)


def _spellings(
    tokens: Tokens, lexicon: Lexicon, longest: int
) -> Mapping[tuple[str, ...], Mapping[tuple[str, ...], float]]:
    """Return the sentences, and the weight of each, that every spelling of up to `longest` symbols can be."""
    found: dict[tuple[str, ...], dict[tuple[str, ...], float]] = defaultdict(dict)
    joint = (" ",) if " " in tokens.symbols else ()
    open_: list[tuple[tuple[str, ...], tuple[str, ...], float]] = [((), (), 0.0)]
    while open_:
        words, spelling, weight = open_.pop()
        known = found[spelling].get(words, -math.inf)
        found[spelling][words] = np.logaddexp(known, weight)
        for entry in lexicon:
            longer = (*spelling, *(joint if words else ()), *entry.phones)
            if len(longer) <= longest:
                open_.append(((*words, entry.word), longer, weight + entry.weight))
    return found


def _enumerated(log_probs: torch.Tensor, tokens: Tokens, lexicon: Lexicon) -> dict[tuple[str, ...], float]:
    """Return the log-probability of every sentence, going through all paths."""
    spellings = _spellings(tokens, lexicon, len(log_probs))
    total: dict[tuple[str, ...], float] = defaultdict(float)
    for path in itertools.product(range(len(tokens)), repeat=len(log_probs)):
        text = [tokens.symbols[index] for index, _ in itertools.groupby(path) if index]
        if " " in tokens.symbols:
            text = list(" ".join("".join(text).split()))
        p = math.exp(sum(float(log_probs[t, index]) for t, index in enumerate(path)))
        for words, weight in spellings.get(tuple(text), {}).items():
            total[words] += p * math.exp(weight)
    return {words: math.log(p) for words, p in total.items()}


def _found(search: SentenceSearch, log_probs: torch.Tensor, n: int = 100_000) -> list[Sentence]:
    return search.best_sentences(log_probs[None], torch.tensor([len(log_probs)]), n)[0]


@pytest.mark.parametrize("name", LEXICA)
@pytest.mark.parametrize("frames", [1, 2, 5])
def test_unpruned_it_equals_an_enumeration_of_all_paths(name: str, frames: int) -> None:
    tokens, lexicon = _lexicon(name)
    speech = _speech(frames, len(tokens), seed=frames)
    found = _found(SentenceSearch(lexicon, tokens, UNPRUNED), speech)
    expected = _enumerated(speech, tokens, lexicon)
    assert {s.words: pytest.approx(s.score, abs=1e-9) for s in found} == expected
    assert len({s.words for s in found}) == len(found)
    assert [s.score for s in found] == sorted((s.score for s in found), reverse=True)
    assert sum(s.posterior for s in found) == pytest.approx(1)


@pytest.mark.parametrize("name", LEXICA)
@pytest.mark.parametrize("look_ahead", [True, False])
def test_word_scores_weights_and_the_language_model_are_added(name: str, look_ahead: bool) -> None:
    tokens, lexicon = _lexicon(name, (0.3, -0.7, 1.5, -2.0))
    speech = _speech(4, len(tokens), seed=7)
    config = SearchConfig(
        beam=1_000_000, beam_threshold=math.inf, lm_weight=0.6, word_score=-0.4, look_ahead=look_ahead
    )
    found = _found(SentenceSearch(lexicon, tokens, config, MODEL), speech)
    expected = {
        words: score + 0.6 * MODEL.sentence(words) - 0.4 * len(words)
        for words, score in _enumerated(speech, tokens, lexicon).items()
    }
    assert {s.words: pytest.approx(s.score, abs=1e-9) for s in found} == expected


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", LEXICA)
def test_a_small_beam_never_gives_more_than_the_whole_score(name: str, seed: int) -> None:
    tokens, lexicon = _lexicon(name)
    speech = _speech(5, len(tokens), seed=seed, sharpness=4.0)
    expected = _enumerated(speech, tokens, lexicon)
    found = _found(SentenceSearch(lexicon, tokens, SearchConfig(beam=6, lm_weight=0.0)), speech)
    assert found
    assert all(s.score <= expected[s.words] + 1e-9 for s in found)
    # Posteriors this sharp leave the best one within forty hypotheses; sentences that are spelled alike tie.
    found = _found(SentenceSearch(lexicon, tokens, SearchConfig(beam=40, lm_weight=0.0)), speech)
    assert expected[found[0].words] == pytest.approx(max(expected.values()))


def _spoken(tokens: Tokens, symbols: Sequence[str], spacing: int = 2) -> torch.Tensor:
    """Return posteriors in which each symbol takes a frame, blanks between them, the last frame a symbol's."""
    path = [0] * (spacing * len(symbols))
    path[spacing - 1 :: spacing] = [tokens.symbols.index(symbol) for symbol in symbols]
    logits = torch.zeros(len(path), len(tokens), dtype=torch.float64)
    logits[range(len(path)), path] = 9.0
    return logits.log_softmax(-1)


def test_the_last_word_needs_no_frame_behind_it_and_words_have_times() -> None:
    tokens, lexicon = _lexicon("letters")
    speech = _spoken(tokens, list("ab a bb"))
    search = SentenceSearch(lexicon, tokens, SearchConfig(lm_weight=0.0))
    best = _found(search, speech, 1)[0]
    assert best.text == "ab a bb"
    assert tokens.decode(search.labels(best)) == "ab a bb"
    assert search.times(speech, best) == [Segment("ab", 1, 4), Segment("a", 7, 8), Segment("bb", 11, 14)]


def test_equal_words_behind_each_other_have_their_own_times() -> None:
    tokens, lexicon = _lexicon("phones")
    speech = _spoken(tokens, ["a", "b", "b", "a", "b"])
    search = SentenceSearch(lexicon, tokens, SearchConfig(lm_weight=0.0, word_score=-1.0))
    best = _found(search, speech, 1)[0]
    assert best.words == ("x", "y", "x")
    assert search.times(speech, best) == [Segment("x", 1, 4), Segment("y", 5, 6), Segment("x", 7, 10)]
    assert [" ".join(lexicon[entry].phones) for entry in best.entries] == ["a b", "b", "a b"]
    with pytest.raises(DataError, match="needs more frames"):
        search.times(speech[:4], best)


def test_the_likelier_pronunciation_is_named() -> None:
    tokens, lexicon = _lexicon("phones")
    search = SentenceSearch(lexicon, tokens, SearchConfig(lm_weight=0.0))
    assert _found(search, _spoken(tokens, ["a", "b", "a"]), 1)[0].entries in {(0, 3), (3, 1, 3)}
    assert [s.entries for s in _found(search, _spoken(tokens, ["a"]), 1)] == [(3,)]


def test_each_utterance_of_a_batch_is_searched_alone() -> None:
    tokens, lexicon = _lexicon("phones")
    search = SentenceSearch(lexicon, tokens, SearchConfig(lm_weight=0.0))
    one, two = _speech(7, 4, seed=1), _speech(4, 4, seed=2)
    batch = torch.full((3, 7, 4), math.nan, dtype=torch.float64)
    batch[0], batch[1, :4] = one, two
    found = search.best_sentences(batch, torch.tensor([7, 4, 0]), 5)
    assert found[0] == _found(search, one, 5)
    assert found[1] == _found(search, two, 5)
    assert found[2] == [Sentence((), 0.0, 1.0, ())]


@pytest.mark.parametrize("together", [1, 4, 1600])
@pytest.mark.parametrize("name", sorted(LEXICA))
def test_pruned_beams_side_by_side_are_those_of_each_utterance(
    name: str, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beam, "TOGETHER", together)
    tokens, lexicon = _lexicon(name)
    model = MODEL if name != "letters" else None
    search = SentenceSearch(lexicon, tokens, SearchConfig(beam=2, beam_threshold=9.0, unknown_score=-3.0), model)
    lengths = [6, 9, 0, 9, 1, 4, 7]
    batch = torch.stack([_speech(9, len(tokens), seed, sharpness=1.0) for seed in range(len(lengths))])
    batch[3, 5] = -math.inf  # nothing can be spelled there
    found = search.best_sentences(batch, torch.tensor(lengths), 3)
    assert not found[3] and sum(map(bool, found)) == 6
    for own, speech, length in zip(found, batch, lengths, strict=True):
        (alone,) = search.best_sentences(speech[None], torch.tensor([length]), 3)
        assert [(s.words, s.entries) for s in own] == [(s.words, s.entries) for s in alone]
        assert [s.score for s in own] == pytest.approx([s.score for s in alone], abs=1e-9)


def test_fewer_utterances_are_searched_at_once_where_much_may_follow() -> None:
    symbols = [f"p{n}" for n in range(2000)]
    wide = SentenceSearch(Lexicon.from_pairs([(s, s) for s in symbols]), Tokens(symbols, "phones"), UNPRUNED)
    narrow = SentenceSearch(_lexicon("phones")[1], PHONES, SearchConfig(beam=100, lm_weight=0.0))
    assert narrow._together() == 16 and narrow.with_config(SearchConfig(beam=5, lm_weight=0.0))._together() == 256
    assert wide._together() == 1 and wide.with_config(SearchConfig(beam=50, lm_weight=0.0))._together() == 2


def test_an_added_word_changes_only_what_holds_it() -> None:
    tokens, lexicon = _lexicon("phones")
    larger = Lexicon([*lexicon, Entry("new", ("c", "a", "c"))])
    speech = _speech(5, 4, seed=3)
    before = {s.words: s.score for s in _found(SentenceSearch(lexicon, tokens, UNPRUNED), speech)}
    after = {s.words: s.score for s in _found(SentenceSearch(larger, tokens, UNPRUNED), speech)}
    assert any("new" in words for words in after)
    assert {w: pytest.approx(s, abs=1e-9) for w, s in after.items() if "new" not in w} == before


def test_words_that_the_language_model_does_not_know() -> None:
    lexicon = Lexicon.from_pairs([("x", "a"), ("new", "b"), ("x new", "c")])
    speech = _speech(4, 4, seed=4)
    acoustic = _enumerated(speech, PHONES, lexicon)
    config = SearchConfig(beam=1_000_000, beam_threshold=math.inf, lm_weight=0.5)
    found = _found(SentenceSearch(lexicon, PHONES, config, MODEL), speech)
    # An entry of several words is several words to the language model.
    expected = {w: s + 0.5 * MODEL.sentence(" ".join(w).split()) for w, s in acoustic.items()}
    assert {s.words: pytest.approx(s.score, abs=1e-9) for s in found} == expected
    config = SearchConfig(beam=1_000_000, beam_threshold=math.inf, lm_weight=0.5, unknown_score=-3.0)
    scores = {s.words: s.score for s in _found(SentenceSearch(lexicon, PHONES, config, MODEL), speech)}
    behind = MODEL.score(MODEL.unknown or 0, 0)[1]
    expected_one = acoustic["new",] + 0.5 * (-3.0 + float(MODEL.end(np.array([behind]))[0]))
    assert scores["new",] == pytest.approx(expected_one)
    closed = NgramModel([{(w,): (-0.5, 0.0) for w in ("<s>", "</s>", "x")}], "closed.arpa")
    with pytest.raises(ConfigError, match=r"closed\.arpa: does not list the word 'new' \(2 of 3 words"):
        SentenceSearch(lexicon, PHONES, SearchConfig(), closed)
    SentenceSearch(lexicon, PHONES, SearchConfig(unknown_score=-8.0), closed)


def test_random_lexica_with_a_beam_find_what_was_said() -> None:
    random = np.random.default_rng(0)
    symbols = [f"p{n}" for n in range(20)]
    tokens = Tokens(symbols, "phones")
    spelled = {" ".join(random.choice(symbols, random.integers(3, 7))) for _ in range(500)}
    lexicon = Lexicon.from_pairs([(f"w{n}", phones) for n, phones in enumerate(sorted(spelled))])
    search = SentenceSearch(lexicon, tokens, SearchConfig(lm_weight=0.0, beam=50))
    for _ in range(5):
        said = [lexicon[int(n)] for n in random.integers(0, len(lexicon), 4)]
        speech = _spoken(tokens, [phone for entry in said for phone in entry.phones])
        noisy = (speech + torch.from_numpy(random.normal(0, 1.5, speech.shape))).log_softmax(-1)
        assert _found(search, noisy, 1)[0].words == tuple(entry.word for entry in said)


def test_a_word_that_is_not_finished_is_left_out() -> None:
    lexicon = Lexicon.from_pairs([("x", "a b"), ("y", "c")])
    speech = _spoken(PHONES, ["a", "b", "a"])
    found = _found(SentenceSearch(lexicon, PHONES, SearchConfig(beam=1, lm_weight=0.0)), speech, 3)
    assert [s.words for s in found] == [("x",)]


def test_what_cannot_be_searched_is_refused() -> None:
    tokens, lexicon = _lexicon("phones")
    search = SentenceSearch(lexicon, tokens)
    with pytest.raises(ModelError, match="made for 4 tokens"):
        search.best_sentences(torch.zeros(1, 3, 5), torch.tensor([3]))
    with pytest.raises(ModelError, match="not-a-number"):
        search.best_sentences(torch.full((1, 3, 4), math.nan), torch.tensor([3]))
    with pytest.raises(ConfigError, match="at least 1"):
        search.best_sentences(torch.zeros(1, 3, 4), torch.tensor([3]), 0)
    with pytest.raises(DataError, match="the phone 'q'"):
        SentenceSearch(Lexicon.from_pairs([("x", "q")]), tokens)


@pytest.mark.parametrize(
    "settings",
    [
        {"beam": 0},
        {"beam": 2.5},
        {"beam": True},
        {"beam_threshold": 0.0},
        {"beam_threshold": math.nan},
        {"lm_weight": -1.0},
        {"lm_weight": math.inf},
        {"word_score": math.nan},
        {"hot_weight": math.inf},
        {"unknown_score": 0.5},
        {"unknown_score": -math.inf},
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"`search.{next(iter(settings))}` must be"):
        SearchConfig(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("beam", [1, 2])
@pytest.mark.parametrize("look_ahead", [True, False])
def test_looking_ahead_keeps_the_words_that_can_be_said(look_ahead: bool, beam: int) -> None:
    """The likelier first phone begins a word that costs more than all that it is ahead; a small beam must know it."""
    lexicon = Lexicon([Entry("rare", ("a", "b"), -20.0), Entry("usual", ("c", "b"), 0.0)])
    logits = torch.full((3, 4), -40.0, dtype=torch.float64)
    logits[0, 0] = 0.5 if beam == 2 else -40.0  # the beam has room for what has said nothing, and one more
    for frame, token, value in ((0, 1, 1.0), (0, 3, 0.0), (1, 0, 1.0), (2, 2, 1.0)):
        logits[frame, token] = value
    config = SearchConfig(beam=beam, beam_threshold=60.0, lm_weight=0.0, look_ahead=look_ahead)
    found = SentenceSearch(lexicon, PHONES, config).best_sentences(logits[None].log_softmax(-1), torch.tensor([3]))[0]
    assert found[0].text == ("usual" if look_ahead else "rare")
