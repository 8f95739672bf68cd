"""Makes texts of what a model of sequence to sequence hears: languages, greedy or beam search, and runaways cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from asr_transfer.data.byte_pairs import BytePairTokens
from asr_transfer.decoding.runaway import compression, limit, repetition, without_repetition
from asr_transfer.decoding.sequence import Spelled, Vocabulary, write_greedily
from asr_transfer.decoding.sequence_beam import write_by_beam
from asr_transfer.decoding.settings import WritingConfig
from asr_transfer.decoding.token_bias import TokenBias
from asr_transfer.models.contract import SequenceModel

TOGETHER = 8
"""Utterances that are written side by side: more are not faster on a processor, and take more memory."""


@dataclass(frozen=True)
class Written:
    """What a model writes of an utterance.

    Attributes:
        text: Text.
        tokens: Its tokens.
        language: Model's own code of the language that it was asked for or heard; empty for a model of one.
        ran_away: Whether the decoder ran away, so that the text was searched again or cut.
        silent: Whether a text was dropped for there is likely no speech.
    """

    text: str
    tokens: tuple[int, ...]
    language: str
    ran_away: bool = False
    silent: bool = False


class Writer:
    """A model with its tokens and settings, made to write.

    Args:
        model: Model that writes.
        head: Name of its head.
        tokens: Tokens of the head.
        config: Settings.
        bias: Bonus of hot words; None for none.
        before: Text that the prompt shall say was said before; empty for none.

    Raises:
        DataError: The model takes no such prompt.
    """

    def __init__(
        self,
        model: SequenceModel,
        head: str,
        tokens: BytePairTokens,
        config: WritingConfig,
        bias: TokenBias | None = None,
        before: str = "",
    ) -> None:
        self.model, self.tokens, self.config, self.bias = model, tokens, config, bias
        # Half of what can be written is left for the text, as Transformers leaves it.
        self.before = tokens.previous(before, model.most_tokens // 2) if before else []
        self.vocabulary = Vocabulary(model.head(head), tokens.end, tokens.never, tokens.never_first)

    @torch.no_grad()
    def write(
        self, inputs: torch.Tensor, lengths: torch.Tensor, seconds: Sequence[float], languages: Sequence[str | None]
    ) -> list[Written]:
        """Write what is heard in a batch.

        Args:
            inputs: Inputs of the model, (batch, time, dim).
            lengths: Their lengths, (batch,).
            seconds: Duration of each utterance without the silence behind it.
            languages: Model's own code of each one's language; None for what the model hears.
        """
        found: list[Written] = []
        device = next(self.model.parameters()).device
        for first in range(0, len(inputs), TOGETHER):
            part = slice(first, first + TOGETHER)
            states, _ = self.model(inputs[part].to(device), lengths[part].to(device))
            found += self._write(states, seconds[part], languages[part])
        return found

    @torch.no_grad()
    def languages_of(self, states: torch.Tensor) -> list[str]:
        """Return the likeliest language of each of (batch, frames, dim) states, by the model's own tokens."""
        return [max(own, key=lambda code: own[code]) for own in self.language_scores(states)]

    @torch.no_grad()
    def language_scores(self, states: torch.Tensor) -> list[dict[str, float]]:
        """Return the log-probability of each language among all of them, for each of (batch, frames, dim) states."""
        codes = list(self.tokens.languages)
        start = torch.full((len(states), 1), self.tokens.start, device=states.device)
        logits = self.vocabulary.head(self.model.follow(start, self.model.begin(states))[:, 0]).float()
        scores = logits[:, [self.tokens.languages[code] for code in codes]].log_softmax(-1)
        return [dict(zip(codes, row, strict=True)) for row in scores.tolist()]

    def _write(self, states: torch.Tensor, seconds: Sequence[float], languages: Sequence[str | None]) -> list[Written]:
        config, tokens = self.config, self.tokens
        own = [language or "" for language in languages] if tokens.languages else [""] * len(states)
        if tokens.languages and (unknown := [place for place, code in enumerate(own) if not code]):
            for place, code in zip(unknown, self.languages_of(states[unknown]), strict=True):
                own[place] = code
        prompts = [[*self.before, *tokens.prompt(code or None)] for code in own]
        longest = self.model.most_tokens - len(prompts[0]) - 1
        limits = [min(longest, limit(each, config)) if config.guard else longest for each in seconds]
        spelled = self._search(states, prompts, limits, config.beam)
        texts = [tokens.decode(each.tokens) for each in spelled]
        found = [Written(*each) for each in zip(texts, (each.tokens for each in spelled), own, strict=True)]
        if not config.guard:
            return found
        away = [place for place, each in enumerate(spelled) if self._ran_away(each)]
        if away:
            again = self._again(states[away], [prompts[place] for place in away], [limits[place] for place in away])
            for place, second in zip(away, again, strict=True):
                spelled[place] = self._mended(spelled[place], second)
                kept = spelled[place].tokens
                found[place] = Written(tokens.decode(kept), kept, own[place], ran_away=True)
        for place in self._silent(states, spelled):
            found[place] = replace(found[place], text="", tokens=(), silent=True)
        return found

    def _search(
        self, states: torch.Tensor, prompts: Sequence[Sequence[int]], limits: Sequence[int], beam: int
    ) -> list[Spelled]:
        stop = self._loops if self.config.guard else None
        if beam > 1:
            return write_by_beam(self.model, self.vocabulary, states, prompts, limits, beam, stop, self.bias)
        return write_greedily(self.model, self.vocabulary, states, prompts, limits, stop, self.bias)

    def _again(
        self, states: torch.Tensor, prompts: Sequence[Sequence[int]], limits: Sequence[int]
    ) -> list[Spelled | None]:
        """Search by another beam than before; None where that is not wanted."""
        if self.config.fallback_beam == self.config.beam or self.config.fallback_beam == 1:
            return [None] * len(prompts)
        return list(self._search(states, prompts, limits, self.config.fallback_beam))

    def _mended(self, first: Spelled, second: Spelled | None) -> Spelled:
        """Return what was found the second time where that is sound, else the first without its loop."""
        if second is not None and not self._ran_away(second):
            return second
        length = repetition(first.tokens, self.config.repeats, self.config.repeated_tokens)
        return replace(first, tokens=tuple(without_repetition(first.tokens, length))) if length else first

    def _loops(self, tokens: Sequence[int]) -> bool:
        return repetition(tokens, self.config.repeats, self.config.repeated_tokens) > 0

    def _ran_away(self, spelled: Spelled) -> bool:
        return not spelled.ended or compression(self.tokens.decode(spelled.tokens)) > self.config.compression

    def _silent(self, states: torch.Tensor, spelled: Sequence[Spelled]) -> list[int]:
        """Return which utterances have likely no speech: the model says so, and is unsure of the text besides."""
        unsure = [place for place, each in enumerate(spelled) if each.mean < self.config.least_likely]
        if self.tokens.no_speech is None or not unsure:
            return []
        start = torch.full((len(unsure), 1), self.tokens.start, device=states.device)
        hidden = self.model.follow(start, self.model.begin(states[unsure]))[:, 0]
        chances = self.vocabulary.head(hidden).float().softmax(-1)[:, self.tokens.no_speech].tolist()
        return [place for place, chance in zip(unsure, chances, strict=True) if chance > self.config.no_speech]
