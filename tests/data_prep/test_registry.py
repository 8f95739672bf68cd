"""The registry of corpora: it holds every module that declares one, and finds any language that a folder holds."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

import data_prep
from asr_transfer.cli import main
from asr_transfer.data.manifest import read_manifest
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.remarks import Remark
from data_prep import gcompris, registry
from data_prep.by_text import variety
from data_prep.fetch import SOURCES, fetch
from data_prep.multilingual import prepare_languages
from data_prep.prepare import find_named, prepare, require_root
from data_prep.registry import Corpus
from data_prep.transcripts import main_script
from tests.recorded import MakeAudio, distinct

UKRAINIAN = ("кіт", "пес", "риба", "гуска", "кінь", "їжак", "корова", "ягня", "миша", "слон", "вовк", "лось", "бик")


@pytest.fixture
def voices(tmp_path: Path, make_audio: MakeAudio) -> Path:
    """Return a folder of GCompris's words in a language that the module does not name."""
    record = distinct(make_audio)
    names = {f"{n}.ogg": text for n, text in enumerate(UKRAINIAN)}
    for name in names:
        record(tmp_path / "speech/gcompris-voices/uk/words" / name)
    root = tmp_path / "speech/gcompris-voices"
    (root / "content-uk.json").write_text(json.dumps(names), encoding="utf-8")
    return root


def test_every_module_that_declares_a_corpus_is_collected() -> None:
    modules = {file.stem for path in data_prep.__path__ for file in Path(path).glob("*.py")}
    declaring = {name for name in modules if "\nCORPUS = " in (Path(data_prep.__path__[0]) / f"{name}.py").read_text()}
    assert declaring == set(registry.MODULES)
    assert {corpus.command for corpus in registry.corpora().values()} == declaring
    assert all(corpus.page or corpus.packages for corpus in registry.corpora().values() if corpus.from_disk)


def test_a_language_that_no_module_names_is_prepared(voices: Path, tmp_path: Path) -> None:
    manifests = prepare("gcompris-uk", voices, tmp_path / "out")
    spoken = [u for path in manifests.values() for u in read_manifest(path)]
    assert sorted(u.text for u in spoken) == sorted(UKRAINIAN), "in its own script"
    assert {(u.language, u.speaker) for u in spoken} == {("uk", "gcompris-uk")}
    assert all(u.id.startswith("gcompris-uk/") for u in spoken)


def test_a_language_that_is_not_there_is_refused_with_those_that_are(voices: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gcompris-voices: holds no speech in 'ca'; take `--language` uk\."):
        gcompris.prepare(voices, tmp_path / "out", "ca")
    with pytest.raises(ConfigError, match=r"no corpus 'gcompris-ca': .*gcompris-voices holds it in uk\."):
        require_root("gcompris-ca", voices)
    with pytest.raises(ConfigError, match=r"no corpus 'gcompris-ca'\. Did you mean 'gcompris"):
        require_root("gcompris-ca", None)


def test_two_varieties_of_a_language_stay_two(voices: Path, tmp_path: Path, make_audio: MakeAudio) -> None:
    """One alone has the language's own code; beside another one its region stays, which is remarked."""
    record = distinct(make_audio)
    names = {f"{n}.ogg": text for n, text in enumerate(("gato", "cão", "coelho", "ganso", "vaca"))}

    def spoken(corpus: str, out: str) -> set[tuple[str, str]]:
        manifests = prepare(corpus, voices, tmp_path / out)
        return {(u.language, u.id.partition("/")[0]) for path in manifests.values() for u in read_manifest(path)}

    for code in ("pt_BR", "pt"):
        for name in names:
            record(voices / code / "words" / name)
        (voices / f"content-{code}.json").write_text(json.dumps(names), encoding="utf-8")
        if code == "pt_BR":
            assert spoken("gcompris-pt_BR", "alone") == {("pt", "gcompris-pt_BR")}
    with pytest.warns(Remark, match="other varieties of 'pt' are there too, so the language of pt_BR is 'pt-BR'"):
        assert spoken("gcompris-pt_BR", "both") == {("pt-BR", "gcompris-pt_BR")}
    assert spoken("gcompris-pt", "european") == {("pt", "gcompris-pt")}
    names_of_both = ["gcompris-pt_BR", "gcompris-pt"]
    corpora = prepare_languages(voices.parent, tmp_path / "shared", print, names_of_both, None)
    assert corpora.languages == {"gcompris-pt_BR": "pt-BR", "gcompris-pt": "pt"}
    # Manifests of the time when there was one alone.
    shutil.copytree(tmp_path / "shared/gcompris-pt", tmp_path / "old/gcompris-pt")
    shutil.copytree(tmp_path / "alone", tmp_path / "old/gcompris-pt_BR")
    for take in (
        lambda: prepare_languages(voices.parent, tmp_path / "old", print, names_of_both, None),
        lambda: find_named(names_of_both, tmp_path / "old", voices.parent, print),
    ):
        with pytest.raises(DataError, match=r"gcompris-pt_BR: its manifests were written when .* remove the folder"):
            take()


@pytest.mark.parametrize(
    ("code", "there", "expected"),
    [
        ("pt_BR", ("de",), "pt"),
        ("zh_TW", ("zh_CN", "zh_TW"), "zh-TW"),
        ("zh_CN", ("zh_CN", "zh_TW"), "zh-CN"),
        ("sr@latin", ("sr", "sr@latin"), "sr-latin"),
        ("ca@valencia", ("ca@valencia", "cak"), "ca"),
        ("pt", ("pt", "pt_BR"), "pt"),
    ],
)
@pytest.mark.filterwarnings("ignore::asr_transfer.remarks.Remark")
def test_the_language_of_a_locale(code: str, there: tuple[str, ...], expected: str) -> None:
    assert variety(code, lambda: there) == expected


def test_found_below_a_folder_of_corpora(voices: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ASR_TRANSFER_DATA", str(tmp_path / "fetched"))
    german, ukrainian = registry.find("gcompris-de"), registry.lookup("gcompris-uk")
    assert ukrainian is not None and not ukrainian.declared
    assert ukrainian.find(voices.parent) == voices
    assert german.find(voices.parent) is None, "the folder is there, the language is not"
    assert registry.lookup("gcompris-7") is None and registry.lookup("hsk-de") is None


def test_experiments_with_several_languages_take_it_by_name(
    voices: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ASR_TRANSFER_DATA", str(tmp_path / "fetched"))
    for _ in range(2):  # prepared, and then found so
        corpora = prepare_languages(voices.parent, tmp_path / "out", lambda line: None, ["gcompris-uk"], None)
        assert dict(corpora.sources) == {"gcompris-uk": tmp_path / "out/gcompris-uk"}
        assert corpora.languages == {"gcompris-uk": "uk"}
    with pytest.raises(ConfigError, match="the source corpus 'gcompris-ca' is neither known nor a folder"):
        prepare_languages(voices.parent, tmp_path / "out", lambda line: None, ["gcompris-ca"], None)


def test_corpora_by_name_by_folder_and_absent(voices: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ASR_TRANSFER_DATA", str(tmp_path / "fetched"))
    own, made = tmp_path / "own", tmp_path / "made"
    own.mkdir()
    (own / "train.jsonl").touch()
    said: list[str] = []
    names = ["gcompris-uk", str(own), "queen", "synthetic"]
    found = find_named(names, tmp_path / "out", voices.parent, said.append, made={"synthetic": made})
    assert found == {"gcompris-uk": tmp_path / "out/gcompris-uk", str(own): own, "synthetic": made}
    assert (tmp_path / "out/gcompris-uk/train.jsonl").is_file()
    assert said == ["queen: is absent and left out; get it with `asr-transfer fetch queen`"]
    with pytest.raises(DataError, match="queen: is absent; get it with `asr-transfer fetch queen`"):
        find_named(["queen"], tmp_path / "out", None, said.append)
    with pytest.raises(ConfigError, match="there is no corpus 'gcompris-xx'"):
        find_named(["gcompris-xx"], tmp_path / "out", None, said.append)
    (tmp_path / "test.jsonl").touch()
    assert find_named(["hsk"], tmp_path / "out", None, said.append, tmp_path) == {"hsk": tmp_path}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gcompris", r"'gcompris' lies in no package; get GCompris's voices .* `asr-transfer prepare gcompris --root"),
        ("hsk", r"get https://github.com/hugolpz/audio-cmn and give its folder to `asr-transfer prepare audio_cmn"),
        ("gcin", r"'gcin' is fetched as 'gcin-voice'"),
        ("asterisk-xx", r"cannot be fetched\. Did you mean 'asterisk-"),
    ],
)
def test_what_lies_in_no_package(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fetch(name)


def test_the_command_line_offers_what_the_registry_holds(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["prepare", "--help"])
    shown = capsys.readouterr().out
    assert all(re.search(rf"^    {name}( |$)", shown, re.MULTILINE) for name in registry.commands())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("asterisk", "Languages: en, es, fr, it, ru and any other in your copy. Get it with `asr-transfer fetch "
                     "asterisk-en` (or asterisk-es, asterisk-fr, asterisk-it, asterisk-ru)."),
        ("queen", "31 characters, 171 minutes. Languages: en. Get it with `asr-transfer fetch queen`."),
        ("mls", "in eight languages, with official splits by speaker. Get Multilingual LibriSpeech "
                "(https://www.openslr.org/94)."),
        ("folder", "one `.txt` beside each recording, or one table for all of them."),
    ],
)  # fmt: skip
def test_help_says_what_a_corpus_is_and_where_to_get_it(
    name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["prepare", "--help"], ["prepare", name, "--help"]):
        with pytest.raises(SystemExit):
            main(words)
        shown = " ".join(capsys.readouterr().out.replace("-\n", "-").split())
        assert said.replace("- ", "-") in re.sub(r"- (?=\w)", "-", shown)


def test_help_names_what_can_be_fetched_by_the_kind_of_its_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fetch", "--help"])
    shown = re.sub(r"- (?=\w)", "-", " ".join(capsys.readouterr().out.split()))
    for kind in {packages.registry for packages in SOURCES.values()}:
        names = [name for name, packages in SOURCES.items() if packages.registry == kind]
        assert f"{', '.join(names)} (packages of {kind})" in shown


def test_a_corpus_declares_itself_in_a_line(tmp_path: Path) -> None:
    def prepare(root: Path, out: Path) -> None:
        (out / "all.jsonl").write_text(root.name)

    named = Corpus("mine", prepare, ("eo",), page="a page").named()
    assert (named.name, named.language, named.splits) == ("mine", "eo", ("train", "dev", "test"))
    named.prepare(tmp_path / "source", tmp_path)
    assert (tmp_path / "all.jsonl").read_text() == "source"
    assert named.how_to_get(tmp_path) == f"put a page into {tmp_path / 'mine'}"


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Straße 12", "LATIN"),
        ("слово (word)", "CYRILLIC"),
        ("中国", "CJK"),
        ("日本語のテキスト", ""),
        ("12 ...", "LATIN"),
    ],
)
def test_the_script_of_most_letters(text: str, script: str) -> None:
    assert main_script([text]) == script
