"""Keywords: the nearest direction is found, thresholds come of leaving one out, and models are told apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from asr_transfer.adaptation.keywords import FALSE_ALARMS, NONE, Keywords
from asr_transfer.errors import DataError, ModelError


def _words(each: int, seed: int = 0, noise: float = 0.3) -> tuple[torch.Tensor, list[str]]:
    """Return vectors of three words around directions of their own, and the words."""
    random = torch.Generator().manual_seed(seed)
    vectors = torch.eye(6)[:3].repeat_interleave(each, 0) + noise * torch.randn(3 * each, 6, generator=random)
    return vectors, [word for word in ("up", "down", "stop") for _ in range(each)]


def test_of_one_recording_each_the_nearest_neighbour_is_found() -> None:
    vectors, texts = _words(1, noise=1.0)
    queries, _ = _words(8, 1, noise=2.0)
    keywords = Keywords.of(vectors, texts, ["me"] * 3)
    cosines = functional.cosine_similarity(queries[:, None], vectors[None], dim=-1)
    assert [found.nearest for found in keywords.find(queries, -1.0)] == [texts[n] for n in cosines.argmax(1).tolist()]


def test_the_order_of_the_recordings_changes_nothing() -> None:
    vectors, texts = _words(4)
    queries, _ = _words(3, 1)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    first = Keywords.of(vectors, texts, ["me"] * 12)
    second = Keywords.of(vectors[order], [texts[n] for n in order.tolist()], ["me"] * 12)
    torch.testing.assert_close(first.scores(queries), second.scores(queries))
    assert first.choose().threshold == pytest.approx(second.choose().threshold)


def test_what_a_speaker_adds_to_all_his_recordings_is_taken_off_together() -> None:
    vectors, texts = _words(2, noise=0.1)
    queries, said = _words(2, 1, noise=0.1)
    voice = 4 * torch.ones(6)
    voice[0] = -8
    keywords = Keywords.of(vectors, texts, ["me"] * 6)
    apart = [found.nearest for found in keywords.find(queries + voice, -1.0)]
    together = [found.nearest for found in keywords.find(queries + voice, -1.0, together=True)]
    assert together == said != apart
    torch.testing.assert_close(keywords.scores(queries + voice, True), keywords.scores(queries, True))


def test_a_recording_is_left_out_of_its_own_word_and_judged_by_other_speakers_where_there_are_some() -> None:
    vectors, texts = _words(2)
    right, wrong = Keywords.of(vectors, texts, ["me"] * 6).left_out()
    assert right[0] == pytest.approx(float(functional.cosine_similarity(vectors[0], vectors[1], dim=0)), abs=1e-5)
    others = [functional.normalize(functional.normalize(vectors[n : n + 2]).sum(0), dim=0) for n in (2, 4)]
    assert wrong[0] == pytest.approx(max(float(functional.normalize(vectors[0], dim=0) @ d) for d in others), abs=1e-5)
    # The second recording of each word is another speaker's, a copy of the first one's a third of his own.
    both = torch.cat([vectors, vectors[::2]])
    speakers = ["me", "you"] * 3 + ["me"] * 3
    apart, _ = Keywords.of(both, texts + texts[::2], speakers).left_out()
    assert apart[0] == pytest.approx(float(right[0]), abs=1e-5)


def test_other_speech_sets_the_threshold_where_words_have_one_recording() -> None:
    vectors, texts = _words(1)
    with pytest.raises(DataError, match="the word '.*' has one recording.*--background"):
        Keywords.of(vectors, texts, ["me"] * 3).choose()
    background = torch.randn(200, 6, generator=torch.Generator().manual_seed(2))
    keywords = Keywords.of(vectors, texts, ["me"] * 3, background)
    chosen = keywords.choose()
    taken = [found.word != NONE for found in keywords.find(background, chosen.threshold)]
    assert chosen.rate is None
    assert sum(taken) / len(taken) == pytest.approx(FALSE_ALARMS, abs=0.01)


def test_words_far_apart_are_found_and_what_is_none_of_them_is_refused() -> None:
    vectors, texts = _words(5, noise=0.1)
    keywords = Keywords.of(vectors, texts, ["me"] * 15)
    chosen = keywords.choose()
    assert chosen.rate == 0 and keywords.right() == (15, 15)
    assert [found.word for found in keywords.find(torch.eye(6), chosen.threshold)] == [
        "up",
        "down",
        "stop",
        *[NONE] * 3,
    ]


@pytest.mark.parametrize(
    ("texts", "said"),
    [(["up", "up"], "are of 1 word .up., .* give two words or more"), (["up", "none"], "give that word another name")],
)
def test_what_is_no_set_of_words_is_refused(texts: list[str], said: str) -> None:
    with pytest.raises(DataError, match=said):
        Keywords.of(torch.eye(2), texts, ["me", "me"])


def test_one_recording_alone_has_nothing_in_common_with_others() -> None:
    vectors, texts = _words(2)
    with pytest.raises(DataError, match="give several together"):
        Keywords.of(vectors, texts, ["me"] * 6).find(vectors[:1], 0.0, together=True)


def test_a_folder_holds_them_and_is_refused_where_it_is_damaged(tmp_path: Path) -> None:
    vectors, texts = _words(2)
    keywords = Keywords.of(vectors, texts, ["me"] * 6, vectors[:2] + 1)
    keywords.save(tmp_path / "k", "my_model", "0" * 64)
    loaded, facts = Keywords.load(tmp_path / "k")
    assert facts.model == "my_model" and loaded.words == keywords.words
    assert torch.equal(loaded.scores(vectors), keywords.scores(vectors))
    with pytest.raises(ModelError, match=r"holds no keywords\.yaml"):
        Keywords.load(tmp_path)
    replace(keywords, vectors=vectors[:4]).save(tmp_path / "k", "my_model", "0" * 64)
    with pytest.raises(ModelError, match="differs from what keywords.yaml says"):
        Keywords.load(tmp_path / "k")
