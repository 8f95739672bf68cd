"""What is written token after token is what Transformers' generate writes, alone as in a batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from asr_transfer.data.byte_pairs import BytePairTokens
from asr_transfer.data.inputs import WhisperMel
from asr_transfer.data.manifest import Utterance, read_audio
from asr_transfer.decoding.sequence import Spelled, Vocabulary, write_greedily
from asr_transfer.decoding.sequence_beam import write_by_beam
from asr_transfer.errors import DataError
from asr_transfer.models.contract import SequenceModel
from asr_transfer.models.pretrained.door import open_pretrained
from tests.models.pretrained.whole_whisper import features, write_whisper
from tests.models.pretrained.whole_whisper import tokenizer as tiny_tokenizer
from tests.real_runs import ROOT

REAL = ROOT.parent / "shared" / "models" / "whisper-tiny"
SPEECH = ROOT.parent / "shared" / "speech" / "artikulate" / "fr"
MOST = 25


def _opened(folder: Path) -> tuple[SequenceModel, BytePairTokens, Vocabulary]:
    found = open_pretrained(folder)
    model, tokens = found.model, found.tokens["text"]
    assert isinstance(model, SequenceModel) and isinstance(tokens, BytePairTokens)
    return model, tokens, Vocabulary(model.head("text"), tokens.end, tokens.never, tokens.never_first)


@torch.no_grad()
def _written(folder: Path, inputs: torch.Tensor, language: str, beam: int, most: int = MOST) -> list[Spelled]:
    model, tokens, vocabulary = _opened(folder)
    states, _ = model(inputs, torch.full((len(inputs),), inputs.shape[1]))
    prompts, limits = [tokens.prompt(language)] * len(inputs), [most] * len(inputs)
    if beam == 1:
        return write_greedily(model, vocabulary, states, prompts, limits)
    return write_by_beam(model, vocabulary, states, prompts, limits, beam)


def _generated(theirs: Any, inputs: torch.Tensor, language: str, beam: int, end: int) -> list[tuple[int, ...]]:
    made = theirs.generate(
        input_features=inputs.transpose(1, 2), language=language, task="transcribe", num_beams=beam,
        max_new_tokens=MOST + 1,
    )  # fmt: skip
    # Those that end before others are followed by the mark of the end.
    return [tuple(token for token in row if token < end)[:MOST] for row in made.tolist()]


@pytest.mark.parametrize("seed", [0, 3])
def test_greedy_texts_are_those_of_transformers(tmp_path: Path, seed: int) -> None:
    theirs = write_whisper(tmp_path / "published", seed)
    inputs = features(5, seed)
    found = _written(tmp_path / "published", inputs, "cs", 1)
    assert [one.tokens for one in found] == _generated(theirs, inputs, "cs", 1, 256)
    assert len({one.tokens for one in found}) > 1


@pytest.mark.parametrize(("seed", "beam"), [(0, 2), (1, 4), (2, 4)])
def test_texts_of_a_beam_are_those_of_transformers(tmp_path: Path, seed: int, beam: int) -> None:
    theirs = write_whisper(tmp_path / "published", seed)
    inputs = features(3, seed)
    found = _written(tmp_path / "published", inputs, "en", beam, MOST + 1)
    assert [one.tokens[:MOST] for one in found] == _generated(theirs, inputs, "en", beam, 256)


@pytest.mark.parametrize("beam", [1, 3])
def test_a_text_is_the_same_alone_and_beside_others(tmp_path: Path, beam: int) -> None:
    write_whisper(tmp_path / "published", 3)
    inputs = features(4, 3)
    together = _written(tmp_path / "published", inputs, "cs", beam)
    for number, one in enumerate(together):
        (alone,) = _written(tmp_path / "published", inputs[number : number + 1], "cs", beam)
        assert alone.tokens == one.tokens
        assert alone.log_probability == pytest.approx(one.log_probability, abs=1e-3)


def test_one_hypothesis_is_greedy(tmp_path: Path) -> None:
    write_whisper(tmp_path / "published", 5)
    model, tokens, vocabulary = _opened(tmp_path / "published")
    with torch.no_grad():
        states, _ = model(features(3, 5), torch.full((3,), 200))
        prompts = [tokens.prompt("en")] * 3
        greedy = write_greedily(model, vocabulary, states, prompts, [12, 3, 0])
        beam = write_by_beam(model, vocabulary, states, prompts, [12, 3, 0], 1)
    assert [one.tokens for one in greedy] == [one.tokens for one in beam]
    assert [len(one.tokens) for one in greedy][1:] == [3, 0]


@pytest.mark.skipif(not (REAL.is_dir() and SPEECH.is_dir()), reason="needs ../shared/models and ../shared/speech")
def test_texts_of_a_real_model_are_those_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.WhisperForConditionalGeneration.from_pretrained(REAL, dtype=torch.float32).eval()
    files = sorted(SPEECH.glob("*.opus"))[:1]
    inputs = WhisperMel(least_seconds=30)
    heard = torch.stack(
        [inputs.compute(torch.from_numpy(read_audio(Utterance("", str(f), 1.0, "", "", "fr")))) for f in files]
    )
    for beam in (1, 3):
        found = _written(REAL, heard, "fr", beam)
        assert [one.tokens for one in found] == _generated(theirs, heard, "fr", beam, 50257)
        assert all(one.ended for one in found)


@pytest.mark.skipif(not (REAL.is_dir() and SPEECH.is_dir()), reason="needs ../shared/models and ../shared/speech")
def test_texts_behind_a_prompt_are_those_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.WhisperForConditionalGeneration.from_pretrained(REAL, dtype=torch.float32).eval()
    tokenizer = transformers.WhisperTokenizer.from_pretrained(REAL)
    file = sorted(SPEECH.glob("*.opus"))[0]
    audio = torch.from_numpy(read_audio(Utterance("", str(file), 1.0, "", "", "fr")))
    heard = WhisperMel(least_seconds=30).compute(audio)[None]
    words = "VOITURE, CHEMIN DE FER"
    model, tokens, vocabulary = _opened(REAL)
    written = []
    for before in ([], tokens.previous(words, model.most_tokens // 2)):
        with torch.no_grad():
            states, _ = model(heard, torch.tensor([heard.shape[1]]))
            written += write_greedily(model, vocabulary, states, [[*before, *tokens.prompt("fr")]], [MOST])
    made = theirs.generate(
        input_features=heard.transpose(1, 2), language="fr", task="transcribe", num_beams=1,
        prompt_ids=torch.tensor(tokenizer.get_prompt_ids(words)), max_new_tokens=MOST + 1,
    )[0].tolist()  # fmt: skip
    spoken = made[made.index(tokens.prompt("fr")[-1]) + 1 :] if tokens.prompt("fr")[-1] in made else made
    plain, prompted = (one.tokens for one in written)
    assert prompted == tuple(token for token in spoken if token < tokens.end)[:MOST]
    assert plain != prompted  # else the prompt would not have been heard


@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared/models")
def test_prompts_are_spelled_as_by_transformers_and_cut_at_their_beginning() -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.WhisperTokenizer.from_pretrained(REAL)
    tokens = BytePairTokens((REAL / "tokenizer.json").read_bytes())
    long = "Tibbets, O'Brien, " * 100
    for text, kept in (("Tibbets, O'Brien", 223), (long.strip(), 223)):
        start, *spelled = theirs.get_prompt_ids(text).tolist()
        assert tokens.previous(text, 224) == [start, *spelled[-kept:]]
    with pytest.raises(DataError, match="takes no prompt"):
        BytePairTokens(tiny_tokenizer().encode()).previous("a", 10)
