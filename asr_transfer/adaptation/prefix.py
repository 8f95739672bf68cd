"""What adaptations of one source model have in common, computed once.

That is what lies below the lowest layer that a method trains: with its weights and statistics frozen and the features
not augmented it gives the same activations at every step, in every fold and for every method that freezes as much. And
it is the source model's posteriors, which `kld` holds the outputs to.

Both are computed utterance by utterance, so that they are the same bits whichever utterances are adapted to, and only
of utterances that a batch asks for: of many source utterances a short adaptation hears few.
"""

from __future__ import annotations

import re

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from asr_transfer.data.features import FeatureStore
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.models.adapters import PREFIX


def stages(model: AcousticModel) -> list[str]:
    """Return the paths of what runs one after the other below the heads; depth n means the first n of them."""
    layers = (f"encoder.layers.{number}" for number in range(len(model.encoder.layers)))
    return ["frontend", "encoder.projection", *layers, "encoder.norm"]


def frozen_depth(model: AcousticModel) -> int:
    """Return how many stages, from the first on, training will leave wholly alone.

    Call it after the plan was applied. A stage is frozen when none of its parameters requires a gradient, adapters on
    it included, and the statistics of its BatchNorms are held. 0 where the front end is trained, and where the model
    is more than its stages: of another class, with an adapter parameter that belongs to no stage, or with hooks on it.
    """
    if type(model) is not AcousticModel or any(_is_hooked(module) for module in (model, model.encoder)):
        return 0
    moving = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    for path, module in model.named_modules():
        if not (isinstance(module, _BatchNorm) and getattr(module, "statistics_frozen", False)):
            moving += [f"{path}.{name}" for name, _ in module.named_buffers(recurse=False)]
    paths = stages(model)
    depth = len(paths)
    for name in moving:
        own = re.sub(rf"^{re.escape(PREFIX)}[^.]+\.", "", name)  # an adapter's parameter stands at its module's path
        found = [number for number, path in enumerate(paths) if own.startswith(f"{path}.")]
        if not own.startswith("heads."):
            depth = min([depth, *(found or [0])])
    return depth


class Activations(FeatureStore):
    """A feature store whose views are a model's outputs at a depth instead of features, each computed when first read.

    Views and their lengths, in frames of speech, are those of the store below, so that batches hold the same items.
    The model runs in evaluation mode and in float32: dropout inside the frozen layers is off, and mixed precision
    begins above them. Otherwise training on the activations is training the whole model.

    Args:
        store: features.
        model: whose first stages run, and which must not change meanwhile.
        depth: how many of them; at least 1.
    """

    def __init__(self, store: FeatureStore, model: AcousticModel, depth: int) -> None:
        if depth < 1:
            raise ValueError(f"The 'depth' parameter of Activations must be at least 1, got {depth} instead.")
        vars(self).update(vars(store))
        self._model, self._depth = model, depth
        self._kept: dict[int, torch.Tensor] = {}

    def load(self, view: int) -> torch.Tensor:
        """Return the activations of a view, (frames after subsampling, dim) float32."""
        if view not in self._kept:
            device = next(self._model.parameters()).device
            features = super().load(view)[None].to(device)
            lengths = torch.tensor([features.shape[1]], device=device)
            self._model.eval()
            with torch.no_grad(), torch.autocast(device.type, enabled=False):
                hidden, _ = _run(self._model, 0, self._depth, features, lengths)
            self._kept[view] = hidden[0].cpu()
        return self._kept[view]


class Suffix(AcousticModel):
    """The rest of a model above a depth, under the model contract: inputs are activations there.

    All modules are the model's own, under their own names, those below the depth included; these do not run. What is
    trained here is trained there, and checkpoints fit both.

    Args:
        model: whose modules are taken.
        depth: stages left out; at least 1, for lengths count frames after the front end.
    """

    def __init__(self, model: AcousticModel, depth: int) -> None:
        nn.Module.__init__(self)
        self.config, self.depth = model.config, depth
        for name, child in model.named_children():
            self.add_module(name, child)
        self.training = model.training

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map (batch, frames, dim) activations and (batch,) lengths to hidden (batch, frames, dim) and its lengths."""
        return _run(self, self.depth, len(stages(self)), inputs, lengths)


class Shared:
    """What adaptations of `source` to utterances in `store` have in common; give one to all of them.

    Args:
        source: the model that all adaptations start from.
        store: features of all utterances.
        once: False computes everything anew, frozen layers at every step: what sharing is compared with.
    """

    def __init__(self, source: Recogniser, store: FeatureStore, once: bool = True) -> None:
        self.source, self.store, self._once = source, store, once
        self._posteriors: dict[tuple[str, float], torch.Tensor] = {}
        self._activations: dict[int, Activations] = {}

    def posteriors(self) -> dict[tuple[str, float], torch.Tensor]:
        """Return those of the source model that are known, (frames, tokens) by utterance id and speed."""
        return self._posteriors if self._once else {}

    def depth(self, model: AcousticModel, augmented: bool, taps: bool) -> int:
        """Return up to which depth an adapted model can be trained on activations; 0 where it needs features.

        Args:
            model: after its plan was applied.
            augmented: whether features are changed at random at every step.
            taps: whether an objective reads outputs inside the model, which may lie below.
        """
        return frozen_depth(model) if self._once and not augmented and not taps else 0

    def inputs(self, depth: int) -> FeatureStore:
        """Return the source model's activations at a depth, or the features at depth 0."""
        if not depth:
            return self.store
        if depth not in self._activations:
            self._activations[depth] = Activations(self.store, self.source.model, depth)
        return self._activations[depth]


def above(model: AcousticModel, depth: int) -> AcousticModel:
    """Return what runs on the activations at a depth: at 0 the model itself."""
    return Suffix(model, depth) if depth else model


def _run(
    model: AcousticModel, first: int, last: int, hidden: torch.Tensor, lengths: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run the stages from `first` to before `last`."""
    for path in stages(model)[first:last]:
        module = model.get_submodule(path)
        if path == "frontend":
            hidden, lengths = module(hidden, lengths)
        else:
            hidden = module(hidden, lengths) if path.startswith("encoder.layers.") else module(hidden)
    return hidden, lengths


def _is_hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)
