"""The folder of an export: what it must not replace, what stands in its record, and what is refused before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from asr_transfer.deployment import ExportOptions, export
from asr_transfer.errors import ConfigError, ModelError
from tests.deployment.models import acoustic, source

pytest.importorskip("onnxruntime")


def test_the_record_names_files_options_and_checks(tmp_path: Path) -> None:
    done = export(source(acoustic("tdnn"), tmp_path), "onnx", tmp_path / "out", ExportOptions())
    record = json.loads((tmp_path / "out" / "export.json").read_text(encoding="utf-8"))
    assert record["target"] == done.target == "onnx" and record["model"] == "my_model" and record["head"] == "en"
    assert set(record["files"]) == {"model.onnx", "features.onnx", "tokens.txt"} and record["options"]["int8"] is False
    assert record["check"] == done.check and record["versions"]["torch"]


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    out, made = tmp_path / "out", source(acoustic("tdnn"), tmp_path)
    out.mkdir()
    (out / "diary.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(ModelError, match=r"out: holds other files \(diary.txt\)"):
        export(made, "onnx", out, ExportOptions())
    (out / "diary.txt").unlink()
    export(made, "onnx", out, ExportOptions())
    with pytest.raises(ModelError, match="already holds an export; give --overwrite"):
        export(made, "onnx", out, ExportOptions())
    export(made, "onnx", out, ExportOptions(), overwrite=True)
    (out / "diary.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(ModelError, match=r"other things than an export \(diary.txt\)"):
        export(made, "onnx", out, ExportOptions(), overwrite=True)
    assert (out / "diary.txt").is_file()


def test_a_damaged_record_is_no_licence_to_overwrite(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "export.json").write_text("[]", encoding="utf-8")
    with pytest.raises(ModelError, match=r"holds a damaged export\.json"):
        export(source(acoustic("tdnn"), tmp_path), "onnx", out, ExportOptions(), overwrite=True)


def test_unknown_targets_and_options_are_refused(tmp_path: Path) -> None:
    made = source(acoustic("tdnn"), tmp_path)
    with pytest.raises(ConfigError, match="`to` is 'onx', .* Did you mean 'onnx'"):
        export(made, "onx", tmp_path / "out", ExportOptions())
    with pytest.raises(ConfigError, match="`adapters` is nothing that --to onnx can write"):
        export(made, "onnx", tmp_path / "out", ExportOptions(adapters=True))


def test_an_extra_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(ConfigError, match=r"--to onnx needs onnx .*: pip install 'asr-transfer\[export\]'"):
        export(source(acoustic("tdnn"), tmp_path), "onnx", tmp_path / "out", ExportOptions())
    assert list(tmp_path.iterdir()) == []
