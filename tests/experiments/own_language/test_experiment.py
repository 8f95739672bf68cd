"""The path composes: each step begins with the folder that the earlier one wrote, which equals what that one had."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from asr_transfer.config import ModelConfig
from asr_transfer.data.kept_source import load_summaries
from asr_transfer.data.lexicon import read_for
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError
from asr_transfer.evaluation.foreign import read_hypotheses
from asr_transfer.evaluation.scoring import Hypothesis
from asr_transfer.experiments.own_language.corpora import Speech
from asr_transfer.experiments.own_language.experiment import plan, run_path, with_source
from asr_transfer.experiments.own_language.jobs import LEXICON, Scratch, found_words, looked_for
from asr_transfer.experiments.own_language.rows import PathRow, path_table
from asr_transfer.languages.learning import load_any_head
from asr_transfer.runs.record import read_record
from asr_transfer.training.hypotheses import hypotheses
from tests.own_paths import make_speech, path_config

Ran = tuple[Path, Speech, list[PathRow]]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Return the folder, the speech and the rows of a path that was run."""
    folder = tmp_path_factory.mktemp("own")
    speech = make_speech(folder / "data")
    return folder, speech, run_path(path_config(), speech, folder / "run", 1, lambda line: None)


def step(ran: Ran, name: str) -> Path:
    """Return the run folder of a step of the only point."""
    return ran[0] / "run" / "points" / f"{name}-fr-0.2-0"


def heard(ran: Ran, name: str, what: str) -> list[Hypothesis]:
    """Return what a step wrote that it heard."""
    return list(read_hypotheses(step(ran, name) / "heard" / what / "hypotheses.jsonl").utterances)


@pytest.mark.parametrize("name", ["learn", "adapt"])
@pytest.mark.parametrize("test", ["heard", "new"])
def test_a_model_on_disk_hears_what_it_heard_in_memory(ran: Ran, name: str, test: str) -> None:
    model = Recogniser.load(step(ran, name), "fr")
    target = ran[1].targets[0]
    spoken = Spoken(target.tests()[test], target.store(model.model.inputs, (1.0,)))
    assert (
        hypotheses(model, spoken)
        == read_hypotheses(step(ran, name) / f"heard/{name}/{test}/hypotheses.jsonl").utterances
    )


def test_other_heads_and_kept_speech_go_through_all_steps(ran: Ran) -> None:
    source, adapted = load_any_head(ran[0] / "run/source"), Recogniser.load(step(ran, "adapt"), "fr")
    assert {*adapted.others} == {"en", "nl"}
    assert adapted.others["en"].symbols == source.for_head("en").tokens.symbols
    kept = load_summaries(step(ran, "adapt"), adapted.model.inputs)
    assert {u.language for u in kept["source"].utterances} == {"en", "nl", "fr"}
    assert {u.language for u in kept["judged"].utterances} == {"en", "nl", "fr"}


def test_the_adapted_model_began_with_the_learnt_one(ran: Ran) -> None:
    learnt, adapted = (Recogniser.load(step(ran, name), "fr") for name in ("learn", "adapt"))
    assert adapted.tokens.symbols == learnt.tokens.symbols and adapted.origin["language"] == "fr"
    method = read_record(step(ran, "adapt"))["adaptation"]["method"]
    same = [torch.equal(a, b) for a, b in zip(learnt.model.parameters(), adapted.model.parameters(), strict=True)]
    assert all(same) if method == "none" else any(same) and not all(same)


def test_other_languages_steer_the_choice_as_in_the_command(ran: Ran) -> None:
    about = read_record(step(ran, "adapt"))["adaptation"]
    assert about["ladder"] and all(set(rung["abroad"]) == {"en", "nl"} for rung in about["ladder"])
    assert about["left_out"] == []


def test_words_are_found_by_the_models_on_disk_and_the_lexicon_on_disk(ran: Ran) -> None:
    target = ran[1].targets[0]
    items = looked_for(target, 3)
    for name in ("learn", "adapt"):
        model = Recogniser.load(step(ran, name), "fr")
        spoken = Spoken(items, target.store(model.model.inputs, (1.0,)))
        lexicon = read_for(step(ran, "words") / LEXICON, model.tokens)
        found = found_words(replace(model, lexicon=lexicon), spoken, target)
        assert found == heard(ran, "words", f"{name}/lexicon")
        words = {entry.word.replace(" ", "_") for entry in lexicon}
        assert {h.hypothesis for h in found} <= words


def test_the_rows_are_the_steps_and_learning_is_the_way_that_it_took(ran: Ran) -> None:
    rows = {row.way: row for row in ran[2]}
    assert list(rows) == ["scratch", "head", "all", "joint", "learn", "+ adapt", "+ words"]
    learn = rows["learn"]
    assert learn.taken[0] in ("head", "all", "joint")
    assert (learn.heard, learn.others) == (rows[learn.taken[0]].heard, rows[learn.taken[0]].others)
    assert learn.steps == sum(rows[way].steps for way in ("head", "all", "joint")) == 120
    assert rows["head"].others[0] == 0, "the head alone changes no other language"
    before, after = rows["scratch"].new[0], learn.new[0]
    assert before and after is not None and learn.new_gain[0] == pytest.approx(1 - after / before)
    table = path_table(path_config(), ran[2])
    assert len(table.rows) == 7 and f"({path_config().scratch_steps(0.2)} steps)" in table.note


def test_a_finished_path_trains_nothing_again(ran: Ran) -> None:
    before = {file: file.stat().st_mtime_ns for file in (ran[0] / "run").rglob("run.json")}
    assert run_path(path_config(), ran[1], ran[0] / "run", 1, lambda line: None) == ran[2]
    assert {file: file.stat().st_mtime_ns for file in before} == before


def test_a_start_from_scratch_reads_as_much_as_source_and_learning(ran: Ran) -> None:
    config = path_config()
    before, learn = config.source.trainer, next(row for row in ran[2] if row.way == "learn")
    assert learn.steps == 3 * 40, "of twelve seconds three ways are tried"
    frames = before.steps * before.batch_budget + learn.steps * config.learn.batch_budget
    assert config.scratch_steps(0.2) * config.learn.batch_budget == frames


def test_a_start_from_scratch_beside_a_pretrained_source_has_a_network_of_its_own(ran: Ran) -> None:
    """It took the features of the pretrained network, and the features of its own settings beside them."""
    source = replace(path_config().source, model=ModelConfig(pretrained=Path("whisper")))
    jobs, _ = plan(path_config(source=source), ran[1], "")
    (scratch,) = (job for job in jobs if isinstance(job, Scratch))
    assert scratch.network == ModelConfig() and scratch.network.pretrained is None


def test_a_finished_source_model_is_taken_with_its_budget(ran: Ran) -> None:
    other = replace(path_config().source, trainer=replace(path_config().source.trainer, steps=7))
    config = with_source(path_config(source=other), ran[0] / "run/source")
    assert config.source.trainer.steps == 80 and config.scratch_steps(5) == path_config().scratch_steps(5)
    jobs, _ = plan(config, ran[1], str(ran[0] / "run/source"))
    assert "source" not in [job.name for job in jobs]
    learnt = path_config(languages=(replace(path_config().languages[0], language="nl"),))
    with pytest.raises(ConfigError, match="knows 'nl' already"):
        with_source(learnt, ran[0] / "run/source")
