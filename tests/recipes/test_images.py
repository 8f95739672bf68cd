"""The recipes on images run from the command line in their quick forms, and write what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer.runs.record import read_record
from tests.experiments.images.shapes import MAN_MADE, NATURAL, SIZE, write_shapes
from tests.real_runs import load

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ROOT / "recipes" / "images"


def _run(name: str, monkeypatch: pytest.MonkeyPatch, **options: object) -> None:
    monkeypatch.chdir(ROOT)
    words = [f"{name}.py", "--config", str(RECIPES / f"hparams/{name}.yaml"), "--quick", "true", "--workers", "1"]
    monkeypatch.setattr(
        "sys.argv", words + [str(word) for pair in options.items() for word in (f"--{pair[0]}", pair[1])]
    )
    recipe = load(RECIPES / f"{name}.py")
    assert recipe.script(recipe.Recipe, recipe.run) == 0


def test_the_transferability_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = write_shapes(tmp_path / "shapes")
    model = f"{{channels: [4, 5, 6], inputs: 1, size: {SIZE}, halve: [0]}}"
    classes = {"natural": f"[{', '.join(map(repr, NATURAL))}]", "man_made": f"[{', '.join(map(repr, MAN_MADE))}]"}
    out = tmp_path / "run"
    _run("transferability", monkeypatch, images=shapes, model=model, pretrained="null", **classes, out=out)
    record = read_record(out)
    assert {name: entry["items"] for name, entry in record["data"].items()} == {
        "cifar10 train": 400,
        "cifar10 test": 200,
    }
    alike, kinds, _ = record["tables"]["transferability"]
    assert len(alike["rows"]) == 2 + 6 * 3 + 2 and len(kinds["rows"]) == 2 + 4 + 2
    (sides,) = record["tables"]["sides"]
    named = [row[0] for row in sides["rows"]]
    assert named[:2] == ["images, alike", "images, kinds"] and "speech, fsdd_methods, 10 utterances" in named
    assert all("</svg>" in (out / file).read_text() for file in ("curve.svg", "sides.svg"))


def test_a_sequence_of_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = [write_shapes(tmp_path / name, 20, seed) for seed, name in enumerate(("first", "second"))]
    model = f"{{channels: [4, 5], size: {SIZE}, halve: [0], dense: [6]}}"
    out = tmp_path / "run"
    _run("progressive", monkeypatch, tasks=f"[{tasks[0]}, {tasks[1]}]", model=model, out=out)
    record = read_record(out)
    assert record["scores"]["unchanged"] == {"5, seed 0: first behind second": True}
    new, old = record["tables"]["progressive"]
    assert [row[2] for row in new["rows"]] == ["alone", "progressive", "random columns", "fine-tuned"]
    assert [row[:2] for row in old["rows"]] == [["first", "second"]] * 2 and "in 1 of 1 comparisons" in old["note"]
    assert "5, seed 0: first behind second: the same bits" in capsys.readouterr().out
    assert "</svg>" in (out / "gains.svg").read_text()
