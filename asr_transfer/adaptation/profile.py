"""Stores speaker profiles, which hold only what an adaptation changed, and puts them on the same base model again.

A profile folder holds `profile.safetensors`, which has the added tensors and those of the base that changed, and
`profile.yaml`, which has facts in plain values. Base and profile give the adapted model's outputs bit for bit. Where an
adapter is what few weights of the training speakers' directions make of it, only these weights are stored, and the base
must have the directions. Loading executes no code from the folder, and a folder is replaced only when the new one is
complete.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError

from asr_transfer.decoding.settings import SutaConfig
from asr_transfer.errors import ConfigError, DataError, ModelError
from asr_transfer.models.adapters import (
    PREFIX,
    AdapterSpec,
    adapter_specs,
    adapter_state,
    add_adapter,
    base_checksum,
    base_state,
    merge_adapters,
    remove_adapters,
    specs_from_plain,
)
from asr_transfer.models.configuration import read_yaml, readable, refuse_foreign
from asr_transfer.models.contract import SpeechModel
from asr_transfer.models.replacing import replace_folder, restore
from asr_transfer.models.speaker_space import FILE as SPEAKERS
from asr_transfer.models.speaker_space import SpeakerSpace
from asr_transfer.models.weight_files import bytes_of, checksum, read_weights, write_weights
from asr_transfer.plain import from_plain, to_plain
from asr_transfer.ranges import CountOrNone, Ranged, Weight
from asr_transfer.textfiles import write_text

FORMAT = 1
TENSORS, FACTS = "profile.safetensors", "profile.yaml"

WEIGHTS = f"{PREFIX}speaker_weights"
"""Stands in a profile for the adapter that these weights of the base's directions make."""

_CHECKSUM = re.compile(r"[0-9a-f]{64}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class ProfileFacts(Ranged):
    """How a profile came about.

    Attributes:
        method: method of the adaptation.
        utterances: number of utterances that it learnt from.
        seconds: duration of the speech that they hold.
        created: date and time, ISO 8601.
        parent: checksum of the profile that it went on from.
        origin: anything else, in plain values.
        test_time: settings of the adaptation to each utterance alone; None for none, or for the base's.
        head: head of the model that it was made with; None where the profile is older than that was noted.
        offsets: offset of every head of the model with the profile on it, with which languages are told apart; empty
            where there are none.

    Raises:
        ConfigError: a value is impossible.
    """

    method: str
    utterances: CountOrNone
    seconds: Weight
    created: str = field(default_factory=_now)
    parent: str | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)
    test_time: SutaConfig | None = None
    head: str | None = None
    offsets: Mapping[str, float] = field(default_factory=dict)
    directions: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("method", "created"):
            if not getattr(self, name):
                raise ConfigError(f"`{name}` of a profile must not be empty.")
        if self.parent is not None and not _is_checksum(self.parent):
            raise ConfigError(f"`parent` of a profile must be a profile's checksum, got {self.parent!r}.")
        if self.directions is not None and not _is_checksum(self.directions):
            raise ConfigError(f"`directions` of a profile must be a checksum, got {self.directions!r}.")


@dataclass(frozen=True)
class Profile:
    """A loaded speaker profile.

    Attributes:
        folder: folder that it was read from.
        facts: facts about how it came about.
        base: checksum of the model that it belongs to.
        specs: specifications of its adapters.
        tensors: tensors of the adapters and the changed tensors of the base, by name.
        checksum: checksum of these tensors; names the profile as a parent.
        size_bytes: size of its files.
    """

    folder: Path
    facts: ProfileFacts
    base: str
    specs: tuple[AdapterSpec, ...]
    tensors: Mapping[str, torch.Tensor]
    checksum: str
    size_bytes: int

    @classmethod
    def load(cls, folder: str | Path) -> Profile:
        """Read a profile folder.

        Raises:
            ModelError: it is missing, damaged, or no profile.
        """
        path = Path(folder)
        file = path / FACTS
        restore(path)
        with readable(file):
            if not file.is_file():
                raise ModelError(f"{path}: is not a profile folder (it holds no {FACTS}); give one that `adapt` wrote.")
        plain = read_yaml(file, FORMAT, "profile")
        tensors = read_weights(path / TENSORS, "profile")
        for name in ("base", "checksum"):
            if not _is_checksum(plain.get(name)):
                raise ModelError(f"{file}: the field `{name}` is missing or damaged; copy the profile again.")
        specs = specs_from_plain(plain.get("adapters"), str(file))
        known = {"format", "base", "checksum", "adapters"}
        try:
            facts = from_plain(ProfileFacts, {k: v for k, v in plain.items() if k not in known}, str(file))
        except ConfigError as error:
            reason = str(error).removeprefix(f"{file}: ")
            raise ModelError(f"{file}: is damaged: {reason}") from None
        if checksum(tensors) != plain["checksum"] or (facts.directions is None) != (WEIGHTS not in tensors):
            raise ModelError(f"{path / TENSORS}: differs from what {FACTS} says of it; copy the profile again.")
        size = sum((path / name).stat().st_size for name in (TENSORS, FACTS))
        return cls(path, facts, plain["base"], specs, tensors, plain["checksum"], size)

    def apply(self, model: SpeechModel) -> None:
        """Make `model`, which is the base, the adapted model; nothing is changed when that fails.

        Raises:
            ModelError: the profile belongs to another model, the model carries adapters, or the profile is damaged.
        """
        if specs := adapter_specs(model):
            raise ModelError(
                f"{self.folder}: the model carries the adapter '{specs[0].kind}' already; remove it or the profile it "
                "belongs to first."
            )
        self._require_base(model, "load the model that it was made from, or adapt this one anew")
        tensors = self._whole(model)
        try:
            for spec in self.specs:
                add_adapter(model, spec)
            state = model.state_dict()
            stored = {name for name in tensors if name.startswith(PREFIX)}
            wrong = sorted(stored ^ adapter_state(model).keys())
            wrong += [name for name, tensor in tensors.items() if not _alike(state.get(name), tensor)]
            if wrong:
                raise ModelError(
                    f"{self.folder / TENSORS}: '{wrong[0]}' is missing, unknown or of another shape than the model's; "
                    "copy the profile again."
                )
        except ModelError:
            remove_adapters(model)
            raise
        _overwrite(model, tensors)

    def remove(self, model: SpeechModel, base: SpeechModel | Mapping[str, torch.Tensor]) -> None:
        """Make `model` the base again, bit for bit.

        Args:
            model: model that the profile was applied to.
            base: the base, or those of its tensors that the profile changed.

        Raises:
            ModelError: a tensor is missing in `base`, or what results is not the base.
        """
        original = base_state(base) if isinstance(base, SpeechModel) else base
        changed = [name for name in self.tensors if not name.startswith(PREFIX)]
        lacking = [name for name in changed if not _alike(original.get(name), self.tensors[name])]
        if lacking:
            raise ModelError(f"{self.folder}: '{lacking[0]}' of the base is needed to remove the profile; pass it too.")
        remove_adapters(model)
        _overwrite(model, {name: original[name] for name in changed})
        self._require_base(model, "load the base model again")

    @contextmanager
    def applied(self, model: SpeechModel) -> Iterator[SpeechModel]:
        """Apply the profile to `model` for the length of a `with` block, and give back the base after it."""
        state = base_state(model)
        before = {name: state[name].clone() for name in self.tensors if name in state}
        self.apply(model)
        try:
            yield model
        finally:
            remove_adapters(model)
            _overwrite(model, before)

    def describe(self) -> str:
        """Return one line on what the profile is and was made from."""
        changed = [tensor for name, tensor in self.tensors.items() if not name.startswith(PREFIX)]
        parts = [self._described(spec) for spec in self.specs]
        parts += [f"{len(changed)} changed tensors of the base"] if changed else []
        parts += ["adaptation to each utterance"] if self.facts.test_time else []
        values = sum(tensor.numel() for tensor in self.tensors.values())
        source = f", continues {self.facts.parent[:12]}" if self.facts.parent else ""
        return (
            f"{self.facts.method} from {self.facts.utterances} utterances ({self.facts.seconds:.1f} s), "
            f"{self.facts.created}: {' and '.join(parts) or 'nothing changed'}; {values:,} values, "
            f"{self.size_bytes / 1000:.1f} kB; profile {self.checksum[:12]} of the base {self.base[:12]}{source}"
        )

    def _described(self, spec: AdapterSpec) -> str:
        if WEIGHTS in self.tensors and not any(name.startswith(f"{PREFIX}{spec.kind}.") for name in self.tensors):
            return f"{spec} by {len(self.tensors[WEIGHTS])} weights of training speakers' directions"
        factor = self.tensors.get(f"{PREFIX}{spec.kind}.factor")
        return str(spec) if factor is None else f"{spec} of {float(factor):.2f}"

    def _whole(self, model: SpeechModel) -> Mapping[str, torch.Tensor]:
        """Return its tensors, with the adapter that weights of the model's directions stand for.

        Raises:
            ModelError: the model has no such directions.
        """
        if WEIGHTS not in self.tensors:
            return self.tensors
        space, digest = model.speakers, self.facts.directions or ""
        if space is None or space.digest != digest:
            lack = "has none" if space is None else f"has others, {space.digest[:12]}"
            raise ModelError(
                f"{self.folder}: the profile is {len(self.tensors[WEIGHTS])} weights of the directions {digest[:12]} "
                f"of training speakers, but the model {lack}; copy it again with its {SPEAKERS}, or adapt it anew."
            )
        rest = {name: tensor for name, tensor in self.tensors.items() if name != WEIGHTS}
        return {**rest, **_expanded(model, space, self.tensors[WEIGHTS])}

    def _require_base(self, model: SpeechModel, mend: str) -> None:
        found = base_checksum(model)
        if found != self.base:
            raise ModelError(
                f"{self.folder}: the profile belongs to the base model {self.base[:12]}, but this one is {found[:12]}; "
                f"{mend}."
            )


def save_profile(
    folder: str | Path,
    base: SpeechModel,
    adapted: SpeechModel,
    facts: ProfileFacts | Mapping[str, Any],
    weights: torch.Tensor | None = None,
) -> Path:
    """Write what distinguishes `adapted` from `base`: its adapters whole, and the base's tensors that changed.

    Args:
        folder: folder to write; an older profile there is replaced when the new one is complete.
        base: the model as it was before any profile; adapters that it carries are not looked at.
        adapted: a model of the same architecture.
        facts: facts about how it came about, or a mapping with the fields of `ProfileFacts`.
        weights: weights of the base's directions of training speakers, which stand for the adapter of their kind where
            it is still exactly what they make of it.

    Returns:
        The folder.

    Raises:
        ModelError: the models differ in architecture, `folder` holds something else, or it cannot be written.
        ConfigError: a fact is missing, unknown or not a plain value.
    """
    target = Path(folder)
    refuse_foreign(target, FACTS, "profile")
    if not isinstance(facts, ProfileFacts):
        facts = from_plain(ProfileFacts, facts, "facts of a profile")
    before, after = base_state(base), base_state(adapted)
    for name in [*before, *after]:
        if name not in before or name not in after or not _alike(before[name], after[name]):
            raise ModelError(
                f"{target}: '{name}' has another shape or type in the adapted model than in the base, or exists in one "
                "alone; save a whole model folder instead."
            )
    tensors = adapter_state(adapted)
    tensors.update({name: after[name] for name in after if bytes_of(after[name]) != bytes_of(before[name])})
    if weights is not None and (space := base.speakers) is not None:
        meant = _expanded(adapted, space, weights)
        if all(name in tensors and torch.equal(tensors[name], value) for name, value in meant.items()):
            tensors = {name: tensor for name, tensor in tensors.items() if name not in meant} | {WEIGHTS: weights}
            facts = replace(facts, directions=space.digest)
    about = to_plain(facts)
    for name in ("test_time", "head", "offsets", "directions"):
        # A profile without it is as profiles were before there was any.
        if not about[name]:
            del about[name]
    plain = {
        "format": FORMAT,
        "base": base_checksum(base),
        "checksum": checksum(tensors),
        "adapters": [spec.plain() for spec in adapter_specs(adapted)],
        **about,
    }
    try:
        text = yaml.safe_dump(plain, sort_keys=False)
    except yaml.YAMLError as error:
        raise ConfigError(f"{target}: `origin` of the profile must hold plain values only ({error}).") from None

    def write(partial: Path) -> None:
        write_weights(partial / TENSORS, tensors)
        write_text(partial / FACTS, text)

    try:
        replace_folder(target, write)
    except (OSError, SafetensorError, DataError) as error:
        raise ModelError(
            f"{target}: the profile cannot be written ({error}); free space or choose another folder. "
            "What stood there before is untouched."
        ) from error
    return target


def merged(model: SpeechModel, profile: Profile) -> SpeechModel:
    """Return a copy of the base `model` with the profile applied and, where that is exact, folded into its weights.

    Saved as a model folder it needs no profile; adapters that cannot be folded are kept there.

    Raises:
        ModelError: see `Profile.apply`.
    """
    result = copy.deepcopy(model)
    profile.apply(result)
    merge_adapters(result)
    return result


def _is_checksum(value: Any) -> bool:
    return isinstance(value, str) and _CHECKSUM.fullmatch(value) is not None


def _alike(own: torch.Tensor | None, other: torch.Tensor) -> bool:
    return own is not None and own.shape == other.shape and own.dtype == other.dtype


def _expanded(model: SpeechModel, space: SpeakerSpace, weights: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the adapter that weights make, in the model's own precision."""
    like = next(model.parameters())
    return {name: value.to(like.device, like.dtype) for name, value in space.profile(weights).items()}


@torch.no_grad()
def _overwrite(model: SpeechModel, tensors: Mapping[str, torch.Tensor]) -> None:
    state = model.state_dict()
    for name, tensor in tensors.items():
        state[name].copy_(tensor)
