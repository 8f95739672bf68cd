"""Makes a trained recogniser ready for a language's head: a new one, or its own one, grown by new symbols."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError
from asr_transfer.language_codes import is_code
from asr_transfer.languages.config import LanguageConfig
from asr_transfer.languages.ways import Way
from asr_transfer.models.attributes import PhoneModel
from asr_transfer.models.contract import SpeechModel
from asr_transfer.models.kinds import build, describe
from asr_transfer.training.phone_models import add_language

NEW_ROWS = 0.01
"""Deviation of new symbols' weights relative to that of the known ones: hardly ever emitted before training."""


SHOWN = 12
"""New symbols that are named."""


@dataclass(frozen=True)
class Beginning:
    """What a language's training begins with.

    Attributes:
        source: Recogniser that something is taken from; None where nothing is.
        tokens: Token sets of all heads, the new language's among them.
        goes_on: Whether the source has the language's head, which training goes on from.
    """

    source: Recogniser | None
    tokens: Mapping[str, Tokens]
    goes_on: bool


def begin(way: Way, source: Recogniser | None, language: str, train: Spoken, config: LanguageConfig) -> Beginning:
    """Return what a way takes from the source, with the tokens of the language's head.

    Raises:
        DataError: An utterance lacks what the units spell.
        ConfigError: The head that is gone on from spells other units, or lacks characters.
    """
    tokens = Tokens.from_texts((u.spelled(config.units) for u in train.utterances), config.units, config.pieces)
    if source is None or not way.needs_source:
        return Beginning(None, {language: tokens}, False)
    known = source.tokens_by_head
    if way.start != "layers":
        return Beginning(source, {**known, language: tokens}, False)
    keep = config.keep_head and language in known
    if isinstance(source.model, PhoneModel):
        if keep:
            tokens = Tokens(list(dict.fromkeys(known[language].symbols[1:] + tokens.symbols[1:])), config.units)
        return Beginning(add_language(source, language, tokens), {**known, language: tokens}, True)
    if keep:
        source = extend_head(source, language, tokens).for_head(language)
        tokens = source.tokens
    return Beginning(source, {**known, language: tokens}, keep)


def told_rows(head: str, old: Mapping[str, Tokens], new: Tokens) -> str:
    """Say which symbols of a head are known and which are new, and what becomes of their rows; empty for no head.

    Args:
        head: Head that is trained.
        old: Tokens of the heads that the model has.
        new: Tokens that the texts to learn need.
    """
    if head in old:
        known = set(old[head].symbols)
        more = [symbol for symbol in new.symbols[1:] if symbol not in known]
        named = f": {' '.join(more[:SHOWN])}{' …' * (len(more) > SHOWN)}" if more else ""
        rows = len(old[head])
        return f"vocabulary: the head '{head}' has {rows} rows, all of which are kept; {len(more)} are added{named}"
    if not old:
        return ""
    heads = ", ".join(f"'{name}' ({len(tokens)})" for name, tokens in old.items())
    return (
        f"vocabulary: '{head}' is a new head of {len(new)} rows, none of which is taken from an old one; the rows of "
        f"{heads} are kept beside it"
    )


def extend_head(recogniser: Recogniser, head: str, new_tokens: Tokens) -> Recogniser:
    """Return a copy of `recogniser` whose head also emits the symbols of `new_tokens` that it does not know yet.

    The rows of known symbols keep their places and their values bit for bit; new symbols follow, with small random
    weights and no bias. Subwords stay the pieces that they are, which must spell the new texts.

    Raises:
        ModelError: there is no such head.
        ConfigError: the units differ, or the head's subwords lack a character of the new ones.
    """
    recogniser.model.head(head)
    every = dict(recogniser.tokens_by_head)
    old = every[head]
    if old.units != new_tokens.units:
        raise ConfigError(
            f"the head '{head}' emits {old.units} but {new_tokens.units} are asked for; take the same units or a new "
            "head."
        )
    if old.model is not None and new_tokens.model is not None:
        if lacking := sorted(new_tokens.model.characters - old.model.characters):
            raise ConfigError(
                f"the head '{head}' emits subwords, to which no character can be added, and lacks {lacking[0]!r}; take "
                "a new head (`language.keep_head` false)."
            )
        return recogniser
    more = [symbol for symbol in new_tokens.symbols[1:] if symbol not in set(old.symbols)]
    every[head] = Tokens([*old.symbols[1:], *more], old.units)
    model = fresh(recogniser.model, {name: len(every[name]) for name in recogniser.model.heads})
    state = recogniser.model.state_dict()
    generator = torch.Generator().manual_seed(0)
    for kind in ("weight", "bias"):
        rows = state[f"heads.{head}.{kind}"]
        added = torch.zeros(len(more), *rows.shape[1:], dtype=rows.dtype)
        if kind == "weight":
            spread = NEW_ROWS * float(rows.std())
            added = spread * torch.randn(added.shape, generator=generator, dtype=rows.dtype)
        state[f"heads.{head}.{kind}"] = torch.cat([rows, added.to(rows.device)])
    model.load_state_dict(state)
    others = {name: tokens for name, tokens in every.items() if name != recogniser.head}
    return replace(recogniser, model=model.eval(), tokens=every[recogniser.head], others=others, offsets={})


def renamed(recogniser: Recogniser, head: str, language: str) -> Recogniser:
    """Return a copy of `recogniser` whose head `head`, which does not say its language, is that of `language`.

    All weights keep their values bit for bit.

    Raises:
        ModelError: There is no such head.
        ConfigError: The head is named by a language, or there is a head of that language already.
    """
    recogniser.model.head(head)
    every = dict(recogniser.tokens_by_head)
    if is_code(head):
        raise ConfigError(
            f"`head` is '{head}', which is the language of that head; name one that does not say its language, or "
            "leave --head out."
        )
    if language in every:
        raise ConfigError(f"the model has a head '{language}' already, which grows; leave --head out.")
    names = {name: language if name == head else name for name in every}
    model = fresh(recogniser.model, {names[name]: len(every[name]) for name in recogniser.model.heads})
    old, new = f"heads.{head}.", f"heads.{language}."
    state = recogniser.model.state_dict()
    model.load_state_dict({new + n.removeprefix(old) if n.startswith(old) else n: t for n, t in state.items()})
    return replace(
        recogniser,
        model=model.eval(),
        head=names[recogniser.head],
        others={names[name]: tokens for name, tokens in recogniser.others.items()},
        other_lexica={names[name]: lexicon for name, lexicon in recogniser.other_lexica.items()},
        offsets={},
    )


def fresh(model: SpeechModel, heads: Mapping[str, int] | None = None) -> SpeechModel:
    """Return a new model of the same network and adapters with random weights; `heads` None takes the same heads."""
    plain = describe(model)
    if heads is not None:
        plain["heads"] = dict(heads)
    like = next(model.parameters())
    return build(plain, "the model").to(like.device, like.dtype)
