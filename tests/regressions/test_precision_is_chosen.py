"""`auto` trains in the precision that is faster here: measured once, remembered, said, recorded, and kept by a run."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from asr_transfer.adaptation.settings import AdaptConfig
from asr_transfer.cli import main
from asr_transfer.config import ModelConfig, SourceConfig, TrainerConfig
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError
from asr_transfer.experiments.languages import sweep
from asr_transfer.experiments.languages.points import Corpora, Point, TrainPoint
from asr_transfer.experiments.languages.sources import SourceModel, TrainSource
from asr_transfer.languages.config import LanguageConfig
from asr_transfer.models.contract import SequenceModel
from asr_transfer.training import precision
from asr_transfer.training.objective import TrainedObjective
from asr_transfer.training.precision import choose, settle
from asr_transfer.training.trainer import Trainer
from tests.deployment.models import made
from tests.models.pretrained.whole_whisper import write_whisper
from tests.small import ToySpeech, different, in_child, settings, small_model, snapshot, speech_task
from tests.tones import TINY

TDNN = ModelConfig("tdnn", 2, dim=16, channels=16)


class Machine:
    """A machine on which bf16 is so many times as fast as fp32; it counts how often that is measured."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
        self.speed, self.measured = 0.65, 0
        monkeypatch.delenv(precision.VARIABLE, raising=False)
        monkeypatch.setenv("ASR_TRANSFER_CACHE", str(cache))
        monkeypatch.setattr(precision, "_remembered", {})
        monkeypatch.setattr(precision, "measure", self._measure)

    def _measure(self, *arguments: Any) -> float:
        self.measured += 1
        return self.speed

    def begin_again(self, speed: float) -> None:
        """Be another machine, with nothing remembered."""
        self.speed = speed
        precision._remembered.clear()
        (Path(os.environ["ASR_TRANSFER_CACHE"]) / precision.FILE).unlink(missing_ok=True)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    """Return a machine whose speed the test sets."""
    return Machine(monkeypatch, tmp_path / "cache")


def test_auto_is_the_default() -> None:
    assert TrainerConfig().precision == AdaptConfig().precision == LanguageConfig().trainer.precision == "auto"


@pytest.mark.parametrize(
    ("speed", "taken"), [(0.65, "fp32"), (0.1, "fp32"), (1.0, "fp32"), (1.01, "fp32"), (1.05, "bf16"), (1.6, "bf16")]
)
def test_the_faster_is_taken_and_the_exact_one_where_both_are_equal(machine: Machine, speed: float, taken: str) -> None:
    machine.speed = speed
    found = choose(TDNN)
    assert (found.precision, str(found)) == (taken, f"precision: {taken} (bf16 is {speed:.2f} times as fast here)")


def test_it_is_measured_once_for_a_kind_of_model(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(TDNN).precision == choose(TDNN).precision == "fp32" and machine.measured == 1
    precision._remembered.clear()  # as another process would begin
    assert choose(TDNN).precision == "fp32" and machine.measured == 1
    choose(ModelConfig("bilstm", 2, dim=16, channels=16))
    assert machine.measured == 2
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    choose(TDNN)
    assert machine.measured == 3, "another processor, as it were"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}', "\x00"])
def test_a_damaged_memory_is_measured_again(machine: Machine, tmp_path: Path, content: str) -> None:
    choose(TDNN)
    precision._remembered.clear()
    (tmp_path / "cache" / precision.FILE).write_text(content, encoding="utf-8")
    assert choose(TDNN).precision == "fp32" and machine.measured == 2
    assert len(json.loads((tmp_path / "cache" / precision.FILE).read_text(encoding="utf-8"))) >= 1


@pytest.mark.parametrize("value", ['"fast"', "null", "true", "-1", "NaN", "1e9"])
def test_a_figure_that_cannot_be_is_measured_again(machine: Machine, tmp_path: Path, value: str) -> None:
    choose(TDNN)
    file = tmp_path / "cache" / precision.FILE
    file.write_text(file.read_text(encoding="utf-8").replace("0.65", value), encoding="utf-8")
    precision._remembered.clear()
    assert choose(TDNN).precision == "fp32" and machine.measured == 2


def test_a_cache_that_cannot_be_written_is_done_without(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file", encoding="utf-8")
    assert choose(TDNN).precision == choose(TDNN).precision == "fp32" and machine.measured == 1


def test_the_variable_answers_for_the_measurement(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    for told in ("fp32", "bf16"):
        monkeypatch.setenv(precision.VARIABLE, told)
        assert choose(TDNN).precision == told
        assert str(choose(TDNN)) == f"precision: {told} (as ASR_TRANSFER_PRECISION says)"
    monkeypatch.setenv(precision.VARIABLE, "fp16")
    with pytest.raises(ConfigError, match="ASR_TRANSFER_PRECISION is 'fp16'; set it to fp32 or bf16"):
        choose(TDNN)
    assert settle(None, "bf16", TDNN, "cpu") == "bf16", "what is asked for is taken"
    assert machine.measured == 0


def test_a_real_measurement_is_a_ratio_and_takes_no_random_numbers() -> None:
    state, begin = torch.get_rng_state(), time.process_time()
    assert 0 < precision.measure(TDNN, 4) < 100
    assert time.process_time() - begin < 10, "a second on a usual processor"
    assert torch.equal(torch.get_rng_state(), state)


def test_a_model_that_writes_its_text_is_measured_on_a_few_tokens_as_it_is_trained(tmp_path: Path) -> None:
    """Its head has thousands of outputs; over all frames of its windows it once took minutes, before anything else."""
    write_whisper(tmp_path / "whisper")
    model = Recogniser.load(tmp_path / "whisper", None).model
    assert isinstance(model, SequenceModel)
    asked: list[int] = []
    outer = model.answered

    def noted(hidden: torch.Tensor, *arguments: Any) -> Any:
        vectors, lengths = outer(hidden, *arguments)
        asked.append(vectors.shape[:2].numel())
        return vectors, lengths

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(model), "answered", lambda self, *arguments: noted(*arguments))
        assert 0 < precision.measure(model, 16) < 100
    assert len(asked) >= 3 and asked[0] <= 16 < model.window / model.inputs.shift


class _Stop(TrainedObjective):
    def __init__(self, at: int) -> None:
        super().__init__()
        self.at, self.calls = at, 0

    def forward(self, model: Any, outputs: Any) -> torch.Tensor:
        """Stop at a step."""
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt
        return torch.zeros(())


def _train(folder: Path | None, stop: int = 0) -> tuple[dict[str, torch.Tensor], str]:
    model = small_model(1, "bilstm", dropout=0.2)
    config = settings(precision="auto", steps=8, optimizer="adamw", checkpoint_every=1)
    trainer = Trainer(model, [speech_task(ToySpeech())], [(1.0, _Stop(stop))], config=config, folder=folder)
    trainer.train()
    return snapshot(model), trainer.config.precision


def test_a_resumed_run_keeps_its_precision_wherever_it_goes_on(machine: Machine, tmp_path: Path) -> None:
    machine.speed = 1.5
    whole, taken = _train(None)
    assert taken == "bf16"
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "run", stop=4)
    machine.begin_again(0.5)
    resumed, taken = _train(tmp_path / "run")
    assert taken == "bf16" and not different(resumed, whole)
    assert different(_train(None)[0], whole), "the other precision would have given other bits"


@pytest.fixture
def stopped(
    machine: Machine,
    tone_corpus: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> list[str]:
    """Return the command of a training that was stopped as it began, on a machine that then became another."""
    command = ["train", "--train", str(tone_corpus["dev"]), "--out", str(tmp_path / "run"), *TINY,
               "--trainer.steps", "2"]  # fmt: skip

    def stop(trainer: Trainer) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "train", stop)
        assert main(command) == 130
    assert capsys.readouterr().out.count("precision: fp32 (bf16 is 0.65 times as fast here)") == 1
    machine.begin_again(1.5)
    return command


def test_train_records_what_was_asked_and_taken_and_says_it_once(
    stopped: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train, seen = Trainer.train, []
    monkeypatch.setattr(Trainer, "train", lambda trainer: (seen.append(trainer.config.precision), train(trainer))[1])
    assert main([*stopped, "--resume"]) == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    noted = dict(record["precision"])
    assert noted.pop("processor") and seen == ["fp32"], "where the figures are from"
    assert noted == {"asked": "auto", "taken": "fp32", "bf16_speed": 0.65}
    assert record["config"]["trainer"]["precision"] == "auto"
    assert "precision:" not in capsys.readouterr().out


def test_another_run_on_another_machine_takes_another_precision(
    stopped: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*stopped, "--overwrite"]) == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert record["precision"]["taken"] == "bf16"
    assert "precision: bf16 (bf16 is 1.50 times as fast here)" in capsys.readouterr().out


def test_all_that_adapt_tries_is_trained_alike(
    machine: Machine, tone_run: Path, tone_corpus: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    begin = Trainer.__init__

    def spying(trainer: Trainer, *arguments: Any, **options: Any) -> None:
        begin(trainer, *arguments, **options)
        seen.append(trainer.config.precision)
        machine.begin_again(0.5)  # what is measured now would be otherwise

    monkeypatch.setattr(Trainer, "__init__", spying)
    machine.speed = 1.5
    command = ["adapt", "--model", str(tone_run), "--data", str(tone_corpus["test"]), "--speaker", "ida",
               "--utterances", "3", "--out", str(tmp_path / "ida"), "--steps", "1", "--choice.folds", "2"]  # fmt: skip
    assert main(command) == 0
    assert len(seen) > 2 and set(seen) == {"bf16"}
    record = json.loads((tmp_path / "ida" / "run.json").read_text(encoding="utf-8"))
    assert record["precision"]["taken"] == "bf16" and record["config"]["precision"] == "auto"


def _planned(asked: str) -> tuple[list[Any], list[Any]]:
    corpora = Corpora({}, {}, {}, {})
    job = SourceModel("xx", (), None, SourceConfig(TDNN))
    learn = LanguageConfig(trainer=TrainerConfig(precision=asked, steps=3))  # type: ignore[arg-type]
    points = [TrainPoint(corpora, Point("all", 1, seed, "xx", learn), (1.0,)) for seed in (0, 1)]
    return [TrainSource(corpora, job)], points


@pytest.mark.parametrize("asked", ["auto", "bf16"])
def test_all_models_of_a_sweep_are_trained_alike(machine: Machine, asked: str, tmp_path: Path) -> None:
    lines: list[str] = []
    sources, points = sweep._precise(tmp_path, *_planned(asked), lines.append)
    taken = "fp32" if asked == "auto" else "bf16"
    assert {job.source.config.trainer.precision for job in sources} == {taken}
    assert {job.point.config.trainer.precision for job in points} == {taken}
    assert [job.point.config.trainer.steps for job in points] == [3, 3]
    assert len(lines) == machine.measured == (asked == "auto")
    machine.begin_again(1.5)
    again, _ = sweep._precise(tmp_path, *_planned(asked), lines.append)
    assert again == sources and len(lines) == (asked == "auto"), "a sweep that is resumed goes on as it began"


def _rank(folder: Path, rank: int, port: int) -> None:
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()})
    os.environ[precision.VARIABLE] = ("fp32", "bf16")[1 - rank]
    trainer = Trainer(small_model(1), [speech_task()], config=settings(precision="auto"), folder=folder / "run")
    (folder / str(rank)).write_text(trainer.config.precision, encoding="utf-8")
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("kind", ["bilstm", "tdnn", "conformer", "whisper", "wav2vec2"])
def test_every_kind_of_network_is_measured_on_this_processor(kind: str) -> None:
    assert 0 < precision.measure(made(kind), 2) < 100


def test_several_processes_take_the_first_one_s_precision(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = [in_child(_rank, tmp_path, rank, port) for rank in (0, 1)]
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0]
    assert [(tmp_path / str(rank)).read_text(encoding="utf-8") for rank in (0, 1)] == ["bf16", "bf16"]


def test_a_training_on_a_graphics_card_is_recorded_as_made_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(precision.VARIABLE)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"Card of {device}")
    assert precision.settle(tmp_path, "auto", None, "cuda:1") == "bf16"
    assert json.loads((tmp_path / precision.FILE).read_text(encoding="utf-8"))["processor"] == "Card of cuda:1"
