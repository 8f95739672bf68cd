"""One run at a glance in the terminal."""

from __future__ import annotations

import io
import json
import math
import shutil
import sys
from pathlib import Path

import pytest
from rich.console import Console

from asr_transfer.cli import main
from asr_transfer.commands.show import show_run, sparkline
from asr_transfer.errors import DataError
from asr_transfer.models.folder import update_origin
from asr_transfer.models.pretrained.provenance import BASE
from tests.made_runs import utterances, write_recipe, write_run


def shown(folder: Path) -> str:
    """Return what is printed of a run."""
    out = io.StringIO()
    show_run(folder, Console(width=160, file=out))
    return out.getvalue()


def test_sparklines_scale_gap_and_shrink() -> None:
    assert sparkline([0.0, 1.0, 2.0, 7.0]) == "▁▂▃█"
    assert sparkline([3.0, math.nan, 1.0]) == "█ ▁" and sparkline([math.nan]) == " " and sparkline([]) == ""
    assert sparkline([5.0, 5.0]) == "▁▁"
    assert sparkline([float(n) for n in range(1000)], 8) == "▁▂▃▄▅▆▇█"


def test_a_run_is_shown_with_curve_scores_data_and_cost(tmp_path: Path) -> None:
    history = [{"step": 50.0 * n, "loss": 1.0 / n, "wer": 0.5 / n if n != 3 else 0.1} for n in range(1, 6)]
    data = {"train": {"path": "train.jsonl", "utterances": 9, "speakers": 2, "seconds": 7200.0, "checksum": "abc"}}
    config = {"trainer": {"steps": 250, "seed": None}, "model": {"encoder": "[bold]tdnn"}}
    training = {"cpu_seconds": 90.0, "audio_seconds_per_cpu_second": 420.0}
    run = write_run(tmp_path / "run", utterances(9), history=history, data=data, config=config, training=training)
    text = shown(run)
    for part in (
        "finished", "asr-transfer evaluate", "commit 0123456789ab", "trainer.steps", "[bold]tdnn", "2.00", "abc",
        "█▄", "0.1 ", "250", "61.0 s elapsed", "90.0 s of it training", "420 s of audio", "512 MB",
    ):  # fmt: skip
        assert part in text, part
    assert "trainer.seed" not in text


def test_a_recipe_shows_error_by_amount_and_how_to_compare(tmp_path: Path) -> None:
    folder = write_recipe(tmp_path / "demo", utterances(16))
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    cells = [("none", 0, 0.4), ("full", 5, 0.3), ("full", 10, 0.2), ("kld", 5, 0.25)]
    record["scores"]["rows"] = [{"method": m, "amount": a, "wer": w} for m, a, w in cells]
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    text = shown(folder)
    assert "40.00  30.00  20.00" in text and "–" in text and "█▄▁" in text
    assert f"10 systems; compare them with: asr-transfer compare {folder}" in text.replace("\n", "")


def test_the_command_shows_a_real_run(tone_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(tone_run)]) == 0
    printed = capsys.readouterr().out
    assert "Learning curve" in printed and "train_loss" in printed and "Scores" in printed


def test_damage_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(tmp_path)]) == 1
    assert "is not a run folder" in capsys.readouterr().err
    run = write_run(tmp_path / "run", utterances(3))
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    (run / "run.json").write_text(json.dumps({**record, "history": {}}), encoding="utf-8")
    with pytest.raises(DataError, match="`history` is damaged"):
        show_run(run)
    for name in ("scores", "data", "config", "time", "training", "adaptation"):
        (run / "run.json").write_text(json.dumps({**record, name: 7}), encoding="utf-8")
        assert main(["show", str(run)]) == 1
        error = capsys.readouterr().err
        assert f"`{name}` is damaged" in error and error.count("\n") == 1


HISTORY = [{"step": 10.0, "loss": 2.0, "wer": math.nan}, {"step": 20.0, "loss": 1.0, "wer": 0.5}]


def test_the_curve_is_written_for_tensorboard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorboard", reason="the extra `tensorboard` is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = write_run(tmp_path / "run", utterances(3), history=HISTORY)
    assert main(["show", str(run), "--tensorboard", str(tmp_path / "events")]) == 0
    assert "3 figures written" in capsys.readouterr().out
    found = EventAccumulator(str(tmp_path / "events" / "run"))
    found.Reload()
    assert [(e.step, e.value) for e in found.Scalars("loss")] == [(10, 2.0), (20, 1.0)]
    assert [(e.step, e.value) for e in found.Scalars("wer")] == [(20, 0.5)]


def test_without_tensorboard_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    run = write_run(tmp_path / "run", utterances(3), history=HISTORY)
    assert main(["show", str(run), "--tensorboard", str(tmp_path / "events")]) == 1
    assert "pip install asr-transfer[tensorboard]" in capsys.readouterr().err


@pytest.mark.parametrize("licence", ["of-the-house", None])
def test_a_model_folder_is_shown_with_its_base_and_licence(licence: str | None, tone_run: Path, tmp_path: Path) -> None:
    """A model folder was refused for a run folder that holds no record."""
    folder = tmp_path / "merged"
    shutil.copytree(tone_run / "model", folder)
    if licence is not None:
        update_origin(folder, {BASE: {"name": "of/nobody", "licence": licence}})
    text = shown(folder)
    assert text.startswith("merged\nmodel with the head en") and "written by a run" not in text
    assert ("base model: of/nobody; licence, which binds this model too: of-the-house" in text) is bool(licence)
    assert f"written by a run; show it with: asr-transfer show {tone_run}" in shown(tone_run / "model")


def test_a_published_folder_is_shown(tmp_path: Path) -> None:
    (tmp_path / "w2v").mkdir()
    (tmp_path / "w2v" / "config.json").write_text('{"model_type": "wav2vec2", "architectures": ["Wav2Vec2ForCTC"]}')
    (tmp_path / "w2v" / "README.md").write_text("---\nlicense: mit\n---\n")
    assert "pretrained model with the head main\nbase model: w2v; licence, which binds this model too: mit" in shown(
        tmp_path / "w2v"
    )
