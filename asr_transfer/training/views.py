"""Keeps what was computed once for each utterance: in memory, and beyond a limit in a file that is gone at the end."""

from __future__ import annotations

import tempfile
from collections.abc import Hashable, Iterator
from typing import IO

import torch

from asr_transfer.cache import cache_folder
from asr_transfer.errors import DataError

IN_MEMORY = 2**30
"""Bytes that are kept in memory; a gigabyte is seven hours of Whisper-tiny's states in float16."""

IN_HALF = True
"""Whether float16 is used where it may be; float32 shows that nothing else differs from computing anew."""


class Views:
    """Matrices by key, each kept once: by number, or by what they are of.

    The file has no name, so that it takes no place any longer when the process ends, whatever ends it. Reading it goes
    through the system's cache of files.

    Args:
        half: Choice to keep them in float16; a matrix with numbers that float16 does not reach stays in float32.
        limit: Bytes kept in memory.
    """

    def __init__(self, half: bool, limit: int | None = None) -> None:
        self._half, self._limit = half and IN_HALF, IN_MEMORY if limit is None else limit
        self._memory: dict[Hashable, torch.Tensor] = {}
        self._filed: dict[Hashable, tuple[int, torch.Size, torch.dtype]] = {}
        self._file: IO[bytes] | None = None
        self._bytes = self._end = 0

    def __contains__(self, key: Hashable) -> bool:
        return key in self._memory or key in self._filed

    def __iter__(self) -> Iterator[Hashable]:
        """Yield the keys."""
        yield from self._memory
        yield from self._filed

    def __len__(self) -> int:
        """Return the number of matrices."""
        return len(self._memory) + len(self._filed)

    @property
    def in_memory(self) -> int:
        """Bytes of the matrices that are kept in memory."""
        return self._bytes

    @property
    def filed(self) -> int:
        """Number of matrices in the file."""
        return len(self._filed)

    def keep(self, key: Hashable, matrix: torch.Tensor) -> None:
        """Keep a matrix of float32 or float64 on the processor.

        Raises:
            DataError: The file cannot be written.
        """
        kept = matrix
        if self._half and bool((small := matrix.half()).isfinite().all()):
            kept = small
        size = kept.numel() * kept.element_size()
        if self._bytes + size <= self._limit:
            self._bytes += size
            self._memory[key] = kept
            return
        folder = cache_folder()
        try:
            self._file = self._file or tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # open as long as this is
            self._file.seek(self._end)
            self._file.write(kept.contiguous().numpy().tobytes())
            self._file.flush()
        except OSError as error:
            raise DataError(
                f"{folder}: what was computed once cannot be kept ({error.strerror}); free space or set "
                "ASR_TRANSFER_CACHE to another folder."
            ) from error
        self._filed[key] = self._end, kept.shape, kept.dtype
        self._end += size

    def get(self, key: Hashable) -> torch.Tensor:
        """Return a matrix that is kept, as it was given; one in float16 in float32.

        Raises:
            KeyError: It is not.
        """
        if key in self._memory:
            return _whole(self._memory[key])
        begin, shape, dtype = self._filed[key]
        assert self._file is not None
        self._file.seek(begin)
        data = bytearray(self._file.read(shape.numel() * dtype.itemsize))
        return _whole(torch.frombuffer(data, dtype=dtype).reshape(shape))


def _whole(matrix: torch.Tensor) -> torch.Tensor:
    return matrix.float() if matrix.dtype == torch.float16 else matrix
