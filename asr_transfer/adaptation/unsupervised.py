"""Adapts without transcripts: a recogniser's own hypotheses serve as transcripts, where it is sure of them.

What is kept is then adapted to like transcribed speech (pseudo-labels; Lee 2013, for speech Kahn et al. 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch.nn import functional

from asr_transfer.adaptation.settings import MethodSettings
from asr_transfer.data.manifest import Report, Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import spells_phones
from asr_transfer.decoding.decoders import Heard
from asr_transfer.decoding.recogniser import Frames, Recogniser
from asr_transfer.decoding.settings import SutaConfig
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.models.contract import paths_with_tensors


@dataclass(frozen=True)
class Guess:
    """What a recogniser makes of an utterance without a transcript.

    Attributes:
        heard: the hypothesis; its text may be empty.
        confidence: p(text | x)^(1/labels) by CTC, from 0 to 1; 0 for an empty text.
    """

    heard: Heard
    confidence: float


def guess(source: Recogniser, spoken: Spoken) -> list[Guess]:
    """Recognise each utterance and say how sure the recogniser is, in their order.

    The confidence is the geometric mean per label of the probability that CTC gives to the whole text. It sums over all
    alignments, so that a label is not doubted because its frame is uncertain, and it sees a label that was nearly
    emitted in a frame where the blank won, which the posteriors along the best path do not. As a mean it does
    not fall with the length of the text: texts of any length share one threshold.
    """

    def sure(frames: Frames) -> list[Guess]:
        found = source.decode(frames.logits, frames.lengths)
        labels = [torch.tensor(heard.labels, dtype=torch.long) for heard in found]
        counts = torch.tensor([len(label) for label in labels], device=frames.logits.device)
        losses = functional.ctc_loss(
            frames.logits.log_softmax(-1).transpose(0, 1),
            torch.nn.utils.rnn.pad_sequence(labels, batch_first=True).to(frames.logits.device),
            frames.lengths,
            counts,
            reduction="none",
        )
        # Round-off can take a loss just below 0.
        confidences = (-losses / counts.clamp(min=1)).exp().clamp(max=1).tolist()
        return [Guess(heard, p if heard.text else 0.0) for heard, p in zip(found, confidences, strict=True)]

    return [found for (found,) in source.listen_with(sure, spoken, whole=True, adapted=True)]


def labeller(source: Recogniser, settings: MethodSettings, suta: SutaConfig) -> Recogniser:
    """Return the recogniser that makes texts for `pseudo-label`: the source, adapted to each recording where asked for.

    A model without a front end that has weights cannot be adapted at test time and labels as it is.
    """
    front = paths_with_tensors(source.model, [block.path for block in source.model.front_end()])
    return replace(source, test_time=suta) if settings.labels == "suta" and front else source


def pseudo_label(source: Recogniser, spoken: Spoken, confidence: float) -> tuple[Spoken, Report]:
    """Replace the texts of speech by what `source` recognises, and keep what it is sure of; the rest is remarked upon.

    The given texts have no influence and may be empty.

    Args:
        source: the recogniser, which is left as it is.
        spoken: unlabelled speech.
        confidence: least confidence (see `guess`) of an utterance that is kept; from 0 to 1. Empty hypotheses are
            always left out.

    Returns:
        The kept utterances with their hypotheses as texts, in the given order, and a report of those left out with
        their confidence.

    Raises:
        DataError: nothing is kept.
        ConfigError: `confidence` is out of range.
    """
    if not 0 <= confidence <= 1:
        raise ConfigError(f"`settings.confidence` must be from 0 to 1, got {confidence}.")
    if not spoken:
        raise DataError("there are no utterances to label; check the manifest and the speakers asked for.")
    guesses = guess(source, spoken)
    kept, report = surest(source, spoken, guesses, confidence)
    report.remark()
    if not kept:
        best = max(guessed.confidence for guessed in guesses)
        if not best > 0:
            raise DataError(
                f"the model recognises nothing in any of the {len(spoken)} utterances, so there are no labels to "
                "adapt to; transcribe some of them or start from another model."
            )
        raise DataError(
            f"the model is nowhere as sure as {confidence:g}: the highest confidence among {len(spoken)} "
            f"utterances is {best:.3f}; lower `--settings.confidence` or transcribe some of them."
        )
    return kept, report


def surest(source: Recogniser, spoken: Spoken, guesses: Sequence[Guess], confidence: float) -> tuple[Spoken, Report]:
    """Return the utterances whose guess is sure enough, with that as text, and a report of the others.

    Args:
        source: recogniser that made the guesses.
        spoken: speech that they were made of.
        guesses: guess of each utterance.
        confidence: least confidence of an utterance that is kept; empty guesses are always left out.
    """
    report, kept = Report(), []
    for utterance, guessed in zip(spoken.utterances, guesses, strict=True):
        if not guessed.heard.text:
            report.drop(utterance.id, "the model recognises nothing in it")
        elif guessed.confidence < confidence:
            sure = f"its confidence is {guessed.confidence:.3f}, below {confidence:g}"
            report.drop(utterance.id, f"{sure} ('{guessed.heard.text}')")
        else:
            kept.append(_labelled(utterance, guessed.heard, source))
    report.kept = len(kept)
    return Spoken(kept, spoken.store), report


def _labelled(utterance: Utterance, heard: Heard, source: Recogniser) -> Utterance:
    if not spells_phones(source.tokens.units):
        return replace(utterance, text=heard.text)
    phones = " ".join(source.tokens.symbols[label] for label in heard.labels)
    return replace(utterance, text=utterance.text if source.lexicon is None else heard.text, pronunciation=phones)
