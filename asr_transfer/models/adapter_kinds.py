"""The kinds of adapters: which parameters each adds below `model.adapters`, and the hooks by which they act.

A parameter stands at the path of what it adapts: `adapters.lhuc.encoder.layers.0.r`. All of them start as an exact
no-op, and all leave padded frames without influence on valid ones.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from asr_transfer.errors import ConfigError
from asr_transfer.models.contract import Block, Model, SpeechModel
from asr_transfer.models.encoders import valid_frames

SEED = 20
"""Of the generator of all random starts, so that adding an adapter takes nothing from the global random numbers."""

_WEIGHTS: tuple[tuple[type[nn.Module], tuple[str, ...]], ...] = (
    (nn.LSTM, ("weight_ih_l0", "weight_hh_l0")),
    (nn.Linear, ("weight",)),
    (nn.Conv1d, ("weight",)),
    (nn.Conv2d, ("weight",)),
    (nn.MultiheadAttention, ("in_proj_weight",)),
)


class Adapter(nn.Module):
    """Base of the kinds: parameters at the paths of what they adapt, and handles of the hooks.

    Args:
        model: the model whose layers are hooked.
        size: rank, bottleneck or length of the code; read by the kinds that have one.
        blocks: Paths of the blocks that it acts on; none for all that it can act on.

    Raises:
        ConfigError: there is nothing in the model, or in these blocks, that it could act on.
    """

    def __init__(self, model: Model, size: int, blocks: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.size, self.blocks = size, blocks
        self.handles: list[RemovableHandle] = []
        # Plain numbers of the highest precision are drawn and then rounded, so that every precision starts alike.
        self.build(model, torch.Generator().manual_seed(SEED))

    def build(self, model: Model, generator: torch.Generator) -> None:
        """Make the parameters in float64 on the CPU and hook them into `model`."""
        raise NotImplementedError

    def chosen(self, places: Sequence[Block]) -> list[Block]:
        """Return those of `places` that are in the adapter's blocks, all of them where none are named.

        Raises:
            ConfigError: none is.
        """
        inside = tuple(f"{path}." for path in self.blocks)
        found = [place for place in places if not inside or f"{place.path}.".startswith(inside)]
        if not found:
            where = f"in {', '.join(self.blocks)} " if self.blocks else ""
            raise ConfigError(f"a {type(self).__name__} adapter finds nothing {where}to act on; choose other blocks.")
        return found

    def detach_hooks(self) -> None:
        """Take all hooks off the model."""
        for handle in self.handles:
            handle.remove()
        self.handles = []

    def fold(self, model: Model) -> bool:
        """Add the adapter to the base's weights if that is exact for every input; return whether it was done."""
        return False

    def place(self, path: str, module: nn.Module) -> None:
        """Make `module` the submodule at a dotted `path` below this one."""
        *parents, name = path.split(".")
        node: nn.Module = self
        for parent in parents:
            if parent not in node._modules:
                node.add_module(parent, nn.Module())
            node = node.get_submodule(parent)
        node.add_module(name, module)

    def after(
        self, model: nn.Module, path: str, module: nn.Module, act: Callable[[torch.Tensor], torch.Tensor] | None = None
    ) -> None:
        """Place `module` at `path` and let it, or `act`, map the output of the model's module there."""
        self.place(path, module)
        # Copies of the model get copies of the hook, bound to their own parameters: `partial` is copied deeply.
        hook = partial(_map_output, act or module)
        self.handles.append(model.get_submodule(path).register_forward_hook(hook))


class Lhuc(Adapter):
    """Learning hidden unit contributions: h' = 2σ(r)⊙h (Swietojanski and Renals 2014), r = 0 at the start.

    It acts where the model says that its hidden units are (`Model.units`).
    """

    def build(self, model: Model, generator: torch.Generator) -> None:
        """See `Adapter.build`."""
        for unit in self.chosen(model.units()):
            self.after(model, unit.path, _Scale(unit.dim, unit.axis))


class LinearInput(Adapter):
    """A linear input network x' = A x + b on the mels (Neto et al. 1995), a discriminative fMLLR.

    `deviation` is A − I and starts at 0: adding it to x is an exact no-op where a product with I may round.
    """

    def build(self, model: Model, generator: torch.Generator) -> None:
        """See `Adapter.build`."""
        if not isinstance(model, SpeechModel) or not model.front_end():
            raise ConfigError(
                f"`lin` transforms the features of speech, but {type(model).__name__} has no front end that takes any; "
                "choose another method."
            )
        mels = model.inputs.mels
        self.deviation = nn.Parameter(torch.empty(mels, mels, dtype=torch.float64))
        self.bias = nn.Parameter(torch.empty(mels, dtype=torch.float64))
        self.reset_parameters()
        self.handles.append(model.get_submodule(model.front_end()[0].path).register_forward_pre_hook(self.transform))

    def reset_parameters(self) -> None:
        """Start anew as a no-op."""
        nn.init.zeros_(self.deviation)
        nn.init.zeros_(self.bias)

    def transform(self, module: nn.Module, arguments: tuple[torch.Tensor, torch.Tensor]) -> Any:
        """Return the front end's arguments, (batch, time, mels) transformed where frames are valid."""
        x, lengths = arguments
        moved = nn.functional.linear(x, self.deviation, self.bias)
        # The first convolution reads across an utterance's end, where b would stand instead of zeros.
        return x + moved * valid_frames(lengths, x.shape[1])[:, :, None], lengths


class Lora(Adapter):
    """Low-rank additions W + B A to weight matrices (Hu et al. 2022), A random and B = 0 at the start.

    It covers the LSTM, linear and convolution weights (out × (in·kernel)) and the joint query, key and value projection
    of the layers and the front end, but not the attention's output projection.
    """

    def build(self, model: Model, generator: torch.Generator) -> None:
        """See `Adapter.build`."""
        matrices = list(_matrices(model, self.chosen(_weighty(model))))
        if not matrices:
            raise ConfigError(
                f"`lora` finds no linear, convolution, LSTM or attention weights in the blocks of "
                f"{type(model).__name__}; choose another method."
            )
        for path, module, names in matrices:
            additions = _Additions(module, names, self.size, generator)
            self.place(path, additions)
            self.handles.append(module.register_forward_pre_hook(additions.put_in))
            # Called after a failing forward too: the base must never be left with the sums.
            self.handles.append(module.register_forward_hook(additions.put_back, always_call=True))

    @torch.no_grad()
    def fold(self, model: Model) -> bool:
        """Add B A to the base's weights, in the very arithmetic of the forward pass."""
        for path, module, _ in _matrices(model, self.chosen(_weighty(model))):
            additions = self.get_submodule(path)
            assert isinstance(additions, _Additions)
            for name, total in additions.sums(module).items():
                module.get_parameter(name).copy_(total)
        return True


class ResidualAdapter(Adapter):
    """A bottleneck behind every layer: h + U ReLU(D h) (Rebuffi et al. 2017; Houlsby et al. 2019).

    U = 0 at the start; there are no biases.
    """

    def build(self, model: Model, generator: torch.Generator) -> None:
        """See `Adapter.build`."""
        for block in self.chosen(model.layers()):
            bottleneck = _Bottleneck(block.dim, self.size, generator)
            self.after(model, block.path, bottleneck, _channels_last(bottleneck, block.axis))


class SpeakerCode(Adapter):
    """A speaker code s and a matrix per layer: h + B_l s (Abdel-Hamid and Jiang 2013); B_l = 0, s random.

    The authors train the matrices on many speakers, each with a code of his own, and learn only the new speaker's
    code. Without a source model trained so, both are learnt from the new speaker alone, and this amounts to adapting
    biases of all layers that share a low rank.
    """

    def build(self, model: Model, generator: torch.Generator) -> None:
        """See `Adapter.build`."""
        self.code = nn.Parameter(torch.empty(self.size, dtype=torch.float64))
        self.reset_parameters(generator)
        for block in self.chosen(model.layers()):
            spread = _Spread(block.dim, self.size)
            self.after(model, block.path, spread, _channels_last(partial(self.shift, spread), block.axis))

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw a new code."""
        nn.init.normal_(self.code, generator=generator)

    def shift(self, spread: _Spread, hidden: torch.Tensor) -> torch.Tensor:
        """Return (batch, time, dim) `hidden` with the layer's bias added."""
        return hidden + (spread.weight * self.code).sum(1)  # a product of matrices would round in mixed precision


class _Scale(nn.Module):
    """Factors 2σ(r) on the channels, which are an axis of hidden vectors."""

    def __init__(self, channels: int, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.r = nn.Parameter(torch.empty(channels, dtype=torch.float64))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.r)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        behind = (1,) * (-1 - self.axis if self.axis < 0 else hidden.dim() - 1 - self.axis)
        return hidden * (2 * torch.sigmoid(self.r)).view(-1, *behind)


class _Bottleneck(nn.Module):
    """h + U ReLU(D h)."""

    def __init__(self, dim: int, size: int, generator: torch.Generator) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.empty(size, dim, dtype=torch.float64))
        self.up = nn.Parameter(torch.empty(dim, size, dtype=torch.float64))
        self.reset_parameters(generator)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        nn.init.normal_(self.down, std=self.down.shape[1] ** -0.5, generator=generator)
        nn.init.zeros_(self.up)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        inner = torch.relu(nn.functional.linear(hidden, self.down))
        return hidden + nn.functional.linear(inner, self.up)


class _Spread(nn.Module):
    """The matrix that spreads a speaker code over a layer's channels."""

    def __init__(self, dim: int, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(dim, size, dtype=torch.float64))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)


class _Factors(nn.Module):
    """B A in the shape of one weight, which counts as a matrix of out × all other axes."""

    def __init__(self, shape: torch.Size, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        self.shape = shape
        self.A = nn.Parameter(torch.empty(rank, shape[1:].numel(), dtype=torch.float64))
        self.B = nn.Parameter(torch.empty(shape[0], rank, dtype=torch.float64))
        self.reset_parameters(generator)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        nn.init.normal_(self.A, std=self.A.shape[1] ** -0.5, generator=generator)
        nn.init.zeros_(self.B)

    def forward(self) -> torch.Tensor:
        return (self.B @ self.A).view(self.shape)


class _Additions(nn.Module):
    """Factors for the weights of one module, whose sums stand in the weights' places while that module runs.

    The module reads its weights as ever, so fused kernels stay in use and gradients reach factors and base alike.
    """

    def __init__(self, module: nn.Module, names: tuple[str, ...], rank: int, generator: torch.Generator) -> None:
        super().__init__()
        for name in names:
            self.add_module(name, _Factors(module.get_parameter(name).shape, rank, generator))
        self.originals: dict[str, nn.Parameter | None] = {}
        self.lists: tuple[list[Any], list[Any]] | None = None

    def sums(self, module: nn.Module) -> dict[str, torch.Tensor]:
        """Return W + B A by the weight's name."""
        found = {}
        for name, factors in self.named_children():
            weight = module.get_parameter(name)
            with torch.autocast(weight.device.type, enabled=False):
                found[name] = weight + factors()
        return found

    def put_in(self, module: nn.Module, arguments: Any) -> None:
        """Swap the sums in, as a forward pre-hook."""
        self.put_back(module)  # an interrupt from the keyboard skips even hooks that are always called
        sums = self.sums(module)
        self.originals = {name: module._parameters[name] for name in sums}
        if isinstance(module, nn.LSTM):
            # It reads a list of its own, and makes it anew (on a GPU: moves the weights) when the references differ.
            self.lists = module._flat_weights, module._flat_weight_refs
            names = module._flat_weights_names
            weights: list[Any] = [sums.get(name, old) for name, old in zip(names, module._flat_weights, strict=True)]
            module._flat_weights = weights
            module._flat_weight_refs = [weakref.ref(weight) for weight in weights]
        module._parameters.update(sums)  # type: ignore[arg-type]  # not `setattr`, which refuses plain tensors

    def put_back(self, module: nn.Module, *call: Any) -> None:
        """Swap the base's weights in again, as a forward hook."""
        module._parameters.update(self.originals)
        self.originals = {}
        if self.lists is not None:
            module._flat_weights, module._flat_weight_refs = self.lists  # type: ignore[assignment]
            self.lists = None


def _map_output(act: Callable[[torch.Tensor], torch.Tensor], module: nn.Module, arguments: Any, output: Any) -> Any:
    hidden = output[0] if isinstance(output, tuple) else output
    # In mixed precision the sum or product is exact up to this one rounding.
    mapped = act(hidden).to(hidden.dtype)
    return (mapped, *output[1:]) if isinstance(output, tuple) else mapped


def _channels_last(act: Callable[[torch.Tensor], torch.Tensor], axis: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return `act`, which maps (..., channels), for hidden vectors that have their channels on another axis."""
    return act if axis == -1 else partial(_moved, act, axis)


def _moved(act: Callable[[torch.Tensor], torch.Tensor], axis: int, hidden: torch.Tensor) -> torch.Tensor:
    return act(hidden.movedim(axis, -1)).movedim(-1, axis)


def _weighty(model: Model) -> list[Block]:
    """Return the blocks whose weights low-rank additions reach."""
    return [block for block in model.blocks() if block.role != "between"]


def _matrices(model: Model, blocks: Sequence[Block]) -> Iterator[tuple[str, nn.Module, tuple[str, ...]]]:
    """Yield (path, module, names of its weights) of all that low-rank additions reach."""
    attention = ""
    inside = tuple(f"{block.path}." for block in blocks)
    for path, module in model.named_modules():
        if not f"{path}.".startswith(inside) or (attention and path.startswith(attention)):
            continue  # attention reads its output projection's weight itself, without calling that module
        if isinstance(module, nn.MultiheadAttention):
            attention = f"{path}."
        for kind, names in _WEIGHTS:
            own = tuple(name for name in names if module._parameters.get(name) is not None)
            if isinstance(module, kind) and own:
                yield path, module, own


KINDS: dict[str, type[Adapter]] = {
    "lhuc": Lhuc,
    "lin": LinearInput,
    "lora": Lora,
    "residual-adapter": ResidualAdapter,
    "speaker-code": SpeakerCode,
}
