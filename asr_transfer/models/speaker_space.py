"""Holds what the profiles of a model's training speakers have in common: their mean and main directions.

These are the eigenvoices of Kuhn et al. (2000), of adapters instead of Gaussians. A speaker's profile is a few weights
there: profile = mean + weights · directions. It comes with the model as one small file beside its weights, and belongs
to exactly these. Loading executes no code from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open

from asr_transfer.errors import AsrTransferError, ModelError
from asr_transfer.models.adapters import PREFIX, AdapterSpec, adapter_specs, add_adapter, specs_from_plain
from asr_transfer.models.configuration import readable
from asr_transfer.models.contract import SpeechModel
from asr_transfer.models.weight_files import checksum

FILE = "speakers.safetensors"
"""Its name in a model folder."""

FORMAT = 1
_TENSORS = ("mean", "directions", "deviations", "weights")


@dataclass(frozen=True)
class SpeakerSpace:
    """Mean and main directions of the training speakers' profiles.

    Attributes:
        spec: adapter that the profiles are of.
        base: checksum of the weights that they were made on.
        shapes: shapes of the adapter's parameters by name, in the order in which a profile is one vector.
        mean: (values,) mean profile.
        directions: (directions, values) main directions, orthonormal, the widest first.
        deviations: (directions,) standard deviation of the speakers along each.
        speakers: names of the training speakers.
        weights: (speakers, directions) weights of each of them.
        used: number of directions, the first, that a new speaker is described by.
    """

    spec: AdapterSpec
    base: str
    shapes: Mapping[str, tuple[int, ...]]
    mean: torch.Tensor
    directions: torch.Tensor
    deviations: torch.Tensor
    speakers: tuple[str, ...]
    weights: torch.Tensor
    used: int

    def __deepcopy__(self, memo: Any) -> SpeakerSpace:
        """Return itself: nothing of it ever changes, and models are copied often."""
        return self

    @cached_property
    def digest(self) -> str:
        """Checksum of all of it; names it in profiles that are weights in it."""
        return checksum({name: getattr(self, name) for name in _TENSORS}, self._facts())

    def vector(self, weights: torch.Tensor) -> torch.Tensor:
        """Return the profile of some weights as one (values,) vector in float64.

        Args:
            weights: (directions,) weights, of the first directions where they are fewer.
        """
        directions = self.directions[: len(weights)].double()
        return self.mean.double() + weights.double() @ directions

    def along(self, derivatives: torch.Tensor, count: int) -> torch.Tensor:
        """Return derivatives by the weights of the first directions, in float64.

        Args:
            derivatives: (values,) derivatives by a profile's values, in float64.
            count: number of directions.
        """
        return self.directions[:count].double() @ derivatives

    def profile(self, weights: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the profile of some weights as the adapter's parameters by their names in a model, in float64."""
        parts = parts_of(self.vector(weights), list(self.shapes.values()))
        return {f"{PREFIX}{self.spec.kind}.{name}": part for name, part in zip(self.shapes, parts, strict=True)}

    @torch.no_grad()
    def put_on(self, model: SpeechModel, weights: torch.Tensor) -> None:
        """Give a model the adapter, where it has none yet, and the profile of some weights.

        Raises:
            ModelError: the adapter's parameters are others in this model.
        """
        if self.spec not in adapter_specs(model):
            add_adapter(model, self.spec)
        state = model.state_dict()
        for name, value in self.profile(weights).items():
            if name not in state or state[name].shape != value.shape:
                raise ModelError(f"{FILE}: holds profiles of another model ('{name}'); make them anew with {MAKING}.")
            state[name].copy_(value)

    def describe(self) -> str:
        """Return one line on it."""
        total = float(self.deviations.square().sum())
        shares = ", ".join(f"{100 * float(d) ** 2 / total:.0f}" for d in self.deviations[:4]) if total else "none"
        return (
            f"{self.spec} of {len(self.speakers)} training speakers: {len(self.deviations)} directions (the first take "
            f"{shares} % of what these hold), {self.used} of them used"
        )

    def save(self, file: Path) -> None:
        """Write it.

        Raises:
            OSError, SafetensorError: it cannot be written.
        """
        tensors = {name: getattr(self, name).contiguous() for name in _TENSORS}
        # One entry: the library writes several in any order.
        safetensors.torch.save_file(tensors, file, metadata={"facts": json.dumps(self._facts(), ensure_ascii=True)})

    @classmethod
    def load(cls, file: Path) -> SpeakerSpace:
        """Read it.

        Raises:
            ModelError: it is damaged, or may not be read.
        """
        with readable(file), file.open("rb"):  # the library calls whatever it may not read missing
            pass
        try:
            tensors = safetensors.torch.load_file(file)
            with safe_open(file, "pt") as opened:
                facts = json.loads((opened.metadata() or {})["facts"])
            if facts["format"] != FORMAT:
                raise ValueError(f"its format is {facts['format']!r}, and this program reads {FORMAT}")
            (spec,) = specs_from_plain([facts["adapter"]], str(file))
            shapes = {str(name): tuple(int(n) for n in shape) for name, shape in facts["shapes"]}
            found = cls(
                spec, str(facts["base"]), shapes, tensors["mean"], tensors["directions"], tensors["deviations"],
                tuple(map(str, facts["speakers"])), tensors["weights"], int(facts["used"]),
            )  # fmt: skip
            found._require_sound()
        except (SafetensorError, OSError, KeyError, TypeError, ValueError, AsrTransferError) as error:
            reason = " ".join(str(error).split())
            raise ModelError(
                f"{file}: is damaged ({reason}); copy the model again, make it anew with {MAKING} and "
                "--overwrite true, or remove it to do without."
            ) from None
        return found

    def _facts(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "adapter": self.spec.plain(),
            "base": self.base,
            "shapes": [[name, list(shape)] for name, shape in self.shapes.items()],
            "speakers": list(self.speakers),
            "used": self.used,
        }

    def _require_sound(self) -> None:
        values, count = sum(map(prod, self.shapes.values())), len(self.deviations)
        shapes = ((values,), (count, values), (count,), (len(self.speakers), count))
        for name, shape in zip(_TENSORS, shapes, strict=True):
            tensor = getattr(self, name)
            if tuple(tensor.shape) != shape or not tensor.is_floating_point() or not bool(tensor.isfinite().all()):
                raise ValueError(f"`{name}` is not {shape} finite numbers")
        if bool((self.deviations < 0).any()):
            raise ValueError("`deviations` holds numbers below 0")
        if not 0 <= self.used <= count:
            raise ValueError(f"`used` is {self.used} of {count} directions")


MAKING = "`asr-transfer profile speakers`"
"""What makes one for a model that exists."""


def names_of(spec: AdapterSpec, adapters: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return an adapter's parameters by their names within it, in the order in which a profile is one vector."""
    start = f"{PREFIX}{spec.kind}."
    return {name.removeprefix(start): adapters[name] for name in sorted(adapters) if name.startswith(start)}


def parts_of(vector: torch.Tensor, shapes: Sequence[tuple[int, ...]]) -> list[torch.Tensor]:
    """Return the parts of a vector in these shapes."""
    parts, first = [], 0
    for shape in shapes:
        parts.append(vector[first : first + prod(shape)].view(shape))
        first += prod(shape)
    return parts


def flat(parameters: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return parameters as one vector in float64."""
    return torch.cat([parameter.detach().double().reshape(-1) for parameter in parameters])
