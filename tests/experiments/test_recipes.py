"""`asr-transfer recipes`: every script with its commands and needs, from the scripts, pages and settings themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer.cli import main
from asr_transfer.errors import DataError
from asr_transfer.experiments.recipes import commands, listing

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def test_every_recipe_is_listed_with_its_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASR_TRANSFER_DATA", str(tmp_path))
    (tmp_path / "queen").mkdir()
    (tmp_path / "an4/etc").mkdir(parents=True)
    assert main(["recipes", "--folder", str(RECIPES), "--speech", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    for script in RECIPES.glob("*/*.py"):
        assert f"{script.parent.name}/{script.name}: " in shown
        assert list(commands(script)), f"{script} has no command on its page"
    assert f"  queen: is in {tmp_path / 'queen'}\n" in shown and f"  an4: is in {tmp_path / 'an4'}\n" in shown
    assert "  fillets-nl: get it with `asr-transfer fetch fillets-nl`\n" in shown
    assert (
        "  speaker_adaptation/an4_scratch: For `asr-transfer train`: AN4 from scratch in about 300 CPU-seconds.\n"
        in shown
    )
    for file in RECIPES.glob("*/hparams/*.yaml"):
        assert f"  {file.stem}: " in shown or f"/{file.stem}: " in shown or file.name in shown


def test_the_recipes_of_the_current_folder_go_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(RECIPES.parent)
    assert main(["recipes"]) == 0
    assert "    python recipes/speaker_adaptation/run.py --config recipes/" in capsys.readouterr().out


def test_what_a_command_needs_is_read_from_its_settings(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    (folder / "hparams").mkdir(parents=True)
    (folder / "run.py").write_text('"""Ask one thing\nof speech.\n\nMore."""\n')
    (folder / "hparams/a.yaml").write_text(
        "# The\n# first. Not the second.\ncorpus: an4\nlearn_from: [queen, asterisk-en]\n"
    )
    (folder / "hparams/b.yaml").write_text("# The second, over a.yaml.\nlearn_from: [fsdd, data/mine]\n")
    start, hparams = ".venv/bin/python recipes/one/run.py", "recipes/one/hparams"
    blocks = [
        f"{start} --config {hparams}/a.yaml --out runs/a",
        f"{start} --config {hparams}/a.yaml --config {hparams}/b.yaml --source runs/a/model --out runs/b",
        f"{start} --speech speech --out runs/c",
    ]
    (folder / "README.md").write_text("text\n```sh\n" + "\n".join(blocks) + "\n```\n")
    first, second, third = commands(folder / "run.py")
    assert (first.what, first.needs) == ("a: The first.", "an4, queen, asterisk-en")
    assert (second.what, second.needs) == ("b: The second, over a.yaml.", "an4, fsdd, data/mine, runs/a/model")
    assert third.needs == "all corpora of several languages that are there"
    assert listing(tmp_path).startswith("one/run.py: Ask one thing of speech.\n")
    (folder / "hparams/b.yaml").write_text("a: [")
    with pytest.raises(DataError, match=r"b\.yaml: cannot be read as settings"):
        listing(tmp_path)
    with pytest.raises(DataError, match="holds no recipe FOLDER/NAME.py; run this in the repository"):
        listing(tmp_path / "one")
