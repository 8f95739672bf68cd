"""See `asr_transfer.search_config`."""

from asr_transfer.search_config import SearchConfig

__all__ = ["SearchConfig"]
