"""Running `asr-transfer adapt` in tests: recordings of made-up speakers, finished runs, weights."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from asr_transfer.cli import main
from asr_transfer.commands.profile_on_model import load_with_profile
from tests.tones import make_speaker

QUICK = ("--steps", 12, "--device", "cpu", "--choice.folds", 2, "--choice.without_source", "[full, lhuc]",
         "--choice.rates", "[10.0]", "--use_summary", "false")  # fmt: skip
"""A short `auto`. Toy models move slowly, so ten times the learning rates of real ones."""


@dataclass(frozen=True)
class Ran:
    """A finished command: its run folder and what it printed."""

    out: Path
    printed: str

    @property
    def record(self) -> dict[str, Any]:
        """Return the run's record."""
        values: dict[str, Any] = json.loads((self.out / "run.json").read_text(encoding="utf-8"))
        return values


def run(*arguments: object) -> int:
    """Run a command."""
    return main([str(argument) for argument in arguments])


def adapt(model: Path, data: Path, out: Path, *options: object) -> Ran:
    """Run `adapt`, which must succeed."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert run("adapt", "--model", model, "--data", data, "--out", out, *options) == 0
    return Ran(out, printed.getvalue())


def recordings(folder: Path, name: str, shift: float, count: int, seed: int, table: bool = True) -> Path:
    """Return a folder of recordings of a speaker, with a table of transcripts or without any."""
    made = make_speaker(folder, name, shift, count, seed)
    if table:
        rows = [f"{Path(u.audio).name}\t{u.text}\n" for u in made]
        (folder / name / "transcripts.tsv").write_text("file\ttext\n" + "".join(rows), encoding="utf-8")
    return folder / name


def weights(model: Path, profile: Path | None = None) -> dict[str, torch.Tensor]:
    """Return a model's weights, with a profile on it where one is given."""
    return load_with_profile(model, profile).model.state_dict()


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Return whether two states are equal bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
