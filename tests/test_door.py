"""The package's own functions: they take what the commands take, and their examples run."""

from __future__ import annotations

import dataclasses
import doctest
import inspect
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_origin, get_type_hints

import pytest

import asr_transfer as at
from asr_transfer import ranges
from asr_transfer.commands.adapt import AdaptCommand
from asr_transfer.commands.compare import CompareCommand
from asr_transfer.commands.evaluate import EvaluateCommand
from asr_transfer.commands.export import ExportCommand
from asr_transfer.commands.learn import LearnCommand
from asr_transfer.commands.options import ListenOptions
from asr_transfer.errors import ConfigError, ModelError
from asr_transfer.runs.lock import FILE as LOCK
from tests.learning import in_folder, speech
from tests.tones import make_speaker

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture
def folder(tone_run: Path, tone_corpus: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder, which is the current one, with a model, recordings with transcripts and a new recording."""
    shutil.copytree(tone_run, tmp_path / "my_model")
    for utterance in make_speaker(tmp_path / "raw", "me", 1.1, 6, seed=5):
        target = tmp_path / "my_recordings" / Path(utterance.audio).name
        target.parent.mkdir(exist_ok=True)
        shutil.move(utterance.audio, target)
        target.with_suffix(".txt").write_text(utterance.text, encoding="utf-8")
    shutil.copy(next((tmp_path / "my_recordings").glob("*.wav")), tmp_path / "new.wav")
    in_folder(tmp_path / "my_language", speech(tmp_path / "raw", "mk", 120, 1, seed=6))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("function", "options", "other"),
    [
        (at.load, ListenOptions, set()),
        (at.adapt, AdaptCommand, set()),
        (at.evaluate, EvaluateCommand, set()),
        (at.export, ExportCommand, set()),
        (at.learn, LearnCommand, set()),
        # The runs stand on the command line without a name; the old name of an option is no name of ours.
        (at.compare, CompareCommand, {"runs", "profile"}),
    ],
)
def test_functions_take_the_options_of_their_commands(
    function: Callable[..., Any], options: type[Any], other: set[str]
) -> None:
    def parameters(of: Callable[..., Any]) -> dict[str, tuple[str, Any]]:
        found = inspect.signature(of).parameters.values()
        return {one.name: (_plain(str(one.annotation)), one.default) for one in found if one.name not in other}

    declared = parameters(options)
    for field in dataclasses.fields(options):
        if field.default_factory is not dataclasses.MISSING:
            declared[field.name] = (declared[field.name][0], field.default_factory())
    assert parameters(function) == declared
    assert (other & {"runs"}) <= set(inspect.signature(function).parameters)


def _plain(annotation: str) -> str:
    """Return an annotation without ranges, and without what the functions take besides: a text for a place."""
    annotation = re.sub(r"\bstr \| Path\b", "Path", annotation)
    return re.sub(r"\w+", lambda name: _RANGES.get(name[0], name[0]), annotation)


_RANGES = {
    name: {int: "int", float: "float"}.get(kind, str(kind))
    for name, kind in get_type_hints(
        type("Named", (), {"__annotations__": {n: k for n, k in vars(ranges).items() if get_origin(k) is Annotated}})
    ).items()
}
"""The plain types that named ranges are of."""


def test_the_examples_of_the_docstrings_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checker, known = doctest.OutputChecker(), dict[str, Any]()
    for function in (at.adapt, at.load, at.evaluate, at.compare, at.learn, at.export):
        if function is at.compare:
            shutil.copytree("my_scores", "other_scores")
        examples = doctest.DocTestParser().get_examples(inspect.getdoc(function) or "")
        assert len(examples) >= 2, function
        for example in examples:
            shown: list[str] = []
            monkeypatch.setattr(sys, "displayhook", lambda value, shown=shown: shown.append(f"{value!r}\n"))
            exec(compile(example.source, function.__name__, "single"), known)
            assert checker.check_output(example.want, "".join(shown), doctest.ELLIPSIS), (example.source, shown)
    assert (
        (folder / "my_voice" / "model").is_dir()
        and (folder / "my_new_model" / "model").is_dir()
        and (folder / "report" / "report.html").is_file()
    )


def test_the_example_files_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(name: str, *words: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *words])
        runpy.run_path(str(EXAMPLES / name))
        return capsys.readouterr().out

    calls = {
        "transcribe.py": (["my_model", "new.wav"], r"new\.wav: [a-f ]+\n"),
        "adapt.py": (["my_model", "my_recordings", "my_voice", "new.wav"], r"before: [a-f ]+\nafter: +[a-f ]+\n"),
        "learn.py": (["my_model", "my_language", "mk", "my_new_model", "new.wav"], r"mk: [а-е ]+\n"),
        "evaluate.py": (["my_model", "my_recordings", "my_scores"], r"\d+ errors in \d+ words: WER \d+\.\d%, CER"),
        "export.py": (["my_voice", "onnx", "my_product"], r"The graph was held against the model .*\n"),
        "compare.py": (["report", "my_scores", "others"], r"my_scores: \d+\.\d%\nothers: \d+\.\d%\n"),
    }
    assert set(calls) == {path.name for path in EXAMPLES.iterdir() if path.suffix == ".py"}
    for name, (words, told) in calls.items():
        if name == "compare.py":
            run("evaluate.py", "my_voice", "my_recordings", "others")
        assert re.search(told, run(name, *words)), name
        assert (EXAMPLES / name).read_text(encoding="utf-8").count("\n") <= 10, name


def test_the_package_is_loaded_at_once_and_its_functions_late() -> None:
    code = (
        "import sys, asr_transfer as at; assert {'adapt', 'compare', 'evaluate', 'export', 'load'} <= set(dir(at));"
        "assert not {'torch', 'numpy', 'jsonargparse'} & set(sys.modules); at.load; assert 'torch' in sys.modules"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    with pytest.raises(AttributeError, match="no attribute 'adpat'"):
        at.adpat  # type: ignore[attr-defined]  # noqa: B018


def test_a_recogniser_listens_in_one_language(folder: Path) -> None:
    with pytest.raises(ConfigError, match="load the model once for each"):
        at.load("my_model", language="auto")
    with pytest.raises(ConfigError, match="`sentences` are made of a lexicon's words"):
        at.load("my_model", sentences=True)


def test_a_failed_call_lets_go_of_the_run_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook goes on after an error; another process must then be able to work in the folder."""
    monkeypatch.setattr("asr_transfer.commands.evaluate.write_scores", _fail)
    with pytest.raises(ModelError, match="broken on purpose") as kept:  # as a notebook keeps the last error
        at.evaluate("my_model", "my_recordings", "my_scores")
    assert kept.tb is not None
    assert (folder / "my_scores" / "run.json").is_file() and not (folder / "my_scores" / LOCK).exists()


def _fail(*arguments: object) -> None:
    raise ModelError("broken on purpose")
