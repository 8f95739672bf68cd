"""What cannot be written is refused in one sentence before long work; what stood there stays."""

from __future__ import annotations

import importlib
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from asr_transfer import textfiles
from asr_transfer.cli import main
from asr_transfer.errors import AsrTransferError, ConfigError, DataError


@pytest.fixture
def lexicon(tmp_path: Path) -> Path:
    file = tmp_path / "words.txt"
    file.write_text("one\ttwo\n", encoding="utf-8")
    return file


def _places(folder: Path) -> list[str]:
    """Return places that nobody can write, root neither."""
    (folder / "file").write_text("a file")
    return [str(folder / "file" / "below"), str(folder / ("x" * 300)), "/proc/asr-transfer"]


def _commands(corpus: dict[str, Path], run: Path, lexicon: Path) -> dict[str, list[str]]:
    test, model, words = str(corpus["test"]), str(run / "model"), str(lexicon)
    return {
        "train": ["train", "--train", str(corpus["train"]), "--out"],
        "adapt": ["adapt", "--model", model, "--data", test, "--speaker", "ida", "--out"],
        "evaluate": ["evaluate", "--model", model, "--data", test, "--out"],
        "compare": ["compare", str(run), str(run), "--out"],
        "prepare": ["prepare", "folder", "--root", str(corpus["test"].parent / "wav"), "--out"],
        "synthetic": ["prepare", "synthetic", "--out"],
        "merge": ["profile", "merge", "--model", model, "--profile", model, "--out"],
        "tune": ["tune", "--model", model, "--data", test, "--hotwords", words, "--out"],
        "g2p": ["lexicon", "g2p", words, "--language", "en", "--out"],
        "check": ["lexicon", "check", words, "--model", model, "--map", "--out"],
        "pronounce": ["lexicon", "pronounce", test, "--out"],
        "make": ["lm", "make", "--texts", words, "--out"],
        "words": ["lm", "words", "--texts", words, "--out"],
        "show": ["show", str(run), "--tensorboard"],
        "add": ["lexicon", "add", "--language", "en", "--phones", "o n e", "--", "PLACE", "one"],
    }


def test_every_command_refuses_such_a_place_at_once(
    tone_run: Path,
    tone_corpus: dict[str, Path],
    lexicon: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def loads(*arguments: object, **options: object) -> None:
        raise AssertionError("the work began before the place was tried")

    for work in (
        "asr_transfer.decoding.recogniser.load_model",
        "data_prep.folder.divide",
        "data_prep.synthetic._make_all",
    ):
        monkeypatch.setattr(work, loads)
    commands = _commands(tone_corpus, tone_run, lexicon)
    first, *others = _places(tmp_path)
    for place, names in ((first, list(commands)), *((other, ["evaluate", "g2p"]) for other in others)):
        for name in names:
            words = commands[name]
            command = [place if word == "PLACE" else word for word in words]
            status = main(command if "PLACE" in words else [*words, place])
            told = capsys.readouterr()
            assert status == 1, (name, place, told)
            lines = told.err.strip().split("\n")
            assert len(lines) == 1 and place[:60] in lines[0] and "Traceback" not in lines[0], (name, place, lines)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "words.txt"]


def test_a_file_system_that_may_only_be_read_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(30, "Read-only file system", str(tmp_path))

    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)
    for check in (textfiles.require_writable_file, textfiles.require_writable_folder):
        with pytest.raises(ConfigError, match=r"out: cannot be written \(Read-only file system\); .* another --out"):
            check(tmp_path / "out")


def test_a_recipe_and_a_fetched_corpus(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from data_prep.fetch import fetch

    (place, *_) = _places(tmp_path)
    monkeypatch.setenv("ASR_TRANSFER_DATA", place)
    with pytest.raises(ConfigError, match=r"nothing can be written below it; give another ASR_TRANSFER_DATA"):
        fetch("queen")
    recipe = importlib.import_module("recipes.speaker_adaptation.run")

    with pytest.raises(ConfigError, match="nothing can be written below it; give another --out"):
        recipe.run(recipe.Recipe(corpus="synthetic", out=Path(place)))


@pytest.mark.parametrize("write", [lambda file: textfiles.write_text(file, "new" * 9000)])
def test_a_full_disk_leaves_what_stood_there(
    write: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old")
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    monkeypatch.setattr(textfiles, "beside", lambda target, what: Path("/dev/full"))
    with pytest.raises(DataError, match=r"a\.txt: cannot be written \(No space left on device\); free space"):
        monkeypatch.setattr(Path, "unlink", lambda path, missing_ok=False: None)
        write(file)
    assert file.read_text() == "old"


def test_devices_and_links_stay_what_they_are(tmp_path: Path) -> None:
    for device in ("/dev/null", "/dev/full"):
        if not Path(device).exists():
            continue
        if device == "/dev/full":
            with pytest.raises(DataError, match=r"/dev/full: cannot be written \(No space left"):
                textfiles.write_text(device, "x" * 100_000)
        else:
            textfiles.require_writable_file(device)
            textfiles.write_text(device, "x")
        assert stat.S_ISCHR(os.stat(device).st_mode)
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("real.txt")
    textfiles.write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink() and (tmp_path / "real.txt").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.txt", "real.txt"]


def test_a_failing_writer_leaves_nothing_and_a_killed_ones_leftovers_go(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text("{}")
    with pytest.raises(ZeroDivisionError), textfiles.writing(file) as out:
        out.write(str(1 / 0))
    child = os.fork()
    if not child:
        with textfiles.writing(file) as out:
            out.write("half")
            os._exit(9)
    os.waitpid(child, 0)
    assert len(list(tmp_path.iterdir())) == 2 and file.read_text() == "{}"
    alive = tmp_path / f".a.json.partial-{textfiles._HOST}-{os.getppid()}"
    alive.write_text("of another process")
    textfiles.write_text(file, json.dumps({"a": 1}))
    assert json.loads(file.read_text()) == {"a": 1} and set(tmp_path.iterdir()) == {file, alive}


def test_what_may_not_be_read_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.txt"

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    file.write_text("x")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(AsrTransferError, match=r"a\.txt: may not be read \(permission denied\)"):
        textfiles.read_text(file)


def test_lines_end_where_editors_end_them(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes("\ufeffone\r\ntwo\u2028still\u0085two\x0b\nthree".encode())
    assert textfiles.read_lines(file) == ["one", "two\u2028still\u0085two\x0b", "three"]
    for data, message in (
        (b"a\ncaf\xe9\n", r"line 2: is not UTF-8 text \(byte 5 is 0xe9\)"),
        ("a".encode("utf-16"), "is UTF-16; save it as UTF-8"),
    ):
        file.write_bytes(data)
        with pytest.raises(DataError, match=message):
            textfiles.read_text(file)
