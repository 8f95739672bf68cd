"""Models that were stored before there were kinds of inputs and columns of any class load, and are stored alike."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from asr_transfer.adaptation.settings import AdaptConfig
from asr_transfer.config import SourceConfig, to_record
from asr_transfer.data.inputs import LogMel
from asr_transfer.models.kinds import build, describe
from asr_transfer.models.progressive import ProgressiveModel

NETWORK: dict[str, Any] = {
    "encoder": "tdnn", "layers": 2, "dim": 8, "channels": 10, "strides": [2, 2], "dropout": 0.1,
    "features": {"mels": 8, "window_ms": 25.0, "hop_ms": 10.0, "normalisation": "utterance-mean"},
    "units": "characters",
}  # fmt: skip
PLAIN: dict[str, Any] = {"model": NETWORK, "heads": {"en": 5}, "adapters": [{"kind": "lora", "size": 2}]}
PROGRESSIVE: dict[str, Any] = {
    "model": NETWORK, "heads": {"fr": 4}, "kind": "progressive", "rank": 3, "base": PLAIN,
    "adapters": [{"kind": "residual-adapter", "size": 2, "blocks": ["encoder.layers.1"]}],
}  # fmt: skip
TWICE: dict[str, Any] = {"model": NETWORK, "heads": {"de": 3}, "kind": "progressive", "rank": 2, "base": PROGRESSIVE}


@pytest.mark.parametrize("plain", [PLAIN, PROGRESSIVE, TWICE], ids=["plain", "progressive", "two columns"])
def test_what_was_stored_is_what_is_stored(plain: dict[str, Any]) -> None:
    model = build(plain, "config.yaml")
    assert describe(model) == plain
    assert model.inputs == LogMel(8)


def test_tensors_of_columns_have_the_names_that_they_had() -> None:
    model = build(PROGRESSIVE, "config.yaml")
    assert isinstance(model, ProgressiveModel)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert {name.split(".")[0] for name in shapes} == {"frontend", "encoder", "heads", "adapters", "laterals", "base"}
    assert [shapes[f"laterals.{n}.down"] for n in range(4)] == [(3, 10), (3, 8), (3, 8), (3, 8)]
    assert [shapes[f"laterals.{n}.up"] for n in range(4)] == [(10, 3), (8, 3), (8, 3), (8, 3)]
    assert shapes["base.encoder.layers.1.convolution.weight"] == (8, 8, 5)


@dataclass(frozen=True)
class _Command(SourceConfig):
    """A command's settings, with those of adapting in a list as well."""

    several: tuple[AdaptConfig, ...] = (AdaptConfig(),)
    out: Path = Path("x")


def test_records_say_of_new_settings_only_what_is_new() -> None:
    """A run that began before goes on: settings that it did not have are compared only where they change something."""
    record = to_record(_Command())
    assert "kind" not in record["model"]["features"] and record["model"]["features"]["mels"] == 80
    assert "blocks" not in record["several"][0]["settings"] and record["several"][0]["settings"]["rank"] == 8
