"""The benchmark on a pretrained Whisper runs, on a tiny one: both sides train the same network on the same batches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from asr_transfer.config import TopConfig
from asr_transfer.data.manifest import write_manifest
from benchmarks import pretrained
from docs.tables import kept
from tests.models.pretrained.whole_whisper import write_whisper
from tests.tones import make_speaker

COURSE = pretrained.Course(steps=(4, 2), every=(2, 1), budget=400, rank=2, rounds=1)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Return a tiny Whisper and a manifest, as options of the benchmark."""
    write_whisper(tmp_path / "whisper")
    write_manifest(tmp_path / "all.jsonl", make_speaker(tmp_path, "ann", 1.0, 10, 1))
    return {"model": tmp_path / "whisper", "data": tmp_path / "all.jsonl"}


def test_both_sides_are_measured_to_the_same_loss(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("peft")
    out = tmp_path / "pretrained"
    pretrained.main(**files, held=3, course=COURSE, top=TopConfig(layers=1, dim=6, dropout=0.0), out=out)
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    figures = record["scores"]
    assert [race["method"] for race in figures["races"]] == [pretrained.TOP, pretrained.LORA]
    assert [kind for kind in record["tables"] if kept({**record, "name": "pretrained"}, kind)] == ["rates", "races"]
    for race in figures["races"]:
        assert race["ratio"] == pytest.approx(race["plain"] / race["ours"]) and race["ours"] > 0
    assert all(rate > 0 for rate in figures["audio_seconds_per_cpu_second"].values())
    printed = capsys.readouterr().out
    assert "CPU-seconds to the same development loss" in printed and "windows of 2 s" in printed


def test_both_sides_begin_and_go_on_alike(files: dict[str, Path], tmp_path: Path) -> None:
    """In windows that are full, both encoders hear the same; elsewhere silence behind a recording tells them apart."""
    pytest.importorskip("peft")
    spoken = make_speaker(tmp_path, "bob", 1.0, 6, 2)
    bench = pretrained.Bench(
        files["model"], spoken[2:], spoken[:2], tmp_path / "store", TopConfig(layers=1, dim=6, dropout=0.0)
    )
    model = bench.fresh(0)
    for lora in (False, True):
        ours, plain = bench.sides(model, COURSE, lora, 0)
        trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        count = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        assert count == sum(parameter.numel() for parameter in plain.clock.trained)
        assert all(name.startswith("adapters.lora." if lora else ("top", "heads.")) for name in trained)
        assert ours.clock._buckets["train"].batch(3).tolist() == _fourth(bench)
        assert ours.loss() == pytest.approx(plain.loss(), rel=0.2)
        before = ours.loss(), plain.loss()
        for side in (ours, plain):
            side.advance(4)
        after = ours.loss(), plain.loss()
        assert all(new < old for new, old in zip(after, before, strict=True))
        assert ours.clock.cpu > 0 and plain.clock.cpu > 0


def _fourth(bench: pretrained.Bench) -> list[int]:
    batches = bench.batches(COURSE.budget, 0)
    return [next(batches).tolist() for _ in range(4)][-1]


def test_the_first_validation_at_the_worse_of_both_best_losses_counts() -> None:
    class Clock:
        cpu = 0.0

        def advance(self, steps: int) -> None:
            self.cpu += steps

    ours, plain = iter([3.0, 1.0, 0.5]), iter([4.0, 2.0, 0.9])
    sides = [
        pretrained.Runner(name, Clock(), lambda losses=losses: next(losses), once)  # type: ignore[misc]
        for name, losses, once in (("ours", ours, 1.0), ("plain", plain, 0.0))
    ]
    found = pretrained.run_race("x", sides, 5, 2)
    assert (found.loss, found.our_steps, found.plain_steps) == (0.9, 5, 5)
    assert (found.ours, found.plain) == (6.0, 5.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"an4": Path("a"), "data": Path("b")}, "give one"), ({"data": Path("nowhere")}, "nowhere")],
)
def test_mistakes_are_named(options: dict[str, Path], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        pretrained.main(**options)
