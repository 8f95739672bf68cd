"""Results are read from run folders and other toolkits' files, and what is damaged is named with the way to mend it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asr_transfer.data.manifest import Utterance, checksum, write_manifest
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.evaluation.runs import (
    System,
    common_profile,
    load_systems,
    profile_of,
    same_utterances,
    unique_names,
)
from asr_transfer.evaluation.scoring import Hypothesis, align, score, write_scores

ROWS = [Hypothesis(f"u{n}", f"s{n % 2}", "en", f"word {n}", f"word {n}" if n else "wort") for n in range(4)]


def _record(**values: Any) -> dict[str, Any]:
    return {
        "format": 1,
        "status": "finished",
        "command": "asr-transfer evaluate",
        "config": {},
        "data": {},
        "history": [],
        "scores": {"test": score(["a"], ["a"]).to_plain()},
        **values,
    }


def _run(folder: Path, rows: list[Hypothesis] | None = None, **values: Any) -> Path:
    """Write a run folder as the commands do."""
    write_scores(folder, ROWS if rows is None else rows)
    (folder / "run.json").write_text(json.dumps(_record(**values)), "utf-8")
    return folder


def _noted(path: Path, utterances: list[Utterance]) -> dict[str, Any]:
    write_manifest(path, utterances)
    return {"path": str(path), "utterances": len(utterances), "checksum": checksum(utterances)}


def _utterances(folder: Path, count: int = 4) -> list[Utterance]:
    for n in range(count):
        (folder / f"u{n}.wav").touch()
    return [Utterance(f"u{n}", str(folder / f"u{n}.wav"), 1.0, f"word {n}", f"s{n % 2}", "en") for n in range(count)]


def test_a_run_folder_is_one_system(tmp_path: Path) -> None:
    noted = _noted(tmp_path / "test.jsonl", _utterances(tmp_path))
    (system,) = load_systems(_run(tmp_path / "eval", data={"test": noted}))
    assert (system.name, system.profile, system.utterances) == ("eval", "none", ROWS)
    assert system.ids == ["u0", "u1", "u2", "u3"] and system.record["command"] == "asr-transfer evaluate"
    assert system.audio == {f"u{n}": str(tmp_path / f"u{n}.wav") for n in range(4)}
    assert (system.missing, system.notes) == ([], [])


def test_a_recipes_rows_are_systems_ordered_by_amount_with_audio_of_every_draw(tmp_path: Path) -> None:
    recipe = tmp_path / "an4"
    noted = _noted(recipe / "corpus" / "test.jsonl", _utterances(tmp_path))
    noted["path"] = "was/here/before/test.jsonl"  # the run folder was moved, its corpus with it
    rows = [replace(row, id=f"{row.id}#{draw}") for draw in range(2) for row in ROWS]
    for name in ("lhuc-10", "lhuc-5", "none-0"):
        _run(recipe / "systems" / name, rows, data={"test": noted})
    (recipe / "run.json").write_text(json.dumps(_record(scores={"rows": []})), "utf-8")
    systems = load_systems(recipe)
    assert [s.name for s in systems] == ["none-0", "lhuc-5", "lhuc-10"]
    assert systems[0].audio["u1#1"] == str(tmp_path / "u1.wav") and systems[0].missing == []
    assert load_systems(recipe / "systems" / "lhuc-5")[0].audio == systems[1].audio


def test_references_without_hypothesis_are_deletions_and_said(tmp_path: Path) -> None:
    noted = _noted(tmp_path / "test.jsonl", _utterances(tmp_path, 6))
    folder = _run(tmp_path / "run", [r for r in ROWS if r.id != "u2"], data={"test": noted})
    with (folder / "hypotheses.jsonl").open("a") as out:
        out.write(json.dumps({"id": "u5", "speaker": "s1", "language": "en", "reference": "word 5"}) + "\n")
    (system,) = load_systems(folder)
    assert sorted(system.missing) == ["u2", "u4", "u5"] and system.ids == [f"u{n}" for n in range(6)]
    assert "3 references without hypothesis, counted as deletions: u5, u2, u4" in system.notes[0]
    counts = align(system.utterances).counts()
    assert (counts.reference, counts.deletions) == (12, 7)


def test_the_test_set_of_one_speaker_has_no_missing_others(tmp_path: Path) -> None:
    everyone = _utterances(tmp_path)
    noted = _noted(tmp_path / "test.jsonl", everyone)
    own = [u for u in everyone if u.speaker == "s1"]
    noted |= {"utterances": len(own), "checksum": checksum(own)}
    folder = _run(
        tmp_path / "run", [r for r in ROWS if r.speaker == "s1"], data={"test": noted}, config={"speaker": "s1"}
    )
    assert load_systems(folder)[0].missing == []


def test_hypotheses_that_are_gone_with_their_manifest_are_refused(tmp_path: Path) -> None:
    folder = _run(tmp_path / "run", data={"test": {"path": "gone.jsonl", "utterances": 9, "checksum": "x"}})
    with pytest.raises(DataError, match=r"holds 4 utterances, but `data.test.utterances` in run.json is 9"):
        load_systems(folder)


def _damage(**values: Any) -> Callable[[Path], None]:
    return lambda folder: (folder / "run.json").write_text(json.dumps(_record(**values)))


def _write(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text, "utf-8")  # type: ignore[return-value]


GOOD = '{"id": "u", "speaker": "s", "language": "en", "reference": "a", "hypothesis": "a"}\n'


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_write("run.json", "{"), r"run.json: is not JSON .*; the record is damaged"),
        (_write("run.json", "[]"), r"run.json: `format` must be 1"),
        (_damage(status=3), r"run.json: `status` must be text, got 3; the record is damaged"),
        (_damage(config=None), r"run.json: `config` must be an object, got None"),
        (_damage(history={}), r"run.json: `history` must be a list, got {}"),
        (_damage(data={"test": {}}), r"run.json: `data.test.path` must be text"),
        (_damage(scores=[]), r"run.json: `scores` must be an object"),
        (_damage(status="running"), r"run.json: `status` is 'running'; finish the run with --resume"),
        (
            _damage(scores={"test": {"profile": "basics"}}),
            r"run.json: `scores.test.profile` is 'basics', .* Did you mean 'basic'",
        ),
        (_damage(scores={"test": {"profile": 7}}), r"run.json: `scores.test.profile` is 7"),
        (_write("hypotheses.jsonl", GOOD + GOOD), r"hypotheses.jsonl line 2: the id 'u' was already used on line 1"),
        (_write("hypotheses.jsonl", GOOD + '{"id": "v", '), r"hypotheses.jsonl line 2: is not JSON"),
        (_write("hypotheses.jsonl", GOOD + "7\n"), r"hypotheses.jsonl line 2: must be a JSON object"),
        (_write("hypotheses.jsonl", '{"id": "u"}'), r"hypotheses.jsonl line 1: the key 'speaker' is missing"),
        (_write("hypotheses.jsonl", GOOD.replace('"s"', "5")), r"hypotheses.jsonl line 1: `speaker` must be text"),
        (
            _write(
                "hypotheses.jsonl",
                GOOD + '{"id": "v", "speaker": "", "language": "", "reference": "a", "hypothesis": 0}',
            ),
            r"hypotheses.jsonl line 2: `hypothesis` must be text, got 0",
        ),
        (_write("hypotheses.jsonl", "\n"), r"hypotheses.jsonl: holds no hypotheses"),
        (lambda f: (f / "hypotheses.jsonl").write_bytes(b"\xff"), r"hypotheses.jsonl line 1: is not UTF-8 text"),
        (lambda f: (f / "hypotheses.jsonl").unlink(), r"holds neither hypotheses.jsonl nor systems"),
        (lambda f: (f / "run.json").unlink(), r"is not a run folder \(it holds no run.json\)"),
    ],
)
def test_a_damaged_run_is_named(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    folder = _run(tmp_path / "run")
    damage(folder)
    with pytest.raises(DataError, match=message):
        load_systems(folder)


def test_a_row_of_a_recipe_without_hypotheses_is_named(tmp_path: Path) -> None:
    _run(tmp_path / "systems" / "none-0")
    (tmp_path / "systems" / "full-5").mkdir()
    (tmp_path / "run.json").write_text(json.dumps(_record()))
    with pytest.raises(DataError, match=r"full-5: holds no hypotheses.jsonl"):
        load_systems(tmp_path)


def test_a_row_of_a_recipe_with_lost_lines_is_named(tmp_path: Path) -> None:
    _run(tmp_path / "systems" / "none-0", scores={"test": {"utterances": 5}})
    with pytest.raises(DataError, match=r"holds 4 utterances, but `scores.test.utterances` in run.json is 5"):
        load_systems(tmp_path / "systems" / "none-0")


def test_two_kaldi_texts(tmp_path: Path) -> None:
    (tmp_path / "ref.txt").write_text("\ufeffann-1 a  b\r\nann-2 c\nbob-1 d\nbob-2\n", "utf-8")
    (tmp_path / "hyp.txt").write_text("bob-1 d\nann-1 a x\nbob-2 e\n", "utf-8")
    (system,) = load_systems(f"{tmp_path}/ref.txt,{tmp_path}/hyp.txt")
    assert system.name == "hyp" and system.folder is None and system.record == {}
    assert [(u.id, u.reference, u.hypothesis) for u in system.utterances] == [
        ("ann-1", "a b", "a x"), ("ann-2", "c", ""), ("bob-1", "d", "d"), ("bob-2", "", "e"),
    ]  # fmt: skip
    assert system.missing == ["ann-2"] and "1 references without hypothesis" in system.notes[0]
    (tmp_path / "utt2spk").write_text("ann-1 ann\nann-2 ann\nbob-1 bob\n")
    (tmp_path / "wav.scp").write_text(f"ann-1 {tmp_path}/ref.txt\nann-2 sox x.wav |\n")
    (system,) = load_systems(f"{tmp_path}/ref.txt, {tmp_path}/hyp.txt", profile="basic")
    assert [u.speaker for u in system.utterances] == ["ann", "ann", "bob", ""] and system.profile == "basic"
    assert list(system.audio) == ["ann-1"]


@pytest.mark.parametrize(
    ("reference", "hypothesis", "message"),
    [
        ("u a\nu b\n", "u a\n", r"ref.txt line 2: the id 'u' was already used on line 1"),
        ("u1 a\n", "u1 a\nv1 b\n", r"hyp.txt: 1 utterances have no reference in .*ref.txt \(v1\)"),
        ("", "u a\n", r"ref.txt: holds no utterances"),
        ("u a\n", None, r"hyp.txt: there is no such file"),
    ],
)
def test_damaged_kaldi_texts(tmp_path: Path, reference: str, hypothesis: str | None, message: str) -> None:
    (tmp_path / "ref.txt").write_text(reference)
    if hypothesis is not None:
        (tmp_path / "hyp.txt").write_text(hypothesis)
    with pytest.raises(DataError, match=message):
        load_systems(f"{tmp_path}/ref.txt,{tmp_path}/hyp.txt")


@pytest.fixture(scope="module")
def speechbrain_text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what SpeechBrain itself writes."""
    from speechbrain.utils.metric_stats import ErrorRateStats

    stats = ErrorRateStats()
    stats.append(["u, 1", "u2", "u3"], [["a", "x", "c"], ["b"], ["c"]], [["a", "b", "c", "d"], ["b"], []])
    stats.append(["u4"], [[]], [["long", "words"]])
    file = tmp_path_factory.mktemp("speechbrain") / "wer_test.txt"
    with file.open("w") as out:
        stats.write_stats(out)
    return file.read_text()


def test_speechbrains_own_file(tmp_path: Path, speechbrain_text: str) -> None:
    (tmp_path / "wer_test.txt").write_text(speechbrain_text)
    (system,) = load_systems(tmp_path / "wer_test.txt")
    assert [(u.id, u.reference, u.hypothesis) for u in system.utterances] == [
        ("u, 1", "a b c d", "a x c"), ("u2", "b", "b"), ("u3", "", "c"), ("u4", "long words", ""),
    ]  # fmt: skip
    assert system.name == "wer_test" and not system.notes


def test_what_speechbrain_left_out_is_said(tmp_path: Path, speechbrain_text: str) -> None:
    text = speechbrain_text.replace("0 not present in hyp", "2 not present in hyp")
    (tmp_path / "wer_test.txt").write_text(text)
    assert "2 references without hypothesis are not in" in load_systems(tmp_path / "wer_test.txt")[0].notes[0]


def test_damaged_speechbrain_files(tmp_path: Path, speechbrain_text: str) -> None:
    file = tmp_path / "wer_test.txt"
    lines = speechbrain_text.splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("u, 1, %WER"))
    for changed, message in (
        ([*lines[: at + 1], "a ; b", *lines[at + 2 :]], rf"line {at + 2}: the alignment of 'u, 1' is damaged"),
        (lines[: at + 2], "the alignment of 'u, 1' is damaged"),
        ([*lines, *lines[at:]], "the id 'u, 1' was already used on line"),
        (lines[:3], "holds no alignments"),
    ):
        file.write_text("\n".join(changed))
        with pytest.raises(DataError, match=message):
            load_systems(file)


def test_a_nemo_manifest(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    lines = [
        {"audio_filepath": "a.wav", "duration": 1.0, "text": "a b", "pred_text": "a", "speaker": "ann", "lang": "en"},
        {"audio_filepath": "far/b.wav", "duration": 1.0, "text": "c", "pred_text": None},
    ]
    file = tmp_path / "out.json"
    file.write_text("\n".join(map(json.dumps, lines)))
    (system,) = load_systems(file)
    assert system.utterances == [Hypothesis("a", "ann", "en", "a b", "a"), Hypothesis("b", "", "", "c", "")]
    assert (system.missing, system.audio, system.name) == (["b"], {"a": str(tmp_path / "a.wav")}, "out")
    # Parts of one recording, and recordings of one name, are told apart.
    parts = [{**lines[0], "offset": 0.0}, {**lines[0], "offset": 1.5}, {**lines[0], "audio_filepath": "x/a.wav"}]
    file.write_text("\n".join(map(json.dumps, parts)))
    assert load_systems(file)[0].ids == ["a.wav", "a.wav@1.5", "x/a.wav"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"audio_filepath": "a.wav", "pred_text": "a"}', r"out.json line 1: `text` must be text, got None"),
        ('{"text": "a", "pred_text": "a"}', r"line 1: `audio_filepath` must be text, got None"),
        ('{"audio_filepath": "a.wav", "text": "a", "pred_text": 3}', r"line 1: `pred_text` must be text, got 3"),
        ('{"audio_filepath": "a.wav", "text": "a"}', r"no line has the key `pred_text`"),
        ('{"id": "a", "text": "a", "pred_text": "a"}\n{"id": "a", "text": "b"}', r"line 2: the id 'a' was already"),
        ("{oops", r"out.json line 1: is not JSON"),
        ("u a b", r"is neither a SpeechBrain `wer_test.txt` nor a NeMo manifest"),
        ("", r"is neither a SpeechBrain"),
    ],
)
def test_damaged_nemo_manifests(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "out.json").write_text(line)
    with pytest.raises(DataError, match=message):
        load_systems(tmp_path / "out.json")


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone: there is no such run folder or file"):
        load_systems(tmp_path / "gone")


def test_a_profile_is_read_from_the_scores_and_may_be_replaced(tmp_path: Path) -> None:
    folder = _run(tmp_path / "run", scores={"test": {"before": {"profile": "basic"}, "after": {"profile": "basic"}}})
    assert load_systems(folder)[0].profile == "basic"
    (system,) = load_systems(folder, profile="lower")
    assert system.profile == "lower" and "while the run itself used 'basic'" in system.notes[0]
    with pytest.raises(ConfigError, match="'lowr' is not known"):
        load_systems(folder, profile="lowr")
    assert profile_of({}) == "none" and profile_of({"scores": {"test": {"wer": 0.1}}}) == "none"
    with pytest.raises(DataError, match=r"`scores` states several normalisations \(basic, none\)"):
        profile_of({"scores": {"a": {"profile": "basic"}, "b": {"profile": "none"}}})


def _system(name: str, rows: list[Hypothesis], profile: str = "none", **more: Any) -> System:
    return System(name, None, {}, profile, rows, **more)


def test_different_profiles_refuse_to_be_compared() -> None:
    mixed = [_system("a", ROWS), _system("b", ROWS, "basic")]
    for function in (common_profile, same_utterances):
        with pytest.raises(DataError, match=r"different quantities \(a: 'none', b: 'basic'\)"):
            function(mixed)
    assert common_profile(mixed[1:]) == "basic" and common_profile([]) == "none"


def test_different_utterance_sets_are_listed_and_intersected_when_told() -> None:
    first = _system("a", ROWS[:3], missing=["u0", "u2"], audio={"u0": "x", "u1": "y"})
    second = _system("b", ROWS[:0:-1])
    with pytest.raises(DataError, match=r"only in 'a': u0; only in 'b': u3\); compare .* with --intersection"):
        same_utterances([first, second])
    one, two = same_utterances([first, second], intersect=True)
    assert one.ids == two.ids == ["u1", "u2"] and one.missing == ["u2"] and one.audio == {"u1": "y"}
    assert one.notes == ["1 references without hypothesis, counted as deletions: u2"]
    with pytest.raises(DataError, match="no utterance in common"):
        same_utterances([_system("a", ROWS[:1]), _system("b", ROWS[1:])], intersect=True)
    assert same_utterances([]) == []


def test_systems_of_the_same_set_come_in_one_order_and_share_what_they_know() -> None:
    unknown = [replace(row, speaker="", language="") for row in reversed(ROWS)]
    one, two = same_utterances([_system("a", ROWS), _system("b", unknown)])
    assert one.utterances == two.utterances == ROWS


def test_contradicting_references_and_speakers_are_refused() -> None:
    other = [replace(row, reference=row.reference.upper() + "!") for row in ROWS]
    with pytest.raises(DataError, match=r"'u0': its reference is 'word 0' in 'a' and 'WORD 0!' in 'b'"):
        same_utterances([_system("a", ROWS), _system("b", other)])
    assert len(same_utterances([_system("a", ROWS, "basic"), _system("b", other, "basic")])) == 2
    with pytest.raises(DataError, match=r"'u1': its speaker is 's1' in 'a' and 'x' in 'b'"):
        same_utterances([_system("a", ROWS), _system("b", [ROWS[0], replace(ROWS[1], speaker="x"), *ROWS[2:]])])


def test_equal_names_are_told_apart(tmp_path: Path) -> None:
    folders = [tmp_path / "x" / "run", tmp_path / "y" / "systems" / "run"]
    systems = [replace(_system("run", ROWS), folder=folder) for folder in folders]
    names = [s.name for s in unique_names([*systems, _system("hyp", ROWS), _system("hyp", ROWS), _system("z", ROWS)])]
    assert names == ["x/run", "y/run", "hyp", "hyp (2)", "z"]
