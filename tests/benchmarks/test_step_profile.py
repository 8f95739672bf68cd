"""The profile of a training step runs on tiny models: its parts add up, and it leaves what is trained as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from asr_transfer.config import FeatureConfig, ModelConfig
from asr_transfer.models.acoustic import AcousticModel
from benchmarks import laps, step_profile
from benchmarks.laps import Laps, Operations
from benchmarks.paced import PacedTrainer
from benchmarks.training import our_side
from benchmarks.training_corpus import Corpus
from docs.tables import kept
from tests.benchmarks.conftest import TINY


def test_a_quick_run_prints_one_table_and_keeps_it(
    corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "steps"
    step_profile.main(quick=True, out=out)
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    rows = record["scores"]["steps"]
    assert [(row["encoder"], row["precision"]) for row in rows] == [(e, p) for e in TINY for p in ("fp32", "bf16")]
    for row in rows:
        assert sum(row["parts"].values()) == pytest.approx(row["whole"], rel=0.02, abs=0.5)
    (table,) = kept({**record, "name": "steps"}, "steps")
    names = [cells[0] for cells in table.rows]
    assert names[:4] == ["loading", "SpecAugment masks", "forward, front end", "forward, projection"]
    assert {"backward, layer 2", "backward, CTC", "clipping", "optimiser", "bookkeeping"} < set(names)
    assert "share of that" in capsys.readouterr().out and record["status"] == "finished"


def test_the_parts_are_those_of_the_trainers_own_clock(corpus: Corpus) -> None:
    sums = Laps()
    trainer = step_profile.new_trainer(corpus, TINY["tdnn"], "fp32", 10.0, sums)
    trainer.advance(2)
    before, sums.parts = trainer.cpu, {}
    trainer.advance(5)
    inside = sum(spent for part, spent in sums.parts.items() if part != laps.LOOP)
    assert inside == pytest.approx(trainer.cpu - before, rel=0.05, abs=0.002)


@pytest.mark.parametrize("encoder", TINY)
def test_profiling_changes_no_weight(corpus: Corpus, encoder: str) -> None:
    profiled = step_profile.new_trainer(corpus, TINY[encoder], "fp32", 30.0, Laps())
    plain = our_side("plain", corpus, encoder, "fp32").clock
    assert isinstance(plain, PacedTrainer)
    for _ in range(2):
        profiled.advance(2)
        plain.advance(2)
    state = plain.model.state_dict()
    assert all(torch.equal(own, state[name]) for name, own in profiled.model.state_dict().items())
    assert profiled.audio == plain.audio > 0


def test_operations_are_those_of_the_layers() -> None:
    config = ModelConfig("bilstm", 1, dim=8, channels=4, features=FeatureConfig(mels=5))
    model = AcousticModel(config, {"en": 3})
    with Operations() as counter:
        hidden, _ = model(torch.randn(2, 12, 5), torch.tensor([12, 12]))
        forward = counter.get_total_flops()
        model.head("en")(hidden).sum().backward()
    convolutions = 2 * 2 * (6 * 4 * 5 * 5 + 3 * 4 * 4 * 5)
    recurrences = 2 * (2 * 2 * 3 * 4 * 8 * (4 + 8))
    assert forward == convolutions + recurrences
    head, first = 2 * 2 * 3 * 16 * 3, 2 * 2 * 6 * 4 * 5 * 5  # what the first convolution hears is not trained
    assert counter.get_total_flops() == 3 * (convolutions + recurrences + head) - first


def test_a_part_ends_where_another_begins() -> None:
    now = [0.0]
    sums = Laps(lambda: now[0])
    for part, spent in (("a", 1.0), ("b", 2.0), ("a", 4.0)):
        with sums.within(part):
            now[0] += spent
            with sums.within("inner"):
                now[0] += 8.0
        now[0] += 16.0
    sums.skip()
    sums.enter("a")
    assert sums.parts == {"a": 5.0, "b": 2.0, "inner": 24.0, laps.LOOP: 32.0}


def test_mistakes_are_named() -> None:
    with pytest.raises(SystemExit, match="lstm"):
        step_profile.main(encoders=["lstm"])
    with pytest.raises(SystemExit, match="above 0"):
        step_profile.main(rounds=0)
