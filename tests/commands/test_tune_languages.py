"""`asr-transfer tune` on one of several heads: its file is what transcribe and evaluate take, language and all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from asr_transfer.cli import main
from asr_transfer.commands.tune import TuneCommand
from asr_transfer.data.manifest import read_manifest, write_manifest
from asr_transfer.errors import ConfigError
from tests.tones import WORDS
from tests.tongues import make_profile, speech_of


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """Return a folder of words by language."""
    folder = tmp_path / "words"
    folder.mkdir()
    (folder / "lexicon.ls.txt").write_text("\n".join(WORDS), encoding="utf-8")
    (folder / "lexicon.lp.txt").write_text("".join(f"{word}\t{' '.join(word)}\n" for word in WORDS), encoding="utf-8")
    (folder / "hotwords.ls.txt").write_text("face\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("head", "options", "adapted"),
    [("ls", ("lexicon", "hotwords"), True), ("ls", ("hotwords",), False), ("lp", ("lexicon",), False)],
)
def test_what_is_tuned_on_a_head_is_what_the_other_commands_do_with_it(
    head: str,
    options: tuple[str, ...],
    adapted: bool,
    tongues: Path,
    words: Path,
    tone_corpus: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, data = tmp_path / "tuned.yaml", tmp_path / "dev.jsonl"
    write_manifest(data, speech_of(head, read_manifest(tone_corpus["dev"])[:12]))
    given = [value for name in options for value in (f"--{name}", str(words))]
    given += ["--profile", str(make_profile(tmp_path / "profile", tongues))] if adapted else []
    call = ["tune", "--model", str(tongues), "--language", head, "--data", str(data), *given]
    assert main([*call, "--search.beam", "20", "--out", str(out)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    values = yaml.safe_load(out.read_text("utf-8"))
    assert values["language"] == head and [values[name] for name in options] == [str(words)] * len(options)
    assert main(["evaluate", "--config", str(out), "--data", str(data), "--out", str(tmp_path / "scores")]) == 0
    scores = json.loads((tmp_path / "scores" / "run.json").read_text("utf-8"))["scores"]["test"]["words"]
    assert f"make {scores['errors']:,} errors in {scores['reference']:,} words" in told
    assert main(["transcribe", "--config", str(out), "--language", head, str(data)]) == 0


def test_weights_belong_to_one_language() -> None:
    with pytest.raises(ConfigError, match="weights are chosen for one language; name it with --language"):
        TuneCommand(model=Path("m"), data=Path("d"), out=Path("o"), lexicon=Path("l"), language="auto")
