"""A point, a source model or a fold whose data have changed is not taken for the one that is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asr_transfer.data.manifest import Utterance, read_manifest, write_manifest
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.experiments.core.jobs import run_job
from asr_transfer.experiments.languages import points, sources
from asr_transfer.experiments.languages.points import Corpora, Point, TrainPoint
from asr_transfer.experiments.languages.sources import SourceModel, TrainSource
from asr_transfer.experiments.speakers import sources as of_speakers
from asr_transfer.experiments.speakers import workshop
from asr_transfer.experiments.speakers.config import ExperimentConfig
from asr_transfer.experiments.speakers.protocol import Fold
from asr_transfer.experiments.speakers.sources import TrainFold
from asr_transfer.experiments.speakers.workshop import Workshop
from tests.language_sweeps import NETWORK, learning, source_config


def _begun(*arguments: object, **options: object) -> Any:
    raise DataError("all is ready to begin.")


def _manifest(folder: Path, name: str) -> Path:
    path = folder / f"{name}.jsonl"
    write_manifest(path, [Utterance(f"{name}{n}", f"{n}.wav", 2.0, text, "ann", "en") for n, text in enumerate("abc")])
    return path


def _point(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Callable[[], object], list[Path], Path]:
    monkeypatch.setattr(points, "target_store", lambda *arguments: None)
    monkeypatch.setattr(points, "learn_language", _begun)
    manifests = [_manifest(folder, name) for name in ("train", "dev", "test")]
    corpora = Corpora({}, *({name: str(path)} for name, path in zip("abc", manifests, strict=True)))
    job = TrainPoint(corpora, Point("s", 0.1, 0, None, learning(mode="scratch", model=NETWORK)), (0.1,))
    return lambda: run_job(folder, job), manifests, folder / "points" / "s-0.1-0"


def _source(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Callable[[], object], list[Path], Path]:
    monkeypatch.setattr(sources, "source_store", lambda *arguments: None)
    monkeypatch.setattr(sources, "train_source", _begun)
    manifests = [_manifest(folder, name) for name in ("one", "two")]
    corpora = Corpora({path.stem: str(path) for path in manifests})
    job = TrainSource(corpora, SourceModel("all-0", (), None, source_config()))
    return lambda: run_job(folder, job), manifests, folder / "sources" / "all-0"


def _fold(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Callable[[], object], list[Path], Path]:
    monkeypatch.setattr(Workshop, "store", lambda self: None)
    monkeypatch.setattr(of_speakers, "train_source", _begun)
    manifest = _manifest(folder, "train")
    shop = Workshop({"train": str(manifest)}, str(folder), ExperimentConfig())

    def train() -> None:
        workshop._utterances.cache_clear()
        run_job(folder, TrainFold(shop, Fold("si", ("train0", "train1", "train2"), (), (), ())))

    return train, [manifest], folder / "models" / "si"


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize("kind", [_point, _source, _fold])
def test_other_data_are_refused(
    kind: Callable[..., tuple[Callable[[], object], list[Path], Path]],
    finished: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train, manifests, folder = kind(tmp_path, monkeypatch)
    with pytest.raises(DataError, match="all is ready"):
        train()
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert record["data"], "noted before anything is trained"
    if finished:
        (folder / "run.json").write_text(json.dumps({**record, "status": "finished"}), encoding="utf-8")
        train()
    for manifest in manifests:
        before = read_manifest(manifest)
        write_manifest(manifest, [replace(u, text="c") for u in before])
        with pytest.raises(ConfigError, match=r"cannot be resumed, for the content of `.*` has changed"):
            train()
        write_manifest(manifest, before)
    if finished:
        train()
