"""Bugs of learning a further language: what is trained on, how much of it, and what is kept of the source."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

ROOM = "asr_transfer/languages"

MUTANTS = (
    Mutant(
        "points-are-chosen-on-their-test-set",
        "asr_transfer/experiments/languages/points.py",
        "every = read_corpora(corpora.dev)",
        "every = read_corpora(corpora.tests)",
        "a point keeps the weights that are best on its test set",
        ("tests/test_promises.py",),
    ),
    Mutant(
        "joint-training-hears-what-is-kept-from-it",
        "asr_transfer/experiments/languages/points.py",
        "more = corpora.source_utterances() if",
        "more = [*corpora.source_utterances(), *corpora.source_test_utterances()] if",
        "joint training also reads the source speech that no model is trained on",
        ("tests/test_promises.py",),
    ),
    Mutant(
        "held-out-source-speakers-are-trained-on",
        "data_prep/an4.py",
        '{"en": (("train",), "test")}',
        '{"en": (("train", "dev"), "test")}',
        "source models are trained on speakers whom other experiments hold out",
        ("tests/test_promises.py",),
    ),
    Mutant(
        "offsets-are-judged-on-what-they-fit",
        "asr_transfer/experiments/languages/identification.py",
        "other = [n for n, own in enumerate(sides) if own != side]",
        "other = [n for n, own in enumerate(sides) if own == side]",
        "languages are told apart with offsets that were fitted on the same utterances",
        ("tests/experiments/languages/test_points.py",),
    ),
    Mutant(
        "parts-of-other-data-are-taken-for-finished",
        "asr_transfer/experiments/core/ledger.py",
        "for name, (path, utterances) in data.items():",
        "for name, (path, utterances) in list(data.items())[:1]:",
        "of what a part was made of, only the training speech has to be the same for it to count as finished",
        ("tests/regressions/test_finished_points_of_other_data.py",),
    ),
    Mutant(
        "target-language-among-the-sources",
        "asr_transfer/experiments/languages/points.py",
        "if targets[0] in sources:",
        "if targets == sources:",
        "a target language may be one of several source languages",
        ("tests/experiments/languages/test_curve.py::test_corpora_that_do_not_fit_together_are_refused_by_name",),
    ),
    Mutant(
        "subsets-last-longer-than-they-say",
        "asr_transfer/data/subsets.py",
        "if seconds + utterance.duration > 60 * amount:",
        "if seconds > 60 * amount:",
        "a tenth of a minute holds an utterance more than fits into it",
        ("tests/data/test_subsets.py",),
    ),
    Mutant(
        "seeds-share-a-subset",
        "asr_transfer/data/subsets.py",
        'random.Random(f"{seed}/subsets")',
        'random.Random("subsets")',
        "all seeds learn from the same utterances, so that their spread is too small",
        ("tests/data/test_subsets.py",),
    ),
    Mutant(
        "rows-of-a-head-change-their-symbols",
        f"{ROOM}/heads.py",
        "every[head] = Tokens([*old.symbols[1:], *more], old.units)",
        "every[head] = Tokens(sorted([*old.symbols[1:], *more]), old.units)",
        "the rows of an extended head stand for other symbols than they were trained for",
        ("tests/languages/test_transfer.py",),
    ),
    Mutant(
        "source-models-hear-other-languages",
        "asr_transfer/experiments/languages/sources.py",
        "if not source.languages or u.language in source.languages]",
        "if u.language]",
        "a source model of one language is trained on all of them",
        ("tests/test_promises.py",),
    ),
    Mutant(
        "texts-in-both-splits",
        "data_prep/by_text.py",
        "split = split or split_of(text, self.shares)",
        "split = split or split_of(name, self.shares)",
        "a text that is recorded twice is trained and tested on",
        (
            "tests/data_prep/test_artikulate.py::test_artikulate",
            "tests/data_prep/test_artikulate.py::test_tuxpaint",
        ),
    ),
    Mutant(
        "the-last-phase-wins",
        f"{ROOM}/phases.py",
        'min(bests, key=lambda pair: (pair[0][monitor], pair[0]["loss"]))',
        "bests[-1]",
        "gradual training keeps the last phase's weights though an earlier one was better",
        ("tests/languages/test_transfer.py",),
    ),
    Mutant(
        "layers-open-from-the-front",
        f"{ROOM}/phases.py",
        "blocks[blocks.index(model.layers()[-opened]) :]",
        "blocks[: blocks.index(model.layers()[opened - 1]) + 1]",
        "gradual training opens the first layers first",
        ("tests/languages/test_transfer.py",),
    ),
)
