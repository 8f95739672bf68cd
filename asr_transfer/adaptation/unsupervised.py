"""Adapts without transcripts: a recogniser's own hypotheses serve as transcripts, where it is sure of them.

What is kept is then adapted to like transcribed speech (pseudo-labels; Lee 2013, for speech Kahn et al. 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch.nn import functional

from asr_transfer.data.batching import sequential
from asr_transfer.data.features import FeatureStore
from asr_transfer.data.manifest import Report, Utterance
from asr_transfer.data.speech import SpeechData
from asr_transfer.data.tokens import spells_phones
from asr_transfer.decoding.decoders import Heard
from asr_transfer.decoding.recogniser import BATCH_FRAMES, Recogniser
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.training.forward import run
from asr_transfer.training.session import speech_task


@dataclass(frozen=True)
class Guess:
    """What a recogniser makes of an utterance without a transcript.

    Attributes:
        heard: the hypothesis; its text may be empty.
        confidence: p(text | x)^(1/labels) by CTC, from 0 to 1; 0 for an empty text.
    """

    heard: Heard
    confidence: float


@torch.no_grad()
def guess(source: Recogniser, data: SpeechData) -> list[Guess]:
    """Recognise each item of `data` and say how sure the recogniser is, in the data's order.

    The confidence is the geometric mean per label of the probability that CTC gives to the whole text. It sums over all
    alignments, so that a label is not doubted because its frame is uncertain, and it sees a label that was nearly
    emitted in a frame where the blank won, which the posteriors along the best path do not. As a mean it does
    not fall with the length of the text: texts of any length share one threshold.
    """
    source.model.eval()
    device = next(source.model.parameters()).device
    task = speech_task("unlabelled", data, source.head)
    guesses = [Guess(Heard("", ()), 0.0)] * len(data)
    for batch in sequential(data, BATCH_FRAMES):
        output = run(source.model, task, batch.to(device))
        assert output.lengths is not None
        found = source.decode(output.require_logits(), output.lengths)
        labels = [torch.tensor(heard.labels, dtype=torch.long) for heard in found]
        counts = torch.tensor([len(label) for label in labels], device=device)
        losses = functional.ctc_loss(
            output.require_logits().log_softmax(-1).transpose(0, 1),
            torch.nn.utils.rnn.pad_sequence(labels, batch_first=True).to(device),
            output.lengths,
            counts,
            reduction="none",
        )
        # Round-off can take a loss just below 0.
        confidences = (-losses / counts.clamp(min=1)).exp().clamp(max=1)
        for item, heard, confidence in zip(batch.items.tolist(), found, confidences.tolist(), strict=True):
            guesses[item] = Guess(heard, confidence if heard.text else 0.0)
    return guesses


def pseudo_label(
    source: Recogniser, utterances: Sequence[Utterance], store: FeatureStore, confidence: float
) -> tuple[list[Utterance], Report]:
    """Replace the texts of `utterances` by what `source` recognises, and keep those that it is sure of.

    The given texts have no influence and may be empty.

    Args:
        source: the recogniser, which is left as it is.
        utterances: unlabelled speech.
        store: their features.
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
    guesses = guess(source, SpeechData(utterances, store, source.tokens, with_targets=False))
    report, kept = Report(), []
    for utterance, guessed in zip(utterances, guesses, strict=True):
        if not guessed.heard.text:
            report.drop(utterance.id, "the model recognises nothing in it")
        elif guessed.confidence < confidence:
            sure = f"its confidence is {guessed.confidence:.3f}, below {confidence:g}"
            report.drop(utterance.id, f"{sure} ('{guessed.heard.text}')")
        else:
            kept.append(_labelled(utterance, guessed.heard, source))
    report.kept = len(kept)
    if not kept:
        best = max(guessed.confidence for guessed in guesses)
        if not best > 0:
            raise DataError(
                f"the model recognises nothing in any of the {len(utterances)} utterances, so there are no labels to "
                "adapt to; transcribe some of them or start from another model."
            )
        raise DataError(
            f"the model is nowhere as sure as {confidence:g}: the highest confidence among {len(utterances)} "
            f"utterances is {best:.3f}; lower `--settings.confidence` or transcribe some of them."
        )
    return kept, report


def _labelled(utterance: Utterance, heard: Heard, source: Recogniser) -> Utterance:
    if not spells_phones(source.tokens.units):
        return replace(utterance, text=heard.text)
    phones = " ".join(source.tokens.symbols[label] for label in heard.labels)
    return replace(utterance, text=utterance.text if source.lexicon is None else heard.text, pronunciation=phones)
