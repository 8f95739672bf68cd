"""Names output layers: one per language, speaker or set of classes, on one encoder."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import nn

from asr_transfer.errors import ModelError, nearest_hint

_NAME = re.compile(r"[A-Za-z0-9_-]+")


class Headed(nn.Module):
    """Base of models under the contract `model(inputs, lengths) -> (hidden, lengths)` with named linear heads.

    Attributes:
        heads: output layers by name; addressed by selectors as `heads.NAME`.
    """

    heads: nn.ModuleDict

    def make_heads(self, dim: int, heads: Mapping[str, int]) -> None:
        """Add a linear head on hidden vectors of size `dim` for each name, with that many outputs.

        Raises:
            ModelError: a name cannot stand in a selector or file name.
        """
        self.heads = nn.ModuleDict()
        for name, size in heads.items():
            # A name such as `keys` would hide a method of the dictionary.
            if not _NAME.fullmatch(name) or hasattr(nn.ModuleDict, name):
                raise ModelError(
                    f"a head cannot be called '{name}'; name the language by its ISO 639 code, such as en or cmn, or "
                    "where that is taken by its code of three letters."
                )
            self.heads[name] = nn.Linear(dim, size)

    def head(self, name: str) -> nn.Module:
        """Return the head called `name`.

        Raises:
            ModelError: there is none; the message lists those that exist.
        """
        if name not in self.heads:
            raise ModelError(f"the model has no head '{name}'.{nearest_hint(name, self.heads)}")
        return self.heads[name]
