"""Bugs of figures: error rates, intervals, what is compared, and what a record says of a run."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

ROOM = "asr_transfer/evaluation"

MUTANTS = (
    Mutant(
        "nothing-was-said-but-counts",
        f"{ROOM}/scoring.py",
        "chosen = self.scored if where is None else self.scored & where",
        "chosen = np.ones(len(self.ids), bool) if where is None else where",
        "words that are recognised in silence raise the error rate",
        ("tests/test_scoring.py",),
    ),
    Mutant(
        "insertions-lengthen-the-reference",
        f"{ROOM}/scoring.py",
        "reference=table[:3].sum(0)",
        "reference=table.sum(0)",
        "error rates are divided by reference words and inserted words",
        ("tests/test_scoring.py",),
    ),
    Mutant(
        "spaces-are-no-characters",
        f"{ROOM}/normalisation.py",
        'return words if unit == "word" else list(" ".join(words))',
        'return words if unit == "word" else list("".join(words))',
        "character error rates leave spaces out",
        ("tests/test_normalisation.py",),
    ),
    Mutant(
        "what-was-not-recognised-is-left-out",
        f"{ROOM}/text_pairs.py",
        "            for name, said in kept.items()\n",
        "            for name, said in kept.items()\n            if name in hypotheses\n",
        "utterances that a recogniser returned nothing for are not counted as its errors",
        ("tests/test_runs.py",),
    ),
    Mutant(
        "words-belong-where-they-begin",
        f"{ROOM}/text_pairs.py",
        "if s.begin <= word.middle < s.end]",
        "if s.begin <= word.begin < s.end]",
        "a word that crosses the beginning of a segment belongs to the one before, or to none",
        ("tests/regressions/test_texts_of_other_toolkits.py",),
    ),
    Mutant(
        "ninety-per-cent-are-called-ninety-five",
        f"{ROOM}/clusters.py",
        "half = float(stats.t.ppf((1 + LEVEL) / 2, max(1.0, freedom)))",
        "half = float(stats.t.ppf(LEVEL, max(1.0, freedom)))",
        "the interval of a reduction is one of 90 %",
        ("tests/test_promises.py", "tests/test_language_pairs.py"),
    ),
    Mutant(
        "jackknife-without-its-factor",
        f"{ROOM}/clusters.py",
        ".sum() * (count - 1) / count)",
        ".sum() / count)",
        "intervals are too narrow by the root of the number of clusters",
        ("tests/test_promises.py", "tests/test_language_pairs.py"),
    ),
    Mutant(
        "stars-beyond-what-a-sign-test-reaches",
        f"{ROOM}/clusters.py",
        "return max(reachable(count), float(2 * stats.t.sf(",
        "return max(0.0, float(2 * stats.t.sf(",
        "four seeds that agree by luck are called a finding",
        ("tests/test_promises.py", "tests/test_language_pairs.py"),
    ),
    Mutant(
        "curves-cross-elsewhere",
        f"{ROOM}/curves.py",
        "share = np.where(first > 0, (high - error)",
        "share = np.where(first > 0, (error - low)",
        "the amount of data at an error lies on the wrong side between two amounts",
        ("tests/test_curves.py",),
    ),
    Mutant(
        "holm-counts-one-too-few",
        f"{ROOM}/significance.py",
        "(len(values) - rank) * values[n]",
        "(len(values) - rank - 1) * values[n]",
        "p values are corrected for one comparison less than were made",
        ("tests/test_significance.py",),
    ),
    Mutant(
        "changed-data-at-the-same-place",
        f"{ROOM}/resuming.py",
        'if before.get("checksum") in (None, now["checksum"]):',
        'if before.get("checksum") is None or before.get("path") == now.get("path"):',
        "a run goes on with other data that lie where the first ones lay",
        ("tests/regressions/test_resuming_elsewhere.py",),
    ),
    Mutant(
        "changed-code-passes-for-clean",
        f"{ROOM}/attempts.py",
        'all(one["commit"] and not one["changes"] for one in record["attempts"])',
        'all(one["commit"] for one in record["attempts"])',
        "a record of uncommitted code counts as one of the history",
        ("tests/test_attempts.py",),
    ),
    Mutant(
        "earlier-attempts-are-forgotten",
        f"{ROOM}/attempts.py",
        "return [*attempts_of(earlier or {}), {",
        "return [{",
        "a resumed run is put down to the code that resumed it",
        ("tests/test_attempts.py",),
    ),
    Mutant(
        "a-kill-between-two-renames",
        "asr_transfer/models/replacing.py",
        "elif not _exchange(partial, target):\n            os.replace(target, old)",
        "else:\n            shutil.rmtree(target)",
        "a model is removed before its replacement is in place",
        ("tests/regressions/test_killed_while_replacing.py",),
    ),
)
