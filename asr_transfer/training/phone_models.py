"""Makes models of shared phones for the languages that are trained, and gives them languages that nobody has
trained.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
import yaml

from asr_transfer import textfiles
from asr_transfer.config import ModelConfig, Outputs, Units
from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.phones import Respeller, feature_table, map_lexicon, signatures
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, DataError, nearest_hint
from asr_transfer.models.attributes import AllophoneTable, Inventory, PhoneModel
from asr_transfer.models.kinds import build, describe

UNITS: Units = "phones"


def make_phone_model(
    config: ModelConfig,
    tokens: Mapping[str, Tokens],
    outputs: Outputs,
    allophones: Mapping[str, AllophoneTable] | None = None,
) -> PhoneModel:
    """Return a model with initial weights whose phones are all that some language has.

    With `attributes`, phones of equal features are one phone, called as most languages call it; a language must not
    have two of them.

    Args:
        config: network.
        tokens: phones of each language.
        outputs: `phones` or `attributes`.
        allophones: allophones of phonemes, by language; a phoneme that it lacks is a phone of its own.

    Raises:
        ConfigError: a table names a language or phoneme that there is not, a phone has no features, or two phonemes of
            a language are the same phones.
    """
    tables: dict[str, dict[str, list[str]]] = {}
    for language, own in (allophones or {}).items():
        if language not in tokens:
            raise ConfigError(
                f"the allophones name the language '{language}', which is not trained.{nearest_hint(language, tokens)}"
            )
        for phoneme in own:
            if phoneme not in tokens[language].symbols[1:]:
                raise ConfigError(
                    f"the allophones of '{language}' name the phoneme '{phoneme}', which its pronunciations lack."
                    f"{nearest_hint(phoneme, tokens[language].symbols[1:])}"
                )
    for language, listed in tokens.items():
        given = (allophones or {}).get(language, {})
        tables[language] = {phone: list(given.get(phone, [phone])) for phone in listed.symbols[1:]}
    uses = [phone for table in tables.values() for phone in dict.fromkeys(p for row in table.values() for p in row)]
    phones = sorted(set(uses), key=lambda phone: (-uses.count(phone), phone))
    inventory, stands = _inventory(phones, outputs == "attributes")
    heads = {language: _renamed(table, stands, language) for language, table in tables.items()}
    return PhoneModel(config, inventory, heads)


def read_allophones(path: Path | None) -> dict[str, dict[str, list[str]]]:
    """Read a YAML file such as `{de: {r: [ʁ, ɐ, r]}}`: by language the allophones of phonemes; None for no file.

    Raises:
        DataError: the file is missing or not UTF-8.
        ConfigError: it is of another form.
    """
    if path is None:
        return {}
    form = "by language and phoneme a list of phones, such as {de: {r: [ʁ, r]}}"
    try:
        plain = yaml.safe_load(textfiles.read_text(path, f"write {form}"))
    except (ValueError, yaml.YAMLError):
        raise ConfigError(f"{path}: cannot be read as YAML; write {form}.") from None
    fine = isinstance(plain, dict) and all(
        isinstance(table, dict)
        and all(isinstance(row, list) and row and all(isinstance(p, str) for p in row) for row in table.values())
        for table in plain.values()
    )
    if not fine:
        raise ConfigError(f"{path}: holds no allophones; write {form}.")
    return {str(name): {str(phoneme): row for phoneme, row in table.items()} for name, table in plain.items()}


def add_language(recogniser: Recogniser, language: str, tokens: Tokens) -> Recogniser:
    """Return a copy that also has a head for `language` and listens through it; a head of that name is replaced, but
    for the allophones of the phonemes that it has.

    Phones that the model has not are scored from their attributes, or begin as the phone of nearest articulation. They
    need training to be told from it; see `for_lexicon` for what needs none.

    Args:
        recogniser: recogniser of a `PhoneModel`.
        language: name of the head.
        tokens: its phones, in IPA where the model lacks some.

    Raises:
        ConfigError: the model is of another kind, a phone is no IPA, or two are the same to it.
        ModelError: an impossible name.
    """
    if tokens.units not in ("phones", "toneless-phones"):
        raise ConfigError(f"the model emits phones, not {tokens.units}; ask for the units phones.")
    before = _phone_model(recogniser)
    known = before.table(language) if language in before.heads else {}
    model, stands = _extended(before, [phone for phone in tokens.symbols[1:] if phone not in known])
    table = {phone: known.get(phone, [phone]) for phone in tokens.symbols[1:]}
    model.add_head(language, _renamed(table, stands, language))
    every = recogniser.tokens_by_head
    every.pop(language, None)
    lexica = {name: lexicon for name, lexicon in recogniser.lexica.items() if name != language}
    # Offsets between languages are of all heads or none.
    model.eval()
    return replace(
        recogniser,
        model=model,
        tokens=tokens,
        head=language,
        others=every,
        lexicon=None,
        decoder=None,
        offsets={},
        other_lexica=lexica,
        other_decoders={},
    )


def for_lexicon(recogniser: Recogniser, language: str, lexicon: Lexicon) -> tuple[Recogniser, int]:
    """Return a recogniser of the words of a language that the model was never trained on (Li et al. 2020).

    Its head has the lexicon's phones. One that the model lacks is scored from its attributes; where phones have weights
    of their own, the nearest one in articulation stands for it in the lexicon, so that some words may become the same.

    Args:
        recogniser: recogniser of a `PhoneModel`.
        language: name of the head; one of that name is replaced.
        lexicon: words in IPA.

    Returns:
        The recogniser, which takes each utterance for a word, and how many pronunciations were rewritten.

    Raises:
        ConfigError: the model is of another kind, or panphon is not installed.
        DataError: a phone is no IPA.
    """
    model = _phone_model(recogniser)
    stands: Mapping[str, str] = {}
    if model.inventory.features:
        model, stands = _extended(model, list(dict.fromkeys(phone for entry in lexicon for phone in entry.phones)))
    same = Lexicon(
        {
            (entry.word, spelt): replace(entry, phones=spelt)
            for entry in reversed(list(lexicon))
            for spelt in [tuple(stands.get(phone, phone) for phone in entry.phones)]
        }.values(),
        lexicon.source,
    )
    mapped, _ = map_lexicon(same, model.inventory.phones, "ipa")
    tokens = Tokens(sorted({phone for entry in mapped for phone in entry.phones}), UNITS)
    made = add_language(replace(recogniser, model=model), language, tokens)
    before = {(entry.word, entry.phones) for entry in lexicon}
    changed = sum((entry.word, entry.phones) not in before for entry in mapped)
    return replace(made, lexicon=mapped), changed


def _phone_model(recogniser: Recogniser) -> PhoneModel:
    if not isinstance(recogniser.model, PhoneModel):
        raise ConfigError(
            "the model has an output layer per language, so that a new one needs training; train a model with "
            "`outputs` phones or attributes."
        )
    return recogniser.model


def _extended(model: PhoneModel, phones: Sequence[str]) -> tuple[PhoneModel, Mapping[str, str]]:
    """Return a model that scores more phones, and which of its phones each of `phones` is.

    A phone whose weights are its own begins with those of the nearest one.
    """
    old = model.inventory
    more = [phone for phone in phones if phone not in set(old.phones)]
    inventory, stands = _inventory([*old.phones, *more], bool(old.features))
    state = model.state_dict()
    if more and not old.features:
        try:
            respeller = Respeller(old.phones)
            rows = [1 + old.phones.index(respeller.nearest(phone)[0]) for phone in more]
        except DataError as error:
            raise ConfigError(f"a new phone has no nearest one: {error}") from None
        for name in ("phones.weight", "phones.bias"):
            state[name] = torch.cat([state[name], state[name][rows]])
    made = build({**describe(model), "inventory": inventory.plain()}, "the model")
    made.load_state_dict(state)
    assert isinstance(made, PhoneModel)
    like = next(model.parameters())
    return made.to(like.device, like.dtype).train(model.training), stands


def _inventory(phones: Sequence[str], attributes: bool) -> tuple[Inventory, dict[str, str]]:
    """Return an inventory, and of each phone the one that stands for it: with attributes, the first of equal ones."""
    if not attributes:
        return Inventory(tuple(phones)), {}
    try:
        rows = signatures(phones)
    except DataError as error:
        raise ConfigError(
            f"{error} Attributes need pronunciations in IPA; make them with `lexicon pronounce`, or choose `outputs` "
            "phones."
        ) from None
    first: dict[bytes, str] = {}
    stands = {phone: first.setdefault(row.tobytes(), phone) for phone, row in zip(phones, rows, strict=True)}
    kept = [number for number, phone in enumerate(phones) if stands[phone] == phone]
    return Inventory.of([phones[n] for n in kept], feature_table().names, rows[kept]), stands


def _renamed(table: AllophoneTable, stands: Mapping[str, str], language: str) -> dict[str, list[str]]:
    """Return a table in the phones of the inventory; two phonemes that become the same are refused."""
    made = {phoneme: _distinct(stands.get(phone, phone) for phone in row) for phoneme, row in table.items()}
    seen: dict[frozenset[str], str] = {}
    for phoneme, row in made.items():
        if (other := seen.setdefault(frozenset(row), phoneme)) != phoneme:
            raise ConfigError(
                f"the phonemes '{other}' and '{phoneme}' of '{language}' are the same phones to the model "
                f"({', '.join(row)}); write them alike in the pronunciations, or give allophones that differ."
            )
    return made


def _distinct(phones: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(phones))
