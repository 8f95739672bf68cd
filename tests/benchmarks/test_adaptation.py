"""The benchmark of adaptation runs, on a tiny model: both sides do the work that it says they do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from asr_transfer.adaptation.adapt import adapt
from asr_transfer.adaptation.methods import METHODS
from asr_transfer.config import FeatureConfig, ModelConfig
from asr_transfer.data.manifest import write_manifest
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.runs.record import read_record
from benchmarks import adaptation, adaptation_sharing
from tests.small import MELS
from tests.spaces import STARTS
from tests.tones import make_speaker


@pytest.fixture
def speech(tmp_path: Path) -> dict[str, Path]:
    """Return a tiny model's folder and the manifest of two speakers, as options of the benchmark."""
    made = [u for number, name in enumerate(("ann", "bob")) for u in make_speaker(tmp_path, name, 1.0, 5, number)]
    write_manifest(tmp_path / "all.jsonl", made)
    tokens = Tokens.from_texts(u.text for u in made)
    torch.manual_seed(0)
    config = ModelConfig("tdnn", 2, dim=8, channels=8, features=FeatureConfig(mels=MELS))
    Recogniser(AcousticModel(config, {"en": len(tokens)}), tokens, "en", {}).save(tmp_path / "model", "", {})
    return {"model": tmp_path / "model", "data": tmp_path / "all.jsonl"}


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the methods of the adaptations that the naive side and the last step made, growing."""
    methods: list[str] = []

    def count(*args: Any, **options: Any) -> Any:
        methods.append(args[2])
        return adapt(*args, **options)

    monkeypatch.setattr(adaptation, "adapt", count)
    return methods


def test_a_quick_run_measures_both_sides(speech: dict[str, Path], counted: list[str], tmp_path: Path) -> None:
    out = tmp_path / "figures" / "adaptation"
    adaptation.main(
        **speech, utterances=4, source_utterances=3, methods=("head",), sharing=False, quick=True, steps=2, out=out
    )
    values = read_record(out)
    figures = values["scores"]
    assert [len(table["rows"]) for table in values["tables"]["costs"]] == [1, 6, 4]
    (row,) = figures["methods"]
    assert row["method"] == "head" and row["cpu_seconds"] > 0 and 0 < row["profile_kb"] < 5
    assert row["peak_mb"] is None or row["peak_mb"] > row["growth_mb"] > 0
    alone, replayed = figures["auto"].values()
    # What is unlikely to be chosen is not trained on every fold.
    assert 2 * 2 <= alone["trainings"] <= 2 * 3 and alone["naive_trainings"] == 2 * 2 * 3
    assert alone["ratio"] == pytest.approx(alone["naive"] / (alone["features"] + alone["choosing"]))
    assert 2 * 2 <= replayed["trainings"] <= 2 * 3 and replayed["naive"] is None
    # Naive trainings, and for each of the two runs one that warms up and the last one.
    assert len(counted) == 2 * 2 * 3 + 2 * 2
    assert sum(method.endswith("+replay") for method in counted) == 2


def test_sharing_is_measured_beside_everything_anew(
    speech: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ways: list[tuple[str, bool]] = []

    def count(*args: Any, shared: Any, **options: Any) -> Any:
        ways.append((args[2], adapt(*args, shared=shared, **options).depth > 0))
        return adapt(*args, shared=shared, **options)

    monkeypatch.setattr(adaptation_sharing, "adapt", count)
    monkeypatch.setattr(adaptation_sharing, "ROUNDS", 1)
    out = tmp_path / "figures"
    options: dict[str, Any] = {"methods": (), "auto": False, "naive": False, "quick": True, "steps": 2, "out": out}
    adaptation.main(**speech, utterances=4, source_utterances=0, **options)
    figures = read_record(out)["scores"]["sharing"]
    assert [row["what"] for row in figures["rows"][:-1]] == list(adaptation_sharing.SHARING)
    assert ways[:4] == [("head", True), ("head", False), ("head", True), ("head", True)]
    assert {frozen for method, frozen in ways if method == "kld"} == {False}
    assert figures["auto"]["candidates"] == list(adaptation_sharing.DEEP)
    printed = capsys.readouterr().out
    assert "shared with others" in printed and "choice: last-layers, head, kld" in printed


def test_sides_that_disagree_are_not_compared(speech: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The naive side's models are spoilt, which its errors must give away."""

    def spoilt(*args: Any, **options: Any) -> Any:
        adapted = adapt(*args, **options)
        with torch.no_grad():
            adapted.recogniser.model.head("en").weight.mul_(-3)  # type: ignore[union-attr,operator]
        return adapted

    monkeypatch.setattr(adaptation, "adapt", spoilt)
    with pytest.raises(RuntimeError, match="the naive side"):
        adaptation.main(**speech, utterances=4, source_utterances=0, methods=(), sharing=False, quick=True, steps=2)


def test_the_default_model_needs_no_training_and_every_method_is_measured(tmp_path: Path) -> None:
    place, what = adaptation.prepare(None, None, None, 3, 2, adaptation.AdaptConfig(steps=1, device="cpu"), tmp_path)
    source, own, more = place.load()
    assert "untrained" in what and source.model.config == ModelConfig()
    assert (len(own), len(more)) == (3, 2) and not {u.speaker for u in own} & {u.speaker for u in more}
    unlearnt = {"none", "suta", "warp", "warp-untranscribed", "film", "adabn", *STARTS}
    assert set(adaptation.TRAINED) == set(METHODS) - unlearnt


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ("ful",)}, "full"),
        ({"model": Path("somewhere")}, "--data"),
        ({"root": Path("a"), "data": Path("b")}, "give one"),
        ({"root": Path("nowhere")}, "nowhere"),
        ({"utterances": 1}, "at least 2"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        adaptation.main(**{"methods": (), "auto": False, "sharing": False, **options})
