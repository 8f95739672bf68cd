"""Scores phones that several languages share from articulatory attributes, and makes phonemes of them.

A phone's logit is the product of attribute logits (place, manner, voicing …) with the phone's signature, so that a
phone which no training data held is scored too (Li et al. 2020, "Towards Zero-Shot Learning for Automatic Phonemic
Transcription"). A phoneme of a language is heard where one of its allophones is (Li et al. 2020, "Universal Phone
Recognition with a Multilingual Allophone System").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from asr_transfer.config import ModelConfig
from asr_transfer.errors import ConfigError, nearest_hint
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.models.contract import register
from asr_transfer.models.heads import Headed
from asr_transfer.models.shared_private import ReadingHead
from asr_transfer.plain import checked

AllophoneTable = Mapping[str, Sequence[str]]
"""The allophones of each phoneme of a language, in the order of the head's tokens behind the blank."""

_SIGNS = {1: "+", -1: "-", 0: "0"}


@dataclass(frozen=True)
class Inventory:
    """The phones that a model scores.

    Attributes:
        phones: distinct, at least one.
        features: names of the attributes; none where each phone has weights of its own.
        signatures: value of each attribute of each phone: 1, -1, or 0 where it does not apply.

    Raises:
        ConfigError: a phone stands twice, the signatures do not fit, or two phones have the same one, so that no data
            could tell them apart.
    """

    phones: tuple[str, ...]
    features: tuple[str, ...] = ()
    signatures: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        if not self.phones:
            raise ConfigError("an inventory needs at least one phone.")
        if twice := next((phone for n, phone in enumerate(self.phones) if phone in self.phones[:n]), None):
            raise ConfigError(f"the phone '{twice}' stands twice in the inventory; give it once.")
        if not self.features:
            if self.signatures:
                raise ConfigError("the inventory has signatures but no names of their features; give the names.")
            return
        if len(self.signatures) != len(self.phones):
            raise ConfigError(
                f"the inventory has {len(self.phones)} phones but {len(self.signatures)} signatures; give one for each."
            )
        seen: dict[tuple[int, ...], str] = {}
        for phone, signature in zip(self.phones, self.signatures, strict=True):
            if len(signature) != len(self.features) or not set(signature) <= _SIGNS.keys() or not any(signature):
                raise ConfigError(
                    f"the signature of the phone '{phone}' must have a value -1, 0 or 1 for each of the "
                    f"{len(self.features)} features, and not only zeros."
                )
            if (other := seen.setdefault(signature, phone)) != phone:
                raise ConfigError(
                    f"the phones '{other}' and '{phone}' have the same signature, so that nothing could tell them "
                    "apart; leave one of them out or make it an allophone."
                )

    @classmethod
    def of(cls, phones: Sequence[str], features: Sequence[str], signatures: Any) -> Inventory:
        """Make an inventory of an array or nested sequence (phones, features) of -1, 0 and 1."""
        return cls(tuple(phones), tuple(features), tuple(tuple(int(value) for value in row) for row in signatures))

    def plain(self) -> dict[str, Any]:
        """Return what `from_plain` reads, as plain values; a signature is written as in "+-0"."""
        spelt = ["".join(_SIGNS[value] for value in row) for row in self.signatures]
        return {"phones": list(self.phones), "features": list(self.features), "signatures": spelt}

    @classmethod
    def from_plain(cls, plain: Any, where: str) -> Inventory:
        """Read what `plain` returned; `where` is the file, for messages.

        Raises:
            ConfigError: it is damaged, or as of the class.
        """
        parts = checked(Mapping[str, list[str]], plain, where, "inventory")
        if set(parts) != {"phones", "features", "signatures"}:
            raise ConfigError(f"{where}: `inventory` must hold `phones`, `features` and `signatures`.")
        values = {sign: value for value, sign in _SIGNS.items()}
        if not set("".join(parts["signatures"])) <= values.keys():
            raise ConfigError(f"{where}: `inventory.signatures` must consist of +, - and 0.")
        return cls.of(
            parts["phones"], parts["features"], [[values[sign] for sign in row] for row in parts["signatures"]]
        )


class AttributeLayer(nn.Module):
    """Logits of a blank and of phones: attribute logits × signature matrix.

    Its weights belong to the attributes alone, so that they serve any inventory with the same ones. The product is
    divided by the root of the average number of attributes that apply: logits start as large as those of a linear
    layer, which the layer is when every phone has one attribute of its own.

    Args:
        dim: size of hidden vectors.
        inventory: inventory with signatures.
    """

    signatures: torch.Tensor

    def __init__(self, dim: int, inventory: Inventory) -> None:
        super().__init__()
        if not inventory.features:
            raise ConfigError("attributes need an inventory with signatures; give them or use a linear layer.")
        matrix = torch.tensor(inventory.signatures, dtype=torch.get_default_dtype())
        self.output = nn.Linear(dim, 1 + matrix.shape[1])
        scaled = matrix.t() / matrix.abs().sum(1).mean().sqrt()
        self.register_buffer("signatures", scaled, persistent=False)  # (features, phones)

    @property
    def out_features(self) -> int:
        """Return the number of phones and the blank."""
        return 1 + self.signatures.shape[1]

    def attributes(self, hidden: torch.Tensor) -> torch.Tensor:
        """Map (..., dim) to the attributes' logits (..., features)."""
        logits: torch.Tensor = self.output(hidden)[..., 1:]
        return logits

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Map (..., dim) to logits (..., 1 + phones), the blank first."""
        logits = self.output(hidden)
        return torch.cat([logits[..., :1], logits[..., 1:] @ self.signatures.to(logits.dtype)], dim=-1)


class Allophones(nn.Module):
    """Logits of a language's phonemes: of each the highest one of its allophones; the blank passes. No parameters.

    Args:
        table: table of the language.
        phones: phones of the inventory.

    Raises:
        ConfigError: a phoneme has no allophones, one that is not in the inventory, or the same ones as another.
    """

    index: torch.Tensor

    def __init__(self, table: AllophoneTable, phones: Sequence[str]) -> None:
        super().__init__()
        place = {phone: n for n, phone in enumerate(phones, start=1)}
        rows, seen = [[0]], dict[frozenset[str], str]()
        for phoneme, allophones in table.items():
            if not allophones:
                raise ConfigError(f"the phoneme '{phoneme}' has no allophones; give at least one.")
            for phone in allophones:
                if phone not in place:
                    raise ConfigError(
                        f"the phoneme '{phoneme}' has the allophone '{phone}', which the inventory lacks."
                        f"{nearest_hint(phone, place)}"
                    )
            if (other := seen.setdefault(frozenset(allophones), phoneme)) != phoneme:
                raise ConfigError(
                    f"the phonemes '{other}' and '{phoneme}' have the same allophones, so that nothing could tell "
                    "them apart; make them one."
                )
            rows.append([place[phone] for phone in allophones])
        if len(rows) == 1:
            raise ConfigError("a table of allophones needs at least one phoneme.")
        self.table = {phoneme: tuple(allophones) for phoneme, allophones in table.items()}
        longest = max(map(len, rows))
        padded = [row + row[-1:] * (longest - len(row)) for row in rows]  # repetitions change no maximum
        self.register_buffer("index", torch.tensor(padded), persistent=False)

    @property
    def out_features(self) -> int:
        """Return the number of phonemes and the blank."""
        return len(self.index)

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        """Map logits (..., 1 + phones) to (..., 1 + phonemes)."""
        return logits[..., self.index].amax(-1)


@register("phones")
class PhoneModel(AcousticModel):
    """One layer of phones for all languages, and a head per language that makes its phonemes of them.

    `model.head(name)(hidden)` gives a language's logits, as of every model. The heads have no parameters: all there is
    to train is `phones`, and `add_head` gives a language without any training data.

    Args:
        config: sizes.
        inventory: phones and their attributes: with signatures phones are scored from attributes, without them each has
            weights of its own.
        heads: the allophones of each phoneme, for each head; None for a phoneme per phone.

    Raises:
        ConfigError: as of `Allophones`.
        ModelError: a head has an impossible name.
    """

    sequential: ClassVar[bool] = False

    def __init__(self, config: ModelConfig, inventory: Inventory, heads: Mapping[str, AllophoneTable | None]) -> None:
        super().__init__(config, dict.fromkeys(heads, 1))
        self.inventory = inventory
        dim = self.encoder.dim
        linear = nn.Linear(dim, 1 + len(inventory.phones))
        self.phones = AttributeLayer(dim, inventory) if inventory.features else linear
        for name, table in heads.items():
            self.heads[name] = self._allophones(table)

    def add_head(self, name: str, table: AllophoneTable | None = None) -> None:
        """Add a language, or replace it.

        Raises:
            ConfigError: as of `Allophones`.
            ModelError: an impossible name.
        """
        Headed().make_heads(1, {name: 1})  # refuses impossible names
        self.heads[name] = self._allophones(table).to(next(self.parameters()).device)

    def extended(self, inventory: Inventory) -> PhoneModel:
        """Return a model of the same weights that scores another inventory, such as one with a new language's phones.

        Raises:
            ConfigError: phones have weights of their own, the attributes are others, or a phone of a head is missing.
        """
        if not inventory.features or inventory.features != self.inventory.features:
            raise ConfigError(
                "only an inventory with the same attributes can take over the weights; give their values."
            )
        heads = {name: self.table(name) for name in self.heads}
        model = PhoneModel(self.config, inventory, heads)
        model.load_state_dict(self.state_dict())
        return model.to(next(self.parameters()).device).train(self.training)

    def head(self, name: str) -> ReadingHead:
        """Return the head called `name` with the layer of phones before it.

        Raises:
            ModelError: there is none; the message lists those that exist.
        """
        return ReadingHead(super().head(name), self._logits)

    def own_parts(self, head: str) -> list[str]:
        """See `Model.own_parts`: the layer of phones, which all heads share, is all that makes a head."""
        return ["phones"]

    def describe(self) -> dict[str, Any]:
        """See `Model.describe`."""
        tables = {name: {p: list(a) for p, a in self.table(name).items()} for name in self.heads}
        return {**super().describe(), "inventory": self.inventory.plain(), "allophones": tables}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], heads: Mapping[str, int], where: str) -> PhoneModel:
        """See `Model.from_plain`; the heads are those of the tables."""
        config = checked(ModelConfig, plain.get("model"), where, "model")
        tables = checked(Mapping[str, Mapping[str, list[str]]], plain.get("allophones"), where, "allophones")
        model = cls(config, Inventory.from_plain(plain.get("inventory"), where), tables)
        if model.heads.keys() != heads.keys():
            raise ConfigError(f"{where}: `allophones` must have a table for each of the `heads` and no other.")
        return model

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.phones(hidden)
        return logits

    def _allophones(self, table: AllophoneTable | None) -> Allophones:
        phones = self.inventory.phones
        return Allophones({phone: [phone] for phone in phones} if table is None else table, phones)

    def table(self, name: str) -> dict[str, tuple[str, ...]]:
        """Return the allophones of each phoneme of a head.

        Raises:
            ModelError: there is none of that name.
        """
        super().head(name)
        head = self.heads[name]
        assert isinstance(head, Allophones)
        return head.table
