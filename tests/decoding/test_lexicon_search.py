"""The search for isolated words is exact: it equals enumeration of all paths and PyTorch's CTC loss of every entry."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from asr_transfer.data.lexicon import Entry, Lexicon
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding import lexicon_search
from asr_transfer.decoding.alignment import Segment, best_path
from asr_transfer.decoding.lexicon_search import (
    Candidate,
    PrefixTree,
    best_words,
    calibrate,
    explain,
    free_score,
    score_words,
)
from asr_transfer.errors import ConfigError, DataError, ModelError

PHONES = ["a", "b", "c"]
TOKENS = Tokens(PHONES, "words")


def _all_words(longest: int, phones: list[str] = PHONES) -> Lexicon:
    spelled = (" ".join(p) for n in range(1, longest + 1) for p in itertools.product(phones, repeat=n))
    return Lexicon.from_pairs([(phones.replace(" ", ""), phones) for phones in spelled])


def _random_words(count: int, longest: int, seed: int) -> Lexicon:
    random = np.random.default_rng(seed)
    drawn = {" ".join(random.choice(PHONES, random.integers(1, longest + 1))) for _ in range(count)}
    return Lexicon.from_pairs([(phones.replace(" ", ""), phones) for phones in sorted(drawn)])


def _speech(*shape: int, seed: int = 0, sharpness: float = 3.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (sharpness * torch.randn(*shape, generator=generator, dtype=torch.float64)).log_softmax(-1)


def _oracle(log_probs: torch.Tensor, tree: PrefixTree) -> torch.Tensor:
    """Return PyTorch's log-likelihood of every entry of one utterance, one entry at a time."""
    found = [
        -torch.nn.functional.ctc_loss(
            log_probs.double()[:, None],
            torch.tensor([target]),
            torch.tensor([len(log_probs)]),
            torch.tensor([len(target)]),
            reduction="none",
        )
        for target in tree.targets
    ]
    return torch.cat(found)


def _enumerated(log_probs: torch.Tensor, tree: PrefixTree) -> torch.Tensor:
    """Return the log-likelihood of every entry by going through all paths."""
    frames, tokens = log_probs.shape
    total = {tuple(target): 0.0 for target in tree.targets}
    for path in itertools.product(range(tokens), repeat=frames):
        spelled = tuple(index for index, _ in itertools.groupby(path) if index)
        if spelled in total:
            total[spelled] += math.exp(sum(float(log_probs[t, index]) for t, index in enumerate(path)))
    return torch.tensor([total[tuple(target)] for target in tree.targets], dtype=torch.float64).log()


@pytest.mark.parametrize("frames", [1, 2, 3, 5])
def test_scores_equal_an_enumeration_of_all_paths(frames: int) -> None:
    tree = PrefixTree(_all_words(4), TOKENS)
    speech = _speech(1, frames, 4, seed=frames)
    scores = score_words(speech, torch.tensor([frames]), tree)[0]
    torch.testing.assert_close(scores, _enumerated(speech[0], tree), rtol=1e-12, atol=0)
    assert torch.equal(scores == -math.inf, tree.frames_needed > frames)
    # All words of up to five phones, and the empty one, share the probability of 1.
    if frames == 5:
        whole = score_words(speech, torch.tensor([frames]), PrefixTree(_all_words(5), TOKENS))
        assert float(whole.exp().sum() + speech[0, :, 0].sum().exp()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_scores_equal_the_ctc_loss_of_every_entry(seed: int) -> None:
    tree = PrefixTree(_random_words(150, 9, seed), TOKENS)
    lengths = torch.tensor([14, 9, 1, 0, 25])
    speech = _speech(5, 25, 4, seed=seed, sharpness=1 + 2 * seed)
    scores = score_words(speech, lengths, tree)
    assert scores.dtype == torch.float64
    for row, length in enumerate(lengths.tolist()):
        if length:
            torch.testing.assert_close(scores[row], _oracle(speech[row, :length], tree), rtol=1e-9, atol=0)
        else:
            assert (scores[row] == -math.inf).all()


def test_single_precision_is_scored_in_double_precision() -> None:
    tree = PrefixTree(_all_words(3), TOKENS)
    speech = _speech(2, 8, 4).float()
    assert torch.equal(
        score_words(speech, torch.tensor([8, 8]), tree), score_words(speech.double(), torch.tensor([8, 8]), tree)
    )


def test_padding_is_never_read_and_a_batch_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = PrefixTree(_all_words(4), TOKENS)
    speech, lengths = _speech(7, 12, 4), torch.tensor([12, 3, 7, 1, 0, 12, 5])
    alone = torch.cat(
        [score_words(speech[n : n + 1, :length], lengths[n : n + 1], tree) for n, length in enumerate(lengths)]
    )
    for row, length in enumerate(lengths.tolist()):
        speech[row, length:] = math.nan
    torch.testing.assert_close(score_words(speech, lengths, tree), alone, rtol=1e-13, atol=0)
    monkeypatch.setattr(lexicon_search, "WORKING_BYTES", 1)
    torch.testing.assert_close(score_words(speech, lengths, tree), alone, rtol=1e-13, atol=0)
    assert score_words(speech[:0], lengths[:0], tree).shape == (0, len(tree.lexicon))
    assert best_words(speech[:0], lengths[:0], tree) == []
    assert best_words(speech[:2, :0], torch.tensor([0, 0]), tree) == [[], []]


@pytest.mark.parametrize("sharpness", [10.0, 15.0, 120.0])
def test_words_below_the_range_of_double_precision_are_not_lost(
    sharpness: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = PrefixTree(_random_words(80, 8, 1), TOKENS)
    speech, lengths = _speech(2, 60, 4, sharpness=sharpness), torch.tensor([60, 45])
    expected = torch.stack([_oracle(speech[n, :length], tree) for n, length in enumerate(lengths.tolist())])
    margins = expected - free_score(speech, lengths)[:, None]
    assert bool((margins < -700).any()) == (sharpness > 10)  # the case is what it says
    torch.testing.assert_close(score_words(speech, lengths, tree), expected, rtol=1e-9, atol=0)
    for part in lexicon_search._parts(speech, lengths, tree):
        assert bool(part.doubtful.any()) == (sharpness > 10)
        trusted = part.scores > -math.inf
        torch.testing.assert_close(part.scores[trusted], expected[trusted], rtol=1e-9, atol=0)
    everything = best_words(speech, lengths, tree, len(tree.words))
    assert [len(found) for found in everything] == [len(tree.words)] * 2
    for row, found in enumerate(everything):
        assert [c.score for c in found] == pytest.approx(expected[row].sort(descending=True).values.tolist(), rel=1e-9)
    calls: list[int] = []
    monkeypatch.setattr(lexicon_search, "_ctc", lambda *_: calls.append(1))
    if sharpness == 15:  # some lie within the range: the best ones need no second look
        best = best_words(speech[:1], lengths[:1], tree, 2)
        assert not calls and best[0] == everything[0][:2]


def test_a_word_that_needs_every_frame_is_not_lost_below_that_range() -> None:
    tree = PrefixTree(Lexicon.from_pairs([("x", "b c b"), ("y", "a"), ("z", "b b")]), TOKENS)
    speech = (torch.tensor([0.0, 400.0, 0.0, 0.0], dtype=torch.float64) * torch.ones(1, 3, 1)).log_softmax(-1)
    found = score_words(speech, torch.tensor([3]), tree)[0]
    torch.testing.assert_close(found, torch.tensor([-1200.0, 0.0, -1200.0], dtype=torch.float64))


def test_what_is_trusted_is_exact_up_to_the_edge_of_the_range() -> None:
    tree = PrefixTree(Lexicon.from_pairs([("x", "a b a"), ("y", "c b a c b"), ("z", "b")]), TOKENS)
    speech = torch.cat([_speech(1, 60, 4, sharpness=float(sharpness)) for sharpness in np.linspace(10, 30, 80)])
    expected = torch.stack([_oracle(row, tree) for row in speech])
    margins = expected - free_score(speech, torch.full((80,), 60))[:, None]
    lowest = 0.0
    for n, part in enumerate(lexicon_search._parts(speech, torch.full((80,), 60), tree)):
        assert n == 0
        trusted = ~part.doubtful
        torch.testing.assert_close(part.scores[trusted], expected[trusted], rtol=1e-12, atol=0)
        lowest = float(margins[trusted].min())
    assert -680 < lowest < -600 and float(margins.min()) < -800


def test_impossible_tokens_and_frames_make_entries_impossible() -> None:
    tree = PrefixTree(_all_words(3), TOKENS)
    speech = _speech(2, 6, 4)
    speech[0, :, 2] = -math.inf
    speech[1, 3] = -math.inf
    scores = score_words(speech, torch.tensor([6, 6]), tree)
    torch.testing.assert_close(scores[0], _oracle(speech[0], tree), rtol=1e-9, atol=0)
    assert [score == -math.inf for score in scores[0].tolist()] == ["b" in word for word in tree.words]
    assert (scores[1] == -math.inf).all() and best_words(speech[1:], torch.tensor([6]), tree, 3) == [[]]


def test_alignments_too_many_for_double_precision_are_still_summed() -> None:
    tokens = Tokens(["a", "b"], "words")
    tree = PrefixTree(Lexicon.from_pairs([("long", "a b " * 200), ("short", "a")]), tokens)
    speech = torch.full((1, 1500, 3), -math.log(3), dtype=torch.float64)
    scores = score_words(speech, torch.tensor([1500]), tree)
    torch.testing.assert_close(scores[0], _oracle(speech[0], tree), rtol=1e-9, atol=0)


@pytest.mark.parametrize("units", ["characters", "words"])
def test_any_tokens_will_do(units: str) -> None:
    tokens = Tokens.from_texts(["ab c", "c ba"], units)  # type: ignore[arg-type]
    symbols = [symbol for symbol in tokens.symbols[1:] if symbol != " "]
    tree = PrefixTree(_all_words(2, symbols), tokens)
    speech = _speech(1, 6, len(tokens))
    torch.testing.assert_close(
        score_words(speech, torch.tensor([6]), tree)[0], _oracle(speech[0], tree), rtol=1e-9, atol=0
    )


def test_pronunciations_of_a_word_are_summed_with_their_weights() -> None:
    entries = [Entry("x", ("a", "b")), Entry("y", ("c",)), Entry("x", ("b",), math.log(0.25)), Entry("x", ("c", "a"))]
    tree = PrefixTree(Lexicon(entries), TOKENS)
    speech, lengths = _speech(3, 6, 4), torch.tensor([6, 6, 1])
    scores = score_words(speech, lengths, tree)
    plain = torch.stack([_oracle(speech[n, :length], tree) for n, length in enumerate(lengths.tolist())])
    torch.testing.assert_close(scores, plain + tree.weights, rtol=1e-9, atol=0)
    for row, found in enumerate(best_words(speech, lengths, tree, 5)):
        likelihood = {"x": float(scores[row, [0, 2, 3]].exp().sum()), "y": float(scores[row, 1].exp())}
        order = sorted(likelihood, key=lambda word: -likelihood[word])
        assert [candidate.word for candidate in found] == order
        for word, posterior, score in found:
            assert score == pytest.approx(math.log(likelihood[word]))
            assert posterior == pytest.approx(likelihood[word] / sum(likelihood.values()))


def test_a_further_entry_changes_no_other_score_and_only_listed_words_are_found() -> None:
    speech, lengths = _speech(20, 8, 4, seed=3), torch.full((20,), 8)
    lexicon = _random_words(40, 4, 2)
    left_out = lexicon.words[7]
    fewer = Lexicon(entry for entry in lexicon if entry.word != left_out)
    with_it, without = (
        score_words(speech, lengths, PrefixTree(lexicon, TOKENS)),
        score_words(speech, lengths, PrefixTree(fewer, TOKENS)),
    )
    others = [n for n, entry in enumerate(lexicon) if entry.word != left_out]
    torch.testing.assert_close(with_it[:, others], without, rtol=1e-13, atol=0)
    found = {candidate.word for row in best_words(speech, lengths, PrefixTree(fewer, TOKENS), 50) for candidate in row}
    assert found == set(fewer.words)


def test_wrong_arguments_are_refused() -> None:
    tree, lengths = PrefixTree(_all_words(2), TOKENS), torch.tensor([3])
    with pytest.raises(ModelError, match=r"shape \(1, 3, 5\), but the lexicon is spelled in 4 tokens"):
        score_words(torch.zeros(1, 3, 5), lengths, tree)
    for value in (math.nan, math.inf):
        with pytest.raises(ModelError, match="not-a-number"):
            score_words(torch.full((1, 3, 4), value), lengths, tree)
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        best_words(torch.zeros(1, 3, 4), lengths, tree, 0)
    with pytest.raises(DataError, match="the word 'zoo': 'zoo' cannot be spelled by the model's words"):
        PrefixTree(Lexicon.from_pairs([("a", "a"), ("zoo", "z a")]), TOKENS)
    with pytest.raises(DataError, match="<blank>"):
        PrefixTree(Lexicon.from_pairs([("<blank>", "<blank>")]), TOKENS)


def test_the_free_score_is_the_best_path_through_all_tokens() -> None:
    speech, lengths = _speech(2, 4, 3), torch.tensor([4, 2])
    for row, length in enumerate(lengths.tolist()):
        paths = itertools.product(range(3), repeat=length)
        best = max(sum(float(speech[row, t, index]) for t, index in enumerate(path)) for path in paths)
        assert float(free_score(speech, lengths)[row]) == pytest.approx(best)


def test_the_threshold_lets_in_the_fewest_foreign_words() -> None:
    apart = calibrate([-0.1, -0.2, -0.4], [-0.6, -1.0])
    assert (apart.threshold, apart.false_rejection, apart.false_acceptance) == (pytest.approx(-0.5), 0, 0)
    own, foreign = np.random.default_rng(0).normal([[1.0], [0.0]], 0.6, (2, 400))
    for share in (0.0, 0.05, 0.2):
        found = calibrate(own.tolist(), foreign.tolist(), share)
        assert found.false_rejection == np.mean(own < found.threshold) <= share
        assert found.false_acceptance == np.mean(foreign >= found.threshold)
        better = [
            t for t in [*own, *foreign] if np.mean(own < t) <= share and np.mean(foreign >= t) < found.false_acceptance
        ]
        assert not better
    assert calibrate([0.0], [0.0]).false_acceptance == 1
    for wrong in ([], [math.nan]):
        with pytest.raises(DataError, match="both kinds"):
            calibrate(wrong, [1.0])


@pytest.mark.parametrize("seed", range(4))
def test_the_best_path_is_the_best_of_all_alignments(seed: int) -> None:
    speech = _speech(5, 3, seed=seed)
    for target in ([1], [1, 2], [1, 1], [2, 1, 2], [1, 1, 1]):
        aligned = [
            path
            for path in itertools.product(range(3), repeat=5)
            if [index for index, _ in itertools.groupby(path) if index] == target
        ]
        best = max(aligned, key=lambda path: sum(float(speech[t, index]) for t, index in enumerate(path)))
        assert best_path(speech, target) == list(best)


def test_an_explanation_tells_what_was_heard_and_what_was_better() -> None:
    path = [0, 1, 1, 0, 2, 3, 3, 0]
    speech = (6.0 * torch.eye(4, dtype=torch.float64)[path]).log_softmax(-1)
    lexicon = Lexicon.from_pairs(
        [("abc", "a b c"), ("ac", "a c"), ("abba", "a b b a"), ("ac", "b"), ("long", "a a " * 5)]
    )
    tree = PrefixTree(lexicon, TOKENS)
    right = explain(speech, "abc", tree)
    assert (right.rank, right.words, right.better) == (1, 4, [])
    assert right.path == right.heard == [Segment("a", 1, 3), Segment("b", 4, 5), Segment("c", 5, 7)]
    assert right.edits == [("a", "a"), ("b", "b"), ("c", "c")]
    found: list[Candidate] = best_words(speech[None], torch.tensor([8]), tree, 4)[0]
    wrong = explain(speech, " ac ", tree, shown=1)
    assert (wrong.rank, wrong.better, wrong.pronunciation) == (2, found[:1], ("a", "c"))
    assert wrong.score == found[1].score
    assert wrong.margin == pytest.approx((found[1].score - float(speech.amax(1).sum())) / 8)
    assert wrong.edits == [("a", "a"), (None, "b"), ("c", "c")]
    assert str(wrong).splitlines() == [
        f"'ac': rank 2 of 4, log-likelihood {wrong.score:.2f}, {wrong.margin:+.2f} nats per frame "
        "against the best free path",
        "  pronounced  a c",
        f"  best path   {', '.join(map(str, wrong.path))}",
        "  recognised  a 1–3, b 4–5, c 5–7",
        "  compared    a ·→b c",
        f"  beaten by   'abc' {found[0].score:.2f} ({found[0].posterior:.1%})",
    ]
    impossible = explain(speech, "long", tree)
    assert impossible.rank == 4 and impossible.path == [] and "it needs more frames" in str(impossible)
    with pytest.raises(DataError, match="does not hold the word 'abd'.* Did you mean 'ab"):
        explain(speech, "abd", tree)
