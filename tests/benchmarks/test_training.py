"""The benchmark of training runs, on tiny models: every encoder beside both networks of the peer, in three tables."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from asr_transfer.runs.record import read_record
from benchmarks.paced import Side
from benchmarks.speechbrain_networks import OWN
from benchmarks.training import OTHER, SAME, WANTED, Beside, faster, main, promising, tables_of
from benchmarks.training_corpus import Corpus
from docs.tables import kept
from tests.benchmarks.conftest import TINY


def test_every_encoder_is_measured_beside_both_networks_and_kept(
    corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "training"
    main(rounds=1, steps=1, out=out)
    values = read_record(out)
    beside = values["scores"]["beside"]
    assert [(row["encoder"], row["network"]) for row in beside] == [(e, n) for e in WANTED for n in (SAME, OTHER)]
    assert all(row["speed"] > 0 and row["other"] > 0 and len(row["ratios"]) == 1 for row in beside)
    assert [row["encoder"] for row in values["scores"]["precisions"]] == list(TINY)
    first, second, third = kept({**values, "name": "training"}, "speeds")
    assert len(first.rows) == 6 and len(second.rows) == 3 and not first.note
    assert third.rows[0][2] == "1.000" and third.note
    assert "KLD, posteriors kept" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="--overwrite"):
        main(rounds=1, steps=1, out=out)


def test_the_peer_can_be_left_out(corpus: Corpus, tmp_path: Path) -> None:
    main(rounds=1, steps=1, only_precisions=True, out=tmp_path / "run")
    assert list(read_record(tmp_path / "run")["scores"]) == ["precisions"]


def test_a_target_is_met_by_the_median_from_its_value_on() -> None:
    rows = [Beside("tdnn", SAME, 9.0, "fp32", 0.0, 5.0, "bf16", ratios, 1.8) for ratios in ([1, 1.8, 9], [1, 1.79, 9])]
    (table,) = tables_of({"beside": rows}, "note")
    assert [row[table.headings.index("met")] for row in table.rows] == ["yes", "no"] and table.note == "note"


class _Clock:
    """A clock whose steps of a second of audio take so long."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.steps = seconds, 0

    def advance(self, steps: int) -> None:
        self.steps += steps

    @property
    def cpu(self) -> float:
        return self.steps * self.seconds

    @property
    def audio(self) -> float:
        return float(self.steps)

    data = 0.0


def test_what_is_hopelessly_slow_is_measured_once() -> None:
    clocks = [_Clock(1.0), _Clock(1.9), _Clock(2.1)]
    sides = [Side(str(clock.seconds), clock, clock.advance) for clock in clocks]
    assert [side.name for side in promising(sides)] == ["1.0", "1.9"]
    assert [len(side.rounds) for side in sides] == [0, 0, 1] and clocks[2].steps == 2
    slow = {"fp32": 1.0, "bf16": 9.0}
    made = {name: _Clock(seconds) for name, seconds in slow.items()}
    side, precision = faster(lambda name: Side(name, made[name], made[name].advance), 5)
    assert precision == "fp32" and not side.rounds and (made["fp32"].steps, made["bf16"].steps) == (7, 2)


@pytest.mark.parametrize("encoder", WANTED)
def test_the_peers_own_network_has_our_sizes(encoder: str) -> None:
    config = TINY[encoder]
    network = OWN[encoder](config.channels, config).eval()
    assert network(torch.randn(2, 20, config.channels), torch.tensor([20, 15])).shape == (2, 20, network.dim)
    assert network.dim == config.dim * (2 if encoder == "bilstm" else 1)
