"""Compares a Whisper in another program's hands with the model itself, on sounds that are made for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from asr_transfer.decoding.sequence import Vocabulary, write_greedily
from asr_transfer.deployment.sounds import sounds
from asr_transfer.deployment.source import Source
from asr_transfer.deployment.target import Report
from asr_transfer.deployment.whisper_files import whisper_of
from asr_transfer.errors import ModelError

MOST = 24
"""Tokens that are written of each sound; models may babble about sounds that are no speech."""


@dataclass(frozen=True)
class Heard:
    """What the model itself makes of a sound.

    Attributes:
        sound: Samples, (samples,) within ±1.
        features: Its inputs, (time, mels).
        prompt: Tokens that the text follows.
        text: Tokens of the text without the end.
        logits: Logits of each of them, (tokens of the text + 1, tokens): of the text's, and of the one after it.
    """

    sound: torch.Tensor
    features: torch.Tensor
    prompt: tuple[int, ...]
    text: tuple[int, ...]
    logits: torch.Tensor


def language_of(source: Source) -> str | None:
    """Return the model's own code of the language that an export listens in; None of a model of one language.

    Where none was asked for, it is English, or the model's first.
    """
    _, tokens = whisper_of(source)
    if not tokens.languages:
        return None
    asked = source.recogniser.language
    first = "en" if "en" in tokens.languages else next(iter(tokens.languages))
    return tokens.require_language(asked, "--language") if asked else first


@torch.no_grad()
def heard(source: Source) -> list[Heard]:
    """Return what the model makes of each of the `sounds`, the likeliest token each time and nothing cut."""
    model, tokens = whisper_of(source)
    prompt = tokens.prompt(language_of(source))
    words = Vocabulary(model.head(source.recogniser.head), tokens.end, tokens.never, tokens.never_first)
    most = min(MOST, model.most_tokens - len(prompt) - 1)
    found = []
    for sound in sounds(model.window):
        features = model.inputs.compute(sound)
        states, _ = model(features[None], torch.tensor([len(features)]))
        text = write_greedily(model, words, states, [prompt], [most])[0].tokens
        hidden = model.follow(torch.tensor([[*prompt, *text]]), model.begin(states))
        found.append(Heard(sound, features, tuple(prompt), text, words.head(hidden[0, len(prompt) - 1 :])))
    return found


def compared(
    ours: Sequence[Heard],
    logits: Callable[[Heard], torch.Tensor] | None,
    text: Callable[[Heard], Sequence[int]],
    runtime: str,
    tolerance: float,
    least: int,
) -> Report:
    """Compare logits and texts.

    Args:
        ours: results of the model for the sounds.
        logits: function to the other program's logits, of the shape of `Heard.logits` or of its first rows; None where
            the program tells none.
        text: function to the tokens that it writes, at most `MOST`.
        runtime: program, for messages.
        tolerance: greatest difference of two logits, as a share of the greatest of the model's.
        least: number of texts that must be equal; rounded weights may write others where the model is unsure.

    Raises:
        ModelError: they differ more.
    """
    worst = 0.0
    for one in ours if logits is not None else ():
        assert logits is not None
        theirs = logits(one).float().cpu()
        mine = one.logits[: len(theirs)]
        kept = torch.isfinite(theirs) & (theirs > -1e4)
        worst = max(worst, float(((theirs - mine).abs() * kept).nan_to_num().max() / mine.abs().max()))
    equal = [tuple(text(one)) == one.text for one in ours]
    check: dict[str, float] = {"sounds": len(ours), "equal texts": sum(equal)}
    lines = [f"{sum(equal)} of {len(ours)} generated sounds gave the same text in {runtime} as in the model itself"]
    if logits is not None:
        check["greatest difference of a logit"] = float(f"{worst:.2g}")
        lines.append(f"no logit differs by more than {worst:.1g} of the greatest")
    if not worst <= tolerance or sum(equal) < least:
        raise ModelError(
            f"what was written for {runtime} recognises otherwise than the model: {'; '.join(lines)}; the installed "
            "version of the library may compute otherwise than those that were tried."
        )
    return Report(check, lines)
