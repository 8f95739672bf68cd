"""The corpora of the multilingual recipe: what is there is prepared once, what is absent is named with its mend."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from asr_transfer.data.manifest import read_manifest
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.runs.record import RunRecord
from data_prep import multilingual
from data_prep.fetch import SOURCES as FETCHED
from data_prep.multilingual import SOURCES, TARGETS, prepare_languages
from data_prep.prepare import CORPORA, prepare
from tests.real_runs import ROOT, load
from tests.recorded import MakeAudio, distinct


@pytest.fixture
def make_audio(make_audio: MakeAudio) -> MakeAudio:
    return distinct(make_audio)


@pytest.fixture
def speech(tmp_path: Path, make_audio: MakeAudio, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with German words and Mandarin words; nothing is fetched."""
    monkeypatch.setenv("ASR_TRANSFER_DATA", str(tmp_path / "fetched"))
    german = ["aal", "bär", "chor", "dorf", "esel", "fisch", "gans", "hund", "igel", "jahr", "kuh", "lamm"]
    words = {f"{n}.ogg": text for n, text in enumerate(german)}
    for name in words:
        make_audio(tmp_path / "speech/gcompris-voices/de/words" / name)
    (tmp_path / "speech/gcompris-voices/content-de.json").write_text(json.dumps(words), encoding="utf-8")
    hsk = ["中国", "银行", "一", "天", "一样", "三", "丈夫", "一辈子"]
    for word in hsk:
        make_audio(tmp_path / f"speech/audio-cmn/hsk/cmn-{word}.wav")
    make_audio(tmp_path / "speech/audio-cmn/syllabs/cmn-er2.wav")
    lists = tmp_path / "speech/audio-cmn/lists"
    lists.mkdir()
    (lists / "HSK2012_1.txt").write_text("\n".join(["HSK1", *hsk]), encoding="utf-8")
    return tmp_path / "speech"


def test_what_is_there_is_prepared_once(tmp_path: Path, speech: Path) -> None:
    pytest.importorskip("pypinyin", reason="the extra `mandarin` is not installed")
    said: list[str] = []
    found = prepare_languages(speech, tmp_path / "out", said.append)
    assert (dict(found.sources), dict(found.targets)) == (
        {"gcompris-de": tmp_path / "out/gcompris-de"}, {"hsk": tmp_path / "out/hsk"},
    )  # fmt: skip
    assert found.languages == {"gcompris-de": "de", "hsk": "cmn"}
    assert {u.language for u in read_manifest(found.manifest("hsk", "test"))} == {"cmn"}

    (speech / "gcompris-voices/content-de.json").unlink()
    kept = found.manifest("gcompris-de", "train").read_bytes()
    said.clear()
    again = prepare_languages(None, tmp_path / "out", said.append)
    assert again == found, "manifests that are there are used, whether or not the corpus is"
    assert found.manifest("gcompris-de", "train").read_bytes() == kept
    assert not any("preparing" in line for line in said)


def test_what_is_absent_is_named_with_its_mend(tmp_path: Path, speech: Path) -> None:
    pytest.importorskip("pypinyin", reason="the extra `mandarin` is not installed")
    said: list[str] = []
    prepare_languages(speech, tmp_path / "out", said.append)
    absent = [line for line in said if "is absent and left out; " in line]
    assert len(absent) == len(SOURCES) + len(TARGETS) - 3, "all but the two that are there and the optional one"
    assert "asterisk-en: is absent and left out; get it with `asr-transfer fetch asterisk-en`" in said
    (greek,) = [line for line in absent if line.startswith("artikulate-el: ")]
    assert greek.endswith(f"artikulate-data into {speech / 'artikulate'}")
    assert not any("gcin" in line for line in said)


def test_several_processes_write_and_say_what_one_does(
    tmp_path: Path, speech: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pypinyin", reason="the extra `mandarin` is not installed")
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    seen = {}
    for workers, name in ((1, "one"), (2, "two")):
        found = prepare_languages(speech, tmp_path / name, workers=workers)
        written = {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        }
        seen[name] = list(found.languages), written, capsys.readouterr().out.replace(str(tmp_path / name), "OUT")
    assert seen["one"] == seen["two"] and len(seen["one"][1]) >= 7
    said = seen["one"][2].splitlines()
    begun = [said.index(f"{name}: preparing {speech / below}") for name, below in
             (("gcompris-de", "gcompris-voices"), ("hsk", "audio-cmn"))]  # fmt: skip
    assert begun == sorted(begun) and said[begun[0] + 1].startswith("train: ")

    (speech / "gcompris-voices/content-de.json").write_text("{", encoding="utf-8")
    shutil.rmtree(tmp_path / "two/gcompris-de")  # a single process is left to begin
    mistakes = []
    for workers, name in ((1, "again"), (2, "two")):
        with pytest.raises(DataError, match=r"content-de\.json line 1: is not JSON") as mistake:
            prepare_languages(speech, tmp_path / name, lambda line: None, workers=workers)
        mistakes.append(str(mistake.value))
    assert mistakes[0] == mistakes[1] and "\n" not in mistakes[0]


@pytest.mark.parametrize("given", [True, False])
def test_with_a_source_model_no_source_is_prepared(
    given: bool, tmp_path: Path, speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pypinyin", reason="the extra `mandarin` is not installed")
    recipe = load(ROOT / "recipes" / "multilingual" / "new_speaker.py")
    seen: list[multilingual.Corpora] = []

    def stop(found: multilingual.Corpora, *_: object) -> None:
        seen.append(found)
        raise DataError("That is enough.")

    monkeypatch.setattr(recipe, "find_speakers", stop)
    arguments = ["--out", str(tmp_path / "out"), "--speech", str(speech), "--workers", "1"]
    RunRecord(tmp_path / "model", {}).finish()
    more = ["--source_model", str(tmp_path / "model")] if given else []
    assert recipe.script(recipe.Recipe, recipe.run, [*arguments, *more]) == 1
    assert list(seen[0].targets) == ["hsk"] and list(seen[0].sources) == ([] if given else ["gcompris-de"])
    assert (tmp_path / "out/corpora/gcompris-de").exists() is not given


def test_without_source_or_target_there_is_no_recipe(tmp_path: Path, speech: Path) -> None:
    (speech / "audio-cmn").rename(tmp_path / "elsewhere")
    with pytest.raises(
        DataError,
        match="no target corpus is there; put https://.*audio-cmn into .*, or take another of the 2 named above.$",
    ):
        prepare_languages(speech, tmp_path / "out", lambda line: None)
    (speech / "gcompris-voices").rename(tmp_path / "gone")
    with pytest.raises(
        DataError, match="no source corpus is there; get it with `asr-transfer fetch asterisk-en`, or take another "
    ):
        prepare_languages(speech, tmp_path / "fresh", lambda line: None)
    with pytest.raises(DataError, match="absent: there is no such folder; give the folder of corpora, or none"):
        prepare_languages(tmp_path / "absent", tmp_path / "fresh", lambda line: None)


def test_own_corpora_are_named_by_their_folders(tmp_path: Path, speech: Path) -> None:
    found = prepare_languages(speech, tmp_path / "out", lambda line: None, ["gcompris-de"], ["hsk"])
    mine = tmp_path / "mine"
    for split in ("train", "dev", "test"):
        text = found.manifest("gcompris-de", split).read_text(encoding="utf-8").replace('"de"', '"eu"')
        (mine / f"{split}.jsonl").parent.mkdir(exist_ok=True)
        (mine / f"{split}.jsonl").write_text(text, encoding="utf-8")
    own = prepare_languages(
        None, tmp_path / "again", lambda line: None, [str(found.sources["gcompris-de"])], [str(mine)]
    )
    assert own.languages == {"gcompris-de": "de", "mine": "eu"} and own.targets == {"mine": mine}
    with pytest.raises(
        ConfigError, match="the source corpus 'gcompris-dd' is neither known nor a folder .*gcompris-de"
    ):
        prepare_languages(None, tmp_path / "again", lambda line: None, ["gcompris-dd"], [str(mine)])


def test_a_fetched_corpus_goes_before_a_copy(tmp_path: Path, speech: Path) -> None:
    place = SOURCES["fillets-cs"]
    assert place.find(speech) is None
    (speech / "fillets-cs").mkdir()
    assert place.find(speech) == speech / "fillets-cs" and place.find(None) is None
    (tmp_path / "fetched/fillets-cs").mkdir(parents=True)
    assert place.find(speech) == place.find(None) == tmp_path / "fetched/fillets-cs"


def test_every_corpus_of_the_recipe_is_known() -> None:
    for name, place in {**SOURCES, **TARGETS}.items():
        assert CORPORA[name].language, name
        assert place.fetched in FETCHED if place.fetched else place.below and place.corpus.page
    assert len({CORPORA[name].language for name in SOURCES}) == 15
    assert {CORPORA[name].language for name in TARGETS} == {"cmn"}
    assert set(multilingual.OPTIONAL) <= set(TARGETS)


def test_preparing_by_name(tmp_path: Path, speech: Path) -> None:
    manifests = prepare("gcompris-de", speech / "gcompris-voices", tmp_path / "out")
    assert list(manifests) == ["train", "dev", "test"] and all(path.is_file() for path in manifests.values())
    with pytest.raises(ConfigError, match="there is no corpus 'gcompris-du'. Did you mean 'gcompris-de'"):
        prepare("gcompris-du", speech, tmp_path / "none")
    with pytest.raises(ConfigError, match=r"there is no corpus 'gcompris-du': .*gcompris-voices holds it in de\."):
        prepare("gcompris-du", speech / "gcompris-voices", tmp_path / "none")
    with pytest.raises(ConfigError, match="the corpus 'asterisk-en' is read from disk; say where it lies with --root"):
        prepare("asterisk-en", None, tmp_path / "none")
