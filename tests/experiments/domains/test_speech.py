"""Ways to adapt to a channel without transcripts run from one experiment, on made-up speech."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from asr_transfer.config import FeatureConfig, ModelConfig, SourceConfig, TrainerConfig
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.experiments.domains.speech import (
    SPEECH_METHODS,
    AdaptChannel,
    ChannelConfig,
    channel_tables,
    make_channels,
    run_channels,
)

SHORT = TrainerConfig(steps=2, batch_budget=600, validate_every=0, device="cpu", precision="fp32")
CONFIG = ChannelConfig(
    channels=("telephone",),
    source=SourceConfig(ModelConfig("tdnn", layers=1, dim=16, channels=16, features=FeatureConfig(mels=20)), SHORT),
    adapt=SHORT,
    seeds=(0, 1),
)


def test_every_way_adapts_and_is_tested_through_the_channel(
    tone_corpus: dict[str, Path], feature_cache: Path, tmp_path: Path
) -> None:
    config = CONFIG.settled()
    sides = make_channels(tone_corpus, config, tmp_path / "channels")
    rows = run_channels(config, sides, tmp_path, 1)
    assert [row.method for row in rows] == list(SPEECH_METHODS)
    assert (rows[0].change.value, rows[0].worse) == (0, 0) and all(row.wer.value > 0 for row in rows)
    record = json.loads((tmp_path / "points" / "telephone-dann-0" / "run.json").read_text())
    assert record["data"]["target"]["path"].endswith("telephone.jsonl")
    assert any(key.startswith("encoder.domain_loss") for key in record["history"][-1])
    (table,) = channel_tables(rows, config)
    assert len(table.rows) == len(SPEECH_METHODS)
    again = run_channels(config, sides, tmp_path, 1)
    assert again == rows, "what is finished is read, not made again"


def test_no_speaker_is_on_two_sides(tone_corpus: dict[str, Path], tmp_path: Path) -> None:
    config = replace(CONFIG, held_out=1)
    sides = make_channels(tone_corpus, config, tmp_path)["telephone"]
    data = AdaptChannel("telephone", sides, 0, config, "dann").data()
    speakers = {name: {u.speaker for u in own} for name, (_, own) in data.items()}
    assert speakers["test"] == speakers["clean-test"] and len(speakers["test"]) == 1
    groups = [speakers[name] for name in ("source", "target", "test")]
    assert all(groups) and not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])


def test_what_cannot_be_is_refused(tone_corpus: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'soft-labels', which is for images"):
        replace(CONFIG, methods=("soft-labels",))
    with pytest.raises(DataError, match="has no split 'test'"):
        make_channels({"train": tone_corpus["train"]}, CONFIG, tmp_path)
    sides = make_channels(tone_corpus, CONFIG, tmp_path)["telephone"]
    with pytest.raises(DataError, match="too few for a source and a target"):
        AdaptChannel("telephone", sides, 0, replace(CONFIG, held_out=50)).data()
