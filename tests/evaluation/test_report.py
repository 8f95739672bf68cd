"""The report's files without a browser: escaping, completeness, recordings, size and time."""

from __future__ import annotations

import base64
import html
import io
import json
import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
import soundfile

from asr_transfer.evaluation import listing
from asr_transfer.evaluation.compare import Compared, compare_systems, load
from asr_transfer.evaluation.report import write_report
from asr_transfer.evaluation.scoring import Hypothesis
from tests.made_runs import MORE, garbled, utterances, write_recipe, write_run

HOSTILE = (
    "<script>window.pwned=1</script>",
    "</script><script>window.pwned=1</script>",
    '<img src=x onerror="window.pwned=1">',
    "<!-- <script> -->",
    "{{ 7*7 }} {% raw %} &lt;b&gt;",
    "line\u2028separator \u202e reversed \x00 \ud800",
    "<svg/onload=window.pwned=1> ' \" `",
)


def hostile_run(folder: Path) -> Path:
    """Write a run in which every text tries to be markup."""
    entries = [
        Hypothesis(f"{text[:20]}-{n}", f"<b>{n % 2}</b>", '"><i>', f"said {text}", f"heard {text}")
        for n, text in enumerate(HOSTILE)
    ]
    plain = [replace(e, **{k: v.replace("\ud800", "?") for k, v in vars(e).items()}) for e in entries]
    config = {"name": HOSTILE[1], "list": list(HOSTILE[:3])}
    run = write_run(folder, plain, config=config, command=f"evaluate {HOSTILE[1]}")
    # JSON may hold half a surrogate pair, which no text file can.
    lines = [json.dumps(vars(entry)) for entry in entries]
    (run / "hypotheses.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return run


def page_data(page: str) -> dict[str, object]:
    """Return the data block of a page."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found.group(1))  # type: ignore[no-any-return]


class Outline(HTMLParser):
    """Collects elements, attributes and shown texts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def outline(page: str) -> Outline:
    """Parse a page."""
    found = Outline()
    found.feed(page)
    return found


def compare_folder(*paths: Path) -> Compared:
    """Compare run folders."""
    systems, notes = load([str(path) for path in paths])
    return compare_systems(systems, notes=notes)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a recipe's run folder with recordings."""
    return write_recipe(tmp_path_factory.mktemp("runs") / "demo", utterances(60, MORE), recordings=True)


def test_hostile_texts_stay_texts(tmp_path: Path) -> None:
    result = compare_folder(hostile_run(tmp_path / "<i>run"))
    page = write_report(tmp_path / "out", result, "none", HOSTILE[1]).read_text(encoding="utf-8")
    found = outline(page)
    assert found.tags.count("script") == 2 and "img" in found.tags and "svg" not in found.tags
    assert not {"i", "b", "iframe"} & set(found.tags)
    assert not [name for name, _ in found.attributes if name.startswith("on") or name == "style"]
    assert "said </script><script>window.pwned=1</script>" in found.text
    references = page_data(page)["r"]
    assert isinstance(references, list) and references[1] == f"said {HOSTILE[1]}"
    for name in ("report.md", "report.csv"):
        assert (tmp_path / "out" / name).read_text(encoding="utf-8")
    assert "\\<i\\>run" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


def test_the_page_is_complete_and_fetches_nothing(recipe: Path, tmp_path: Path) -> None:
    page = write_report(tmp_path, compare_folder(recipe), "none", "x").read_text(encoding="utf-8")
    found = outline(page)
    addresses = [value or "" for name, value in found.attributes if name in ("src", "href", "srcset")]
    assert addresses and all(a.startswith(("data:", "#")) for a in addresses)
    assert "http:" not in page and "https:" not in page and "@import" not in page and "url(" not in page
    for part in ("Content-Security-Policy", "prefers-color-scheme: dark", "@media print", 'lang="en"', "viewport"):
        assert part in page


def test_summary_and_worst_utterances_need_no_script(recipe: Path, tmp_path: Path) -> None:
    result = compare_folder(recipe)
    page = write_report(tmp_path, result, "link", "asr-transfer compare demo").read_text(encoding="utf-8")
    before_data = page.split('<script type="application/json"')[0]
    text = " ".join(outline(before_data).text.split())
    for part in ("Lowest WER", "▼ better", "none-0", "Data for the same error as full", "asr-transfer compare demo"):
        assert part in text
    worst = listing.worst_first(result.focus)
    shown = re.findall(r'<li class="card">\s*<header><h3>([^<]+)', before_data)
    assert shown == [result.focus.words.ids[n] for n in worst[: listing.WORST]]
    assert "learning_rates" in text and "checksum" in text and "torch: 2.11.0" in text


def test_data_holds_every_hypothesis(recipe: Path, tmp_path: Path) -> None:
    result = compare_folder(recipe)
    values = listing.data(result, {})

    def heard(system: int, utterance: int) -> str:
        stored = values["h"][system][utterance]
        if stored == 0:
            return str(values["r"][utterance])
        return heard(stored - 1, utterance) if isinstance(stored, int) else str(stored)

    for n, entry in enumerate(result.entries):
        texts = [" ".join(u.hypothesis.split()) for u in entry.system.utterances]
        assert [heard(n, u) for u in range(len(texts))] == texts
        assert values["e"][n] == entry.words.errors.tolist()


def test_recordings_are_linked_beside_the_page(recipe: Path, tmp_path: Path) -> None:
    result = compare_folder(recipe)
    linked, notes = listing.recordings(result, "link", tmp_path / "out")
    assert len(linked) == 60 and not notes
    for address in linked.values():
        assert address.startswith("../") and "#" not in address
        assert (tmp_path / "out" / unquote(address)).resolve().is_file()
    place = listing.Place(str(tmp_path / "a b#?<c>.wav"), None)
    assert listing.links({3: place}, tmp_path) == {3: "./a%20b%23%3F%3Cc%3E.wav"}


def test_recordings_are_embedded_worst_first_as_far_as_room_allows(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = compare_folder(recipe)
    everything, notes = listing.recordings(result, "embed", tmp_path)
    assert len(everything) == 60 and not notes
    first = everything[listing.worst_first(result.focus)[0]]
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(first.split(",")[1])))
    assert rate == 16_000 and 0.25 < len(samples) / rate < 0.5
    monkeypatch.setattr(listing, "EMBEDDED_BYTES", 5 * len(first))
    some, notes = listing.recordings(result, "embed", tmp_path)
    assert list(some) == listing.worst_first(result.focus)[: len(some)] and 3 <= len(some) <= 5
    assert f"worst {len(some)} of 60" in notes[0]
    assert listing.recordings(result, "none", tmp_path) == ({}, [])


def test_json_in_a_page_can_end_nothing() -> None:
    text = "</script><!--&\u2028\u2029"
    written = listing.embedded({"x": text})
    assert not set("<>&\u2028\u2029") & set(written) and json.loads(written) == {"x": text}
    assert html.unescape(written) == written


def test_markdown_is_a_table_whatever_systems_are_called(tmp_path: Path) -> None:
    result = compare_folder(write_run(tmp_path / "a|b *c* `d` [e](f)", garbled(utterances(20), 0.2, 1)))
    write_report(tmp_path / "out", result, "none", "compare ```` x")
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("| a"))
    head = next(line for line in text.splitlines() if line.startswith("| system"))
    assert len(re.findall(r"(?<!\\)\|", line)) == len(re.findall(r"(?<!\\)\|", head))
    assert "\n`````text\ncompare ```` x\n`````\n" in text


def test_a_second_report_replaces_the_first_and_nothing_else(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    for _ in range(2):
        write_report(tmp_path, compare_folder(recipe), "none", "x")
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "mine"
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.slow
def test_twenty_runs_of_3000_utterances_fit(tmp_path: Path) -> None:
    perfect = utterances(3000, [f"speaker-{n:02d}" for n in range(40)], words=17)
    paths = [write_run(tmp_path / f"run-{n}", garbled(perfect, 0.04 + 0.01 * n, n)) for n in range(20)]
    begin = time.process_time()
    page = write_report(tmp_path / "out", compare_folder(*paths), "none", "x")
    seconds = time.process_time() - begin
    assert page.stat().st_size < 15_000_000
    # It takes 6 to 7; the bound is for what grows with the square of something, not for a slow or busy machine.
    assert seconds < 60, f"the report took {seconds:.1f} CPU-seconds"
