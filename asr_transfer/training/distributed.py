"""Joins several processes under `torchrun`: shares weights, averages gradients. Alone, all of it is free."""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence

import torch
import torch.distributed as dist
from speechbrain.utils.distributed import ddp_init_group
from torch import nn

from asr_transfer.devices import find_device
from asr_transfer.errors import ConfigError


def join(device: str) -> str:
    """Join the group when started by `torchrun`, and return this process's device.

    Args:
        device: `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        ConfigError: there is no such device, or there are more processes than GPUs.
    """
    chosen = find_device(device)
    if "RANK" in os.environ and "LOCAL_RANK" in os.environ:
        if chosen == "cuda":
            number, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
            if number >= there:
                raise ConfigError(
                    f"process {number + 1} that torchrun started has no GPU of its own, for here are {there}; start "
                    "as many processes with --nproc-per-node, or set the device to 'cpu'."
                )
            chosen = f"cuda:{number}"
        if not dist.is_initialized():
            ddp_init_group({"distributed_backend": "gloo" if chosen == "cpu" else "nccl"})
            atexit.register(leave)
    return chosen


def leave() -> None:
    """End the group, where there is one: a process that ends with its threads still running may be aborted."""
    if dist.is_initialized():
        dist.destroy_process_group()


def place() -> tuple[int, int]:
    """Return this process's rank and the number of processes."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def is_main() -> bool:
    """Tell whether this is the process that prints and writes."""
    return place()[0] == 0


def of_main(number: int, device: str) -> int:
    """Return the first process's number in every process."""
    if not dist.is_initialized():
        return number
    shared = torch.tensor([number], device=device)
    dist.broadcast(shared, src=0)
    return int(shared)


def share_weights(model: nn.Module) -> None:
    """Give every process the first one's parameters and buffers."""
    if dist.is_initialized():
        for tensor in model.state_dict().values():
            dist.broadcast(tensor, src=0)


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Replace each gradient by its mean over processes; where only some have one, the others count as zero.

    A parameter that has a gradient in no process keeps none: a zero would let momentum and weight decay move it.
    """
    if not dist.is_initialized():
        return
    present = torch.tensor([float(p.grad is not None) for p in parameters], device=parameters[0].device)
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flat = torch.cat([*(gradient.flatten() for gradient in gradients), present])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    sizes = [p.numel() for p in parameters]
    *parts, present = torch.split(flat, [*sizes, len(parameters)])
    for parameter, part, seen in zip(parameters, parts, present.tolist(), strict=True):
        parameter.grad = part.view_as(parameter) if seen else None


def average_buffers(model: nn.Module) -> None:
    """Replace each floating-point buffer (BatchNorm's statistics) by its mean over processes."""
    if not dist.is_initialized():
        return
    buffers = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
    if buffers:
        flat = torch.cat([buffer.flatten() for buffer in buffers])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        for buffer, part in zip(buffers, torch.split(flat, [b.numel() for b in buffers]), strict=True):
            buffer.copy_(part.view_as(buffer))


def greatest(value: int, device: str) -> int:
    """Return the greatest of all processes' values, which is the same in each of them."""
    if not dist.is_initialized():
        return value
    every = torch.tensor(value, device=device)
    dist.all_reduce(every, dist.ReduceOp.MAX)
    return int(every)


def mean(value: torch.Tensor) -> torch.Tensor:
    """Return the mean of a tensor over processes."""
    if dist.is_initialized():
        dist.all_reduce(value)
        value /= dist.get_world_size()
    return value
