"""Finds which speech a model can be trained on, whichever loss it is trained by."""

from __future__ import annotations

from asr_transfer.data.manifest import Report
from asr_transfer.data.speech import Spoken
from asr_transfer.models.contract import SequenceModel, SpeechModel


def learnable(spoken: Spoken, model: SpeechModel) -> tuple[Spoken, Report]:
    """Return what a model can learn from, at every speed; the rest is remarked upon.

    By CTC that is what it can spell in the frames that it leaves (`Spoken.feasible`); of a model of sequence to
    sequence, recordings within its window with texts that it can write.

    Args:
        spoken: Speech with targets.
        model: Model that is to be trained.
    """
    if not isinstance(model, SequenceModel):
        return spoken.feasible(model.frames)
    report, kept = Report(), []
    for number, utterance in enumerate(spoken.utterances):
        longest = utterance.duration / min(spoken.speeds)
        tokens = len(spoken.target(number))
        if longest > model.window:
            report.drop(
                utterance.id,
                f"it lasts {longest:.1f} s, but the model hears {model.window:g} s at once; cut it, with a text for "
                "each part",
            )
        elif tokens > model.most_tokens:
            report.drop(utterance.id, f"its text has {tokens} tokens, but the model writes {model.most_tokens}; cut it")
        else:
            kept.append(number)
    report.kept = len(kept)
    report.remark()
    return spoken.subset(kept), report
