"""Says which adapter is meant, and reads that from plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from asr_transfer.errors import ConfigError, ModelError, nearest_hint
from asr_transfer.models.adapters.kind import KINDS


@dataclass(frozen=True)
class AdapterSpec:
    """Which adapter.

    Attributes:
        kind: `lhuc` scales hidden units, `lin` transforms the features, `lora` adds low-rank matrices to weights,
            `residual-adapter` puts a bottleneck behind every encoder layer, `speaker-code` a bias from one vector,
            `film` scales and shifts every layer by a summary, `warp` multiplies the frequencies of the features.
        size: rank of `lora`, bottleneck of `residual-adapter`, length of `speaker-code` and `film`; 0 for the others.
        blocks: Paths of the blocks that it acts on, as the model names them; none for all that it can act on.

    Raises:
        ConfigError: the kind is unknown, or the size is missing or has no meaning.
    """

    kind: str
    size: int = 0
    blocks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.kind, str) or self.kind not in KINDS:
            hint = nearest_hint(str(self.kind), KINDS)
            raise ConfigError(f"The 'kind' of an adapter is '{self.kind}'.{hint}")
        if type(self.size) is not int:
            raise ConfigError(f"The 'size' of the adapter '{self.kind}' must be a whole number, got {self.size!r}.")
        measure = KINDS[self.kind].measure
        if measure and self.size < 1:
            raise ConfigError(
                f"The 'size' of the adapter '{self.kind}', its {measure}, must be at least 1, got {self.size}."
            )
        if not measure and self.size != 0:
            raise ConfigError(f"The adapter '{self.kind}' has no size; leave 'size' at 0 instead of {self.size}.")
        if self.blocks and not KINDS[self.kind].anywhere:
            raise ConfigError(f"The adapter '{self.kind}' stands before the whole model; leave 'blocks' out.")

    def __str__(self) -> str:
        measure = KINDS[self.kind].measure
        name = f"{self.kind} of {measure} {self.size}" if measure else self.kind
        return f"{name} on {', '.join(self.blocks)}" if self.blocks else name

    def plain(self) -> dict[str, Any]:
        """Return what `specs_from_plain` reads."""
        return {"kind": self.kind, "size": self.size, **({"blocks": list(self.blocks)} if self.blocks else {})}


def specs_from_plain(entries: Any, where: str) -> tuple[AdapterSpec, ...]:
    """Read adapters from plain values as YAML holds them: a list of `{kind, size}`, perhaps with `blocks`.

    Args:
        entries: the list.
        where: the file, which messages name with the field.

    Raises:
        ModelError: an entry is damaged, or a kind stands twice.
    """
    if not isinstance(entries, list):
        raise ModelError(f"{where}: the field `adapters` must be a list, got {entries!r}; copy the folder again.")
    specs: list[AdapterSpec] = []
    for index, entry in enumerate(entries):
        field = f"{where}: the field `adapters[{index}]`"
        blocks = entry.get("blocks", []) if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or set(entry) - {"blocks"} != {"kind", "size"}:
            raise ModelError(f"{field} must hold `kind` and `size`, got {entry!r}; copy the folder again.")
        if not isinstance(blocks, list) or not all(isinstance(path, str) for path in blocks):
            raise ModelError(f"{field}: `blocks` must be a list of paths, got {blocks!r}; copy the folder again.")
        try:
            specs.append(AdapterSpec(entry["kind"], entry["size"], tuple(blocks)))
        except (ConfigError, TypeError) as error:
            raise ModelError(f"{field} is damaged: {error}") from None
        if any(spec.kind == entry["kind"] for spec in specs[:-1]):
            raise ModelError(f"{field} names '{entry['kind']}' a second time; copy the folder again.")
    return tuple(specs)
