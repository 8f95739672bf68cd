"""`compare ref,hyp` reads each form of text as what it is, and guesses at none that tells no ids."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from asr_transfer.cli import main
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.evaluation.compare import compare_systems, load
from asr_transfer.evaluation.runs import System, load_systems
from asr_transfer.evaluation.sclite import speaker_of


def _pair(folder: Path, reference: str, hypothesis: str, suffixes: tuple[str, str] = (".txt", ".txt")) -> str:
    paths = [folder / f"{name}{suffix}" for name, suffix in zip(("ref", "hyp"), suffixes, strict=True)]
    for path, text in zip(paths, (reference, hypothesis), strict=True):
        path.write_text(text, encoding="utf-8", newline="\n")
    return ",".join(map(str, paths))


def _read(folder: Path, *texts: Any, **more: Any) -> System:
    (system,) = load_systems(_pair(folder, *texts), **more)
    return system


def _rows(system: System) -> list[tuple[str, str, str, str]]:
    return [(u.id, u.speaker, u.reference, u.hypothesis) for u in system.utterances]


def _rate(folder: Path, *texts: str) -> tuple[str, float]:
    systems, notes = load([_pair(folder, *texts)])
    compared = compare_systems(systems, notes=notes)
    return compared.rate, compared.base.counts.rate


NO_IDS = ("turn off the lamp\ngood morning\nhello\n", "turn of the lamp\ngood evening\nhello\n")


@pytest.mark.parametrize(
    ("reference", "hypothesis"),
    [
        NO_IDS,
        ("hello\n", "hello\n"),
        ("three five\nthree six\n", "three five\nthree six\n"),
        ("5 3 5\n3 1\n", "5 3 5\n3 1\n"),
        ("今天天气\n很好\n", "今天天气\n很好\n"),
        ("u1 turn off\nthe lamp\n", "u1 turn off\nthe lamp\n"),
    ],
)
def test_texts_without_ids_are_refused_in_one_sentence(tmp_path: Path, reference: str, hypothesis: str) -> None:
    with pytest.raises(DataError, match="--texts lines|already used") as caught:
        _read(tmp_path, reference, hypothesis)
    assert "\n" not in str(caught.value)


def test_ids_without_texts_are_not_called_words(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"ref\.txt: holds one word a line, ids without texts or"):
        _read(tmp_path, "utt1\nutt2\n", "utt1 turn off\nutt2\n")


@pytest.mark.parametrize(
    ("reference", "hypothesis", "told"),
    [
        ("u1 TURN OFF\nu2 THE LAMP\n", "u1 turn of\nu2 the lamp\n", True),
        ("u1 turn off\nu2 the lamp\n", "u1 TURN OFF\nu2\n", True),
        ("u1 Turn off\nu2 the lamp\n", "u1 turn of\nu2 the lamp\n", False),
        ("u1 今天\nu2 很好\n", "u1 今天\nu2 好\n", False),
    ],
)
def test_texts_in_other_cases_are_told(tmp_path: Path, reference: str, hypothesis: str, told: bool) -> None:
    pair = _pair(tmp_path, reference, hypothesis)
    assert any("--normalisation lower" in note for note in compare_systems(load([pair])[0]).notes) == told
    lowered = compare_systems(load([pair], profile="lower")[0])
    assert not any("--normalisation lower" in note for note in lowered.notes)


def test_they_are_taken_line_by_line_when_told_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = _pair(tmp_path, *NO_IDS)
    assert main(["compare", run, "--texts", "lines", "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "28.57" in printed and "speakers are not known" in printed
    assert "There are no intervals: 3 utterances say too little, 4 are needed." in printed
    system = _read(tmp_path, "a b\n\nc\n", "a\nx\n\n", texts="lines")
    assert _rows(system) == [("line-1", "", "a b", "a"), ("line-2", "", "", "x"), ("line-3", "", "c", "")]
    with pytest.raises(DataError, match=r"hyp.txt: has 1 lines, but .*ref.txt has 2"):
        _read(tmp_path, "a\nb\n", "a\n", texts="lines")
    with pytest.raises(DataError, match="ref.txt: is a `trn`, which names its utterances"):
        _read(tmp_path, "a (s-1)\n", "a (s-1)\n", texts="lines")
    with pytest.raises(ConfigError, match="none of the runs is"):
        load([str(tmp_path)], texts="lines")


def test_ids_of_letters_are_taken_when_told_to_or_known(tmp_path: Path) -> None:
    texts = ("anna turn off\nbert hello\n", "anna turn of\nbert hello\n")
    with pytest.raises(DataError, match="'anna' is hardly the id of an utterance"):
        _read(tmp_path, *texts)
    expected = [("anna", "turn off", "turn of"), ("bert", "hello", "hello")]
    assert [(row[0], *row[2:]) for row in _rows(_read(tmp_path, *texts, texts="ids"))] == expected
    (tmp_path / "utt2spk").write_text("anna a\nbert b\n")
    assert _rows(_read(tmp_path, *texts)) == [(name, name[0], *rest) for name, *rest in expected]


@pytest.mark.parametrize("suffix", [".trn", ".txt"])
def test_trn(tmp_path: Path, suffix: str) -> None:
    reference = (
        ";; a comment\nturn off the lamp (spk1-u1)\nhello\t(spk2-u3)\n(spk2-u4)\nIGNORE_TIME_SEGMENT_IN_SCORING (x-1)\n"
    )
    system = _read(
        tmp_path, reference, "turn of the lamp (spk1-u1)\nhello there (spk2-u3)\nx (x-1)\n", (suffix, suffix)
    )
    assert _rows(system) == [
        ("spk1-u1", "spk1", "turn off the lamp", "turn of the lamp"),
        ("spk2-u3", "spk2", "hello", "hello there"),
        ("spk2-u4", "spk2", "", ""),
    ]
    assert system.missing == ["spk2-u4"] and "1 utterances are marked IGNORE_TIME" in system.notes[0]
    mixed = _read(tmp_path, "spk1-u1 hello\n", "hallo (spk1-u1)\n")
    assert _rows(mixed) == [("spk1-u1", "", "hello", "hallo")]


@pytest.mark.parametrize(
    ("name", "speaker"),
    [
        ("spk1-u1", "spk1"),
        ("spk1_u1", "spk1"),
        ("1089-1089-134686-0000", "1089"),
        ("lbi-141-lbi-141-121026-020", "lbi-141"),
        ("ab-c-ab-cd", "ab"),
        ("u1", ""),
        ("-u1", ""),
    ],
)
def test_the_speaker_of_an_id(name: str, speaker: str) -> None:
    assert speaker_of(name) == speaker


STM = """;; LABEL "O" "Overall" "Overall"
rec A ann 0.0 2.0 <o,f0,female> turn off the(2) lamp
rec A excluded_region 2.0 3.0 <o,,unknown> ignore_time_segment_in_scoring
rec A bob 3.0 5.0 hello
two 1 cy 0 1.5 <o,f0,male> good morning
"""
CTM = """rec A 0.1 0.3 turn 0.9
rec A 0.5 0.3 of 0.5
rec A 1.6 0.3 lamp 1.0
rec A 1.2 0.2 the NA
rec A 2.4 0.2 rubbish 0.2
rec A 3.1 0.3 hello
rec A 7.0 0.3 outside 0.2
"""


@pytest.mark.parametrize("suffixes", [(".stm", ".ctm"), (".txt", ".txt")])
@pytest.mark.parametrize("channel", ["A", "1"])
def test_stm_and_ctm_by_time(tmp_path: Path, suffixes: tuple[str, str], channel: str) -> None:
    system = _read(tmp_path, STM, CTM.replace("rec A", f"rec {channel}"), suffixes)
    assert _rows(system) == [
        ("rec-A-0.0-2.0", "ann", "turn off the lamp", "turn of the lamp"),
        ("rec-A-3.0-5.0", "bob", "hello", "hello"),
        ("two-1-0-1.5", "cy", "good morning", ""),
    ]
    assert system.missing == ["two-1-0-1.5"]
    assert "1 utterances are marked IGNORE" in system.notes[0] and "1 recognised words lie outside" in system.notes[1]


def test_a_word_belongs_to_the_segment_of_its_middle(tmp_path: Path) -> None:
    stm = "rec A ann 0.0 2.0 turn it off\nrec A bob 2.0 4.0 well done\nrec A cy 5.0 6.0 yes\n"
    ctm = "rec A 1.7 0.4 off\nrec A 1.9 0.6 well\nrec A 3.8 0.3 done\nrec A 4.9 0.4 yes\nrec A 5.9 0.4 no\n"
    system = _read(tmp_path, stm, ctm, (".stm", ".ctm"))
    assert [row[3] for row in _rows(system)] == ["off", "well done", "yes"]
    assert "1 recognised words lie outside" in system.notes[0], "the middle of `no` is behind its beginning's segment"


def test_stm_and_ctm_by_id(tmp_path: Path) -> None:
    assert _rows(_read(tmp_path, STM, STM.replace("off", "of"), (".stm", ".stm")))[0][3] == "turn of the lamp"
    words = "u1 1 0.3 0.2 off 0.9\nu1 1 0.1 0.2 turn 0.9\nu2 1 0.1 0.2 hello 0.9\n"
    assert _rows(_read(tmp_path, "u1 turn off\nu2 hello\n", words)) == [
        ("u1", "", "turn off", "turn off"), ("u2", "", "hello", "hello"),
    ]  # fmt: skip
    for texts, suffixes in ((("rec turn off\n", STM), (".txt", ".stm")), ((STM, "rec1 turn off\n"), (".stm", ".txt"))):
        with pytest.raises(DataError, match="is an `stm`, whose segments have times but no ids"):
            _read(tmp_path, *texts, suffixes)


@pytest.mark.parametrize(
    ("suffix", "line", "message"),
    [
        (".trn", "turn { off / of } (s-1)", "holds alternatives"),
        (".trn", "turn (%hesitation) off (s-1)", re.escape("holds '(%hesitation)', which sclite lets")),
        (".trn", "turn off", "does not end in an id"),
        (".trn", "a (s-1)\nb (s-1)", "line 2: the id 's-1' was already used on line 1"),
        (".stm", "rec A ann 0.0 2.0 turn { off / @ }", "holds alternatives"),
        (".stm", "rec A ann 2.0 1.0 turn", "line 1: is no segment"),
        (".stm", "rec A ann", "line 1: is no segment"),
        (".ctm", "rec A * * <ALT_BEGIN>", "alternatives, which only sclite scores"),
        (".ctm", "rec A 0.1 hello", "line 1: is no word"),
        (".txt", "#!MLF!#", "is no text of utterances but JSON, XML or HTK's labels"),
        (".txt", '{"text": "a"}', "is no text of utterances but JSON"),
    ],
)
def test_what_only_sclite_scores_is_refused_by_name(tmp_path: Path, suffix: str, line: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        _read(tmp_path, f"{line}\n", f"{line}\n", (suffix, suffix))


def _speechbrain(folder: Path, references: list[str], hypotheses: list[str], characters: bool) -> Path:
    from speechbrain.utils.metric_stats import ErrorRateStats

    stats = ErrorRateStats(split_tokens=characters)
    stats.append(
        [f"u{n}" for n in range(len(references))], [t.split() for t in hypotheses], [t.split() for t in references]
    )
    with (folder / "cer_test.txt").open("w", encoding="utf-8") as out:
        stats.write_stats(out)
    return folder / "cer_test.txt"


@pytest.mark.parametrize(
    ("references", "hypotheses", "rate", "value"),
    [
        (["turn off the lamp", "hello"], ["turn of the lamp", "hello"], "WER", 1 / 5),
        (["zero", "seven"], ["zero", "sevan"], "CER", 1 / 9),
        (["今天天气", "很好"], ["今天天汽", "很好"], "CER", 1 / 6),
    ],
)
def test_speechbrains_characters_are_never_words(
    tmp_path: Path, references: list[str], hypotheses: list[str], rate: str, value: float
) -> None:
    systems, notes = load([str(_speechbrain(tmp_path, references, hypotheses, True))])
    compared = compare_systems(systems, notes=notes)
    assert compared.rate == rate and compared.base.counts.rate == pytest.approx(value)
    assert any("single characters" in note for note in notes)
    if rate == "WER":
        assert [u.reference for u in systems[0].utterances] == references
    else:
        assert load([str(tmp_path / "cer_test.txt")], "mandarin")[0][0].profile == "mandarin"
        with pytest.raises(DataError, match="cer_test: holds characters .* score under characters, mandarin"):
            load([str(tmp_path / "cer_test.txt")], "basic")
    plain = load([str(_speechbrain(tmp_path, ["turn off", "i a"], ["turn", "i"], False))])
    assert not plain[1] and [u.reference for u in plain[0][0].utterances] == ["turn off", "i a"]


def test_a_header_that_says_cer_is_read(tmp_path: Path) -> None:
    file = _speechbrain(tmp_path, ["turn off"], ["turn of"], True)
    file.write_text(file.read_text("utf-8").replace("%WER", "%CER"), "utf-8")
    assert load_systems(file)[0].utterances[0].reference == "turn off"


def test_characters_of_a_trn_are_put_together(tmp_path: Path) -> None:
    spelled = "t u r n <space> o f f (s-1)\n"
    assert _rate(tmp_path, spelled, spelled.replace("f f", "f")) == ("WER", pytest.approx(1 / 2))
    assert _rate(tmp_path, "今 天 (s-1)\n", "今 大 (s-1)\n") == ("CER", pytest.approx(1 / 2))
    assert _rate(tmp_path, "1 2 3 (s-1)\n", "1 2 (s-1)\n") == ("WER", pytest.approx(1 / 3))


@pytest.mark.parametrize(
    ("reference", "hypothesis"),
    [
        ("▁tu rn ▁off (s-1)\n▁hel lo ▁world (s-2)\n", "▁tu rn ▁of f (s-1)\n▁hel lo ▁w or d (s-2)\n"),
        ("tu@@ rn off (s-1)\nhel@@ lo world (s-2)\n", "tu@@ rn of@@ f (s-1)\nhel@@ lo wo@@ rd (s-2)\n"),
        ("turn off (s-1)\nhello world (s-2)\n", "▁tu rn ▁off (s-1)\n▁hello ▁word (s-2)\n"),
    ],
)
def test_pieces_of_words_are_put_together(tmp_path: Path, reference: str, hypothesis: str) -> None:
    assert _rate(tmp_path, reference, hypothesis) == ("WER", 0.25)
    system = _read(tmp_path, reference, hypothesis, (".trn", ".trn"))
    assert system.utterances[0].hypothesis == system.utterances[0].reference == "turn off"
    assert "its hypothesis is in pieces of words, which were put together" in system.notes


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (("<O>", "<NA>"), ["turn off", "hello"]),
        (("<o,f0,male>", "<F0_F>"), ["turn off", "hello"]),
        (("<unk>", "<unk>"), ["<unk> turn off", "<unk> hello"]),
        (("<cough>", ""), ["<cough> turn off", "hello"]),
    ],
)
def test_labels_of_an_stm_are_no_words(tmp_path: Path, labels: tuple[str, str], expected: list[str]) -> None:
    stm = f"r 1 s1 0.0 2.0 {labels[0]} turn off\nr 1 s2 2.0 4.0 {labels[1]} hello\n"
    stm += "r 1 s2 4.0 5.0 ignore_time_segment_in_scoring\n"
    system = _read(tmp_path, stm, "r 1 0.1 0.2 turn\nr 1 2.1 0.2 hello\n", (".stm", ".ctm"))
    assert [u.reference for u in system.utterances] == expected
