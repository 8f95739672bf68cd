"""Makes graphs of models that hear any number of recordings of any length.

PyTorch's tracing exporter is used: it takes milliseconds where the newer one takes ten seconds, and keeps a recurrence
as one operator. What it would fix at the lengths that it saw is computed in other ways while it looks on.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch._C._onnx import TensorProtoDataType

from asr_transfer.deployment.libraries import library
from asr_transfer.errors import AsrTransferError, ModelError
from asr_transfer.models.contract import SpeechModel
from asr_transfer.models.encoders import BiLstmLayer

OPSET = 17
_WORTH = 64
"""Inputs of a convolution's sum from which on it is worth a multiplication of matrices of whole numbers."""


class Listening(nn.Module):
    """A model with one head: features and their lengths to logarithmic probabilities of tokens and their lengths.

    Args:
        model: model that listens.
        head: name of its head.
        before: module that makes of what is fed, (batch, time, …), and its lengths the model's inputs and their
            lengths.
        times: number of equal frames that each frame becomes, where whoever reads them counts shorter ones.
    """

    def __init__(self, model: SpeechModel, head: str, before: nn.Module, times: int = 1) -> None:
        super().__init__()
        self.before, self.model, self.head, self.times = before, model, model.head(head), times

    def forward(self, fed: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map what is fed and (batch,) lengths to (batch, frames, tokens) and (batch,) lengths."""
        hidden, lengths = self.model(*self.before(fed, lengths))
        log_probs = self.head(hidden).log_softmax(-1)
        if self.times > 1:
            log_probs, lengths = log_probs.repeat_interleave(self.times, dim=1), lengths * self.times
        return log_probs, lengths


def write_graph(
    module: nn.Module,
    examples: tuple[torch.Tensor, ...],
    file: Path,
    inputs: Mapping[str, Mapping[int, str]],
    outputs: Mapping[str, Mapping[int, str]],
    metadata: Mapping[str, str],
    whole_numbers: bool = False,
) -> None:
    """Write a module as an ONNX file.

    Args:
        module: module in evaluation mode.
        examples: arguments of it, the longest of a batch first.
        file: file to write.
        inputs: names of the arguments in their order, each with the axes that may have any size, by name.
        outputs: names of the results, likewise.
        metadata: facts that the file keeps about itself.
        whole_numbers: whether it shall be quantised: convolutions are written as the products of matrices that can be.
    """
    onnx = library("onnx", "export", "onnx")
    with traceable(module, whole_numbers), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # about what is the same for all lengths
        torch.onnx.export(
            module,
            examples,
            str(file),
            dynamo=False,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: dict(axes) for name, axes in {**inputs, **outputs}.items()},
        )
    made = onnx.load(str(file))
    _keep_weights(made.graph)
    for name, value in metadata.items():
        made.metadata_props.add(key=name, value=value)
    onnx.save(made, str(file))


def _keep_weights(graph: Any) -> None:
    """Turn constants of a graph into stored weights, which alone can be quantised."""
    for node in [node for node in graph.node if node.op_type == "Constant" and node.attribute[0].name == "value"]:
        weights = node.attribute[0].t
        if weights.dims:
            weights.name = node.output[0]
            graph.initializer.add().CopyFrom(weights)
            graph.node.remove(node)


@contextmanager
def traceable(module: nn.Module, whole_numbers: bool = False) -> Iterator[None]:
    """Let a module's recurrences and attention be computed in ways that a graph can hold, and give them back after.

    Args:
        module: module with the layers in it.
        whole_numbers: whether convolutions are computed as products of matrices.
    """
    with ExitStack() as stack:
        fast = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)
        stack.callback(torch.backends.mha.set_fastpath_enabled, fast)
        for part in module.modules():
            other: Callable[..., Any] | None = None
            if isinstance(part, BiLstmLayer):
                other = _both_ways(part)
            elif isinstance(part, nn.MultiheadAttention):
                other = _attending(part)
            elif whole_numbers and isinstance(part, nn.Conv1d) and _becomes_matrix(part):
                other = _multiplied(part)
            if other is not None:
                # On the object, not its class: hooks of adapters stay where they are.
                part.forward = other
                stack.callback(delattr, part, "forward")
        yield


class _BothWays(torch.autograd.Function):
    """A bidirectional recurrence, written as ONNX's own operator: that hears the lengths of a batch itself."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, lengths: torch.Tensor, w: torch.Tensor, r: torch.Tensor, b: torch.Tensor
    ) -> torch.Tensor:
        """Return something of the result's shape, (time, directions, batch, dim): no more is looked at."""
        return x.new_zeros(x.shape[0], 2, x.shape[1], r.shape[2])

    @staticmethod
    def symbolic(g: Any, x: Any, lengths: Any, w: Any, r: Any, b: Any) -> Any:
        """Return the operator in a graph `g`."""
        counts = g.op("Cast", lengths, to_i=TensorProtoDataType.INT32)
        size = r.type().sizes()[2]
        found, _, _ = g.op("LSTM", x, w, r, b, counts, hidden_size_i=size, direction_s="bidirectional", outputs=3)
        return found.setType(x.type().with_sizes([None, 2, None, size]))


def _both_ways(layer: BiLstmLayer) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return a layer's forward function as one bidirectional recurrence."""
    both = (layer.forward_lstm, layer.backward_lstm)
    w, r, first, second = (
        torch.stack([_gates(getattr(one, f"{name}_l0")) for one in both])
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    b = torch.cat([first, second], dim=1)

    def forward(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = _BothWays.apply(x.transpose(0, 1), lengths, w, r, b)  # type: ignore[no-untyped-call]
        return found.permute(2, 0, 1, 3).flatten(2)

    return forward


def _gates(weights: torch.Tensor) -> torch.Tensor:
    """Return weights whose gates stand in ONNX's order: input, output, forget, cell."""
    enter, forget, cell, out = weights.detach().chunk(4)
    return torch.cat([enter, out, forget, cell])


def _attending(layer: nn.MultiheadAttention) -> Callable[..., tuple[torch.Tensor, None]]:
    """Return the forward function of attention of a sequence to itself, whose shapes follow the input's."""

    def forward(
        x: torch.Tensor, _key: torch.Tensor, _value: torch.Tensor, key_padding_mask: torch.Tensor, need_weights: bool
    ) -> tuple[torch.Tensor, None]:
        query, key, value = (
            torch.unflatten(part, 2, (layer.num_heads, -1)).transpose(1, 2)
            for part in nn.functional.linear(x, layer.in_proj_weight, layer.in_proj_bias).chunk(3, dim=-1)
        )
        scores = query @ key.transpose(2, 3) * layer.head_dim**-0.5
        scores = scores.masked_fill(key_padding_mask[:, None, None, :], -torch.inf)
        return layer.out_proj((scores.softmax(-1) @ value).transpose(1, 2).flatten(2)), None

    return forward


def _becomes_matrix(layer: nn.Conv1d) -> bool:
    plain = layer.groups == 1 and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    return plain and layer.in_channels * layer.kernel_size[0] >= _WORTH


def _multiplied(layer: nn.Conv1d) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a convolution's forward function as the product of a matrix and the samples side by side."""
    (size,), (stride,), (dilation,), padding = layer.kernel_size, layer.stride, layer.dilation, layer.padding[0]
    matrix = layer.weight.detach().permute(2, 1, 0).flatten(0, 1).contiguous()
    bias = None if layer.bias is None else layer.bias.detach()

    # Ends are counted from the back, so that a graph need not compute them from the length.
    ends = [dilation * (n + 1 - size) or None for n in range(size)]

    def forward(x: torch.Tensor) -> torch.Tensor:
        padded = nn.functional.pad(x.transpose(1, 2), (0, 0, padding, padding))  # type: ignore[arg-type]
        beside = [padded[:, n * dilation : end : stride] for n, end in enumerate(ends)]
        product = torch.cat(beside, dim=2) @ matrix
        return (product if bias is None else product + bias).transpose(1, 2)

    return forward


@contextmanager
def graphed(model: str) -> Iterator[None]:
    """Say in a sentence that a model cannot be written as a graph, where the exporter or the runtime fails.

    Args:
        model: model as it was named.

    Raises:
        ModelError: one of them does.
    """
    try:
        yield
    except (OSError, AsrTransferError):
        raise
    except Exception as error:  # ONNX Runtime's have no other base
        reason = str(error).strip().split("\n")[0][:200] or type(error).__name__
        raise ModelError(
            f"{model}: no graph could be made of it that hears recordings of any length ({type(error).__name__}: "
            f"{reason}), so nothing was written; export to another target."
        ) from error


def session(file: Path, threads: int = 1) -> Any:
    """Return a session of ONNX Runtime on the CPU."""
    runtime = library("onnxruntime", "export", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 4
    return runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def run(made: Any, *arguments: torch.Tensor) -> Sequence[torch.Tensor]:
    """Run a session on arguments in the order of its inputs."""
    names = [one.name for one in made.get_inputs()]
    found = made.run(None, {name: one.numpy() for name, one in zip(names, arguments, strict=True)})
    return [torch.as_tensor(one) for one in found]
