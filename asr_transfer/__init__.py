"""Adapts a speech recogniser to a new speaker, language or words, and shows what it gained and cost.

What a Python program needs of the commands is here, with the same names and options:

    import asr_transfer as at

    adapted = at.adapt("model", "my_recordings", "my_voice")
    print(adapted.transcribe(["new.wav"]))

`load` opens a model that is there, `learn` teaches it a language, `evaluate` scores it, `compare` compares runs,
`export` writes it for another program. Each is loaded when it is first asked for, since PyTorch takes seconds to load.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asr_transfer.commands.adapt import adapt
    from asr_transfer.commands.compare import compare
    from asr_transfer.commands.evaluate import evaluate
    from asr_transfer.commands.export import export
    from asr_transfer.commands.learn import learn
    from asr_transfer.commands.listen import load

__version__ = "0.1.0"
__all__ = ["adapt", "compare", "evaluate", "export", "learn", "load"]

_HOMES = {name: name for name in __all__} | {"load": "listen"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.commands.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
