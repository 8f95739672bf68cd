"""The report in a real headless Chromium: sorting, filters, hostile texts, themes, keyboard, no requests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asr_transfer.evaluation.class_comparison import compare_classes
from asr_transfer.evaluation.class_report import write_class_report
from asr_transfer.evaluation.class_runs import load_classes
from asr_transfer.evaluation.report import write_report
from tests.browser import CARDS, COLUMN, choose, missing, set_media
from tests.evaluation.test_report import HOSTILE, compare_folder, hostile_run
from tests.made_classes import confused, right, write_class_run
from tests.made_runs import MORE, garbled, utterances, write_recipe, write_run

if lacking := missing():
    pytest.skip(lacking, allow_module_level=True)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the report of a recipe with recordings."""
    folder = tmp_path_factory.mktemp("report")
    recipe = write_recipe(folder / "demo", utterances(96, MORE), recordings=True)
    return write_report(folder / "out", compare_folder(recipe), "link", "asr-transfer compare demo")


def test_tables_sort_by_mouse_and_keyboard(visit: Callable[..., Any], report: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    page = visit(report)
    heads = page.find_elements("css selector", "#summary .scroll table thead th")
    labels = [head.text.split("\n")[0] for head in heads]
    rate = labels.index("WER %")
    button = heads[rate].find_element("tag name", "button")
    button.click()
    rates = [float(text) for text in page.execute_script(COLUMN, rate)[:10]]
    assert rates == sorted(rates) and heads[rate].get_attribute("aria-sort") == "ascending"
    button.send_keys(Keys.ENTER)
    falling = [float(text) for text in page.execute_script(COLUMN, rate)[:10]]
    assert falling == sorted(rates, reverse=True) and heads[rate].get_attribute("aria-sort") == "descending"
    heads[0].find_element("tag name", "button").send_keys(Keys.SPACE)
    names = page.execute_script(COLUMN, 0)[:10]
    assert names[:4] == ["full-5", "full-10", "full-20", "kld-5"], "numbers in names are numbers"
    assert heads[rate].get_attribute("aria-sort") is None
    difference = labels.index("difference")
    for _ in range(2):
        heads[difference].find_element("tag name", "button").click()
        assert page.execute_script(COLUMN, 0)[9] == "none-0", "the baseline has no difference and stays last"


def test_the_report_of_classes_sorts_its_tables_and_asks_for_nothing(visit: Callable[..., Any], tmp_path: Path) -> None:
    runs = [write_class_run(tmp_path / str(seed), confused(right(60), 0.3, seed)) for seed in range(2)]
    compared = compare_classes(load_classes([str(run) for run in runs]))
    page = visit(write_class_report(tmp_path / "out", compared, "asr-transfer compare"))
    head = page.find_element("css selector", "#groups thead th:nth-child(3)")
    head.find_element("tag name", "button").click()
    shown = "return [...document.querySelectorAll('#groups tbody tr')].map(row => Number(row.cells[2].textContent))"
    errors = page.execute_script(shown)
    assert len(errors) == 5 and errors == sorted(errors) and head.get_attribute("aria-sort") == "ascending"
    assert page.find_elements("css selector", "#items tbody tr")


def test_spectrograms_stay_with_their_utterances(visit: Callable[..., Any], report: Path) -> None:
    page = visit(report)
    shown = (
        "return [...document.querySelectorAll('.card img')].map(i => [i.alt, i.naturalWidth, i.parentNode.textContent])"
    )
    before = page.execute_script(shown)
    assert len(before) == 10 and all(width > 20 for _, width, _ in before)
    choose(page, "order", "by name")
    after = page.execute_script(shown)
    assert after, "some of the worst are among the first by name"
    for alt, _, text in after:
        assert alt.removeprefix("Spectrogram of ").split(",")[0] in text


def test_filters_and_order(visit: Callable[..., Any], report: Path) -> None:
    page = visit(report)
    status = page.find_element("id", "status")
    assert status.text.startswith("40 of 96 utterances, WER ")
    server = report.read_text(encoding="utf-8")
    cards = page.execute_script(CARDS)
    assert server.index(f"<h3>{cards[0]}") < server.index(f"<h3>{cards[1]}") < server.index(f"<h3>{cards[24]}")
    more = page.find_element("id", "more")
    more.click()
    assert status.text.startswith("80 of 96") and len(page.execute_script(CARDS)) == 80
    more.click()
    assert len(page.execute_script(CARDS)) == 96 and not more.is_displayed()
    choose(page, "speaker", "bob")
    assert status.text.startswith("8 of 8")
    assert all(name.startswith("bob-") for name in page.execute_script(CARDS))
    choose(page, "speaker", "all 12")
    choose(page, "language", "fr")
    assert {name.split("-")[0] for name in page.execute_script(CARDS)} == {"eve", "gus"}
    choose(page, "order", "by name")
    assert page.execute_script(CARDS) == sorted(page.execute_script(CARDS))
    choose(page, "language", "all 2")
    box = page.find_element("css selector", "#filters [name=text]")
    box.send_keys("dora-0003")
    page.implicitly_wait(2)
    page.find_element("xpath", "//p[@id='status'][starts-with(., '1 of 1')]")
    assert page.execute_script(CARDS) == ["dora-0003#0"]
    page.implicitly_wait(0)


def test_the_scripts_alignment_has_as_many_errors_as_the_scores(visit: Callable[..., Any], report: Path) -> None:
    page = visit(report)
    counted = page.execute_script(
        """return [...document.querySelectorAll('#cards .card')].flatMap(card =>
        [...card.querySelectorAll('.lines > dt')].slice(1).map(dt => {
          const text = dt.nextElementSibling;
          return [parseInt(dt.querySelector('.count').textContent),
                  text.querySelectorAll('ins').length + text.querySelectorAll('del.d').length];
        }))"""
    )
    assert len(counted) == 80 and all(told == shown for told, shown in counted)
    assert max(told for told, _ in counted) > 3


def test_the_other_systems_unfold_and_players_are_named(visit: Callable[..., Any], report: Path) -> None:
    page = visit(report)
    first = page.find_element("css selector", "#cards .card")
    first.find_element("tag name", "summary").click()
    page.implicitly_wait(2)
    first.find_element("css selector", "details .lines")
    page.implicitly_wait(0)
    assert len(first.find_elements("css selector", "details dt")) == 8
    player = first.find_element("tag name", "audio")
    assert player.get_attribute("preload") == "none" and "Recording of" in player.get_attribute("aria-label")
    assert player.get_attribute("src").startswith("file://")


def test_hostile_texts_stay_texts(visit: Callable[..., Any], tmp_path: Path) -> None:
    run = hostile_run(tmp_path / "<img src=x onerror=window.pwned=1>")
    result = compare_folder(run)
    page = visit(write_report(tmp_path / "out", result, "link", HOSTILE[0]))
    choose(page, "order", "by name")
    assert page.execute_script("return window.pwned") is None
    assert page.execute_script("return document.querySelectorAll('img[src=x], svg, i, main b, iframe').length") == 0
    shown = page.execute_script("return [...document.querySelectorAll('.lines dt + dd')].map(e => e.textContent)")
    for text in HOSTILE[:4]:
        assert f"said {text}" in shown
    assert page.execute_script("return document.scripts.length") == 2


def test_injected_scripts_would_not_run(driver: Any, report: Path, tmp_path: Path) -> None:
    """The second lock: even markup that got into the page is stopped by its content security policy."""
    broken = tmp_path / "broken.html"
    text = report.read_text(encoding="utf-8")
    broken.write_text(text.replace("<footer>", HOSTILE[0] + HOSTILE[2] + "<footer>"), encoding="utf-8")
    set_media(driver)
    driver.get(broken.as_uri())
    assert driver.execute_script("return window.pwned") is None
    assert any("Content Security Policy" in entry["message"] for entry in driver.get_log("browser"))


def test_without_scripts_summary_and_worst_utterances_are_there(visit: Callable[..., Any], report: Path) -> None:
    page = visit(report, scripts=False)
    text = page.find_element("tag name", "body").text
    assert "Lowest WER" in text and "▼ better" in text and "System" not in text
    assert len(page.find_elements("css selector", "#cards .card")) == 25
    set_media(page)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_themes_have_contrast(visit: Callable[..., Any], report: Path, theme: str) -> None:
    """Text on its background, 4.5 : 1 or more (WCAG 2, AA), for everything that is shown."""
    page = visit(report, theme)
    low = page.execute_script(
        """const luminance = ([r, g, b]) => [r, g, b].map(v => v / 255)
          .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
          .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
        const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
        const background = element => {
          for (; element; element = element.parentElement) {
            const colour = numbers(getComputedStyle(element).backgroundColor);
            if (colour.length === 3 || colour[3] > 0) return colour;
          }
          return [255, 255, 255];
        };
        const low = [];
        for (const element of document.querySelectorAll('body *')) {
          const own = [...element.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
          if (!own || !element.checkVisibility()) continue;
          const [a, b] = [numbers(getComputedStyle(element).color), background(element)].map(luminance);
          const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
          if (ratio < 4.5) low.push([element.tagName, element.className, ratio]);
        }
        return low.slice(0, 5);"""
    )
    assert low == []
    page_colour = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (page_colour == "rgb(255, 255, 255)") == (theme == "light")
    shown = page.execute_script("return document.querySelector('figure img').currentSrc")
    assert (shown == page.execute_script("return document.querySelector('figure img').src")) == (theme == "light")


def test_everything_that_acts_has_a_name(visit: Callable[..., Any], report: Path) -> None:
    page = visit(report)
    nameless = page.execute_script(
        """return [...document.querySelectorAll('button, select, input, audio, img, [role=region], summary, a')]
        .filter(e => !(e.textContent.trim() || e.getAttribute('aria-label') || e.alt || e.labels?.length))
        .map(e => e.outerHTML.slice(0, 80))"""
    )
    assert nameless == []
    assert page.execute_script("return document.querySelectorAll('h1').length") == 1
    ids = page.execute_script("return [...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(set(ids)) == len(ids)


def test_a_phone_scrolls_tables_and_not_the_page(visit: Callable[..., Any], report: Path, driver: Any) -> None:
    metrics = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        page = visit(report)
        assert page.execute_script("return document.documentElement.scrollWidth") <= 360
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_print_hides_what_paper_cannot_do(visit: Callable[..., Any], report: Path) -> None:
    page = visit(report, "dark", media="print")
    visible = "return [...document.querySelectorAll(arguments[0])].some(e => e.checkVisibility())"
    for selector in ("nav", "form.filters", "audio", "#more"):
        assert page.execute_script(visible, selector) is False
    assert page.execute_script("return getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    set_media(page)


def test_one_system_alone_has_no_test(visit: Callable[..., Any], tmp_path: Path) -> None:
    run = write_run(tmp_path / "alone", garbled(utterances(10, ["ann"]), 0.3, 1))
    page = visit(write_report(tmp_path / "out", compare_folder(run), "embed", "x"))
    assert page.find_element("tag name", "h1").text == "Results of alone"
    assert not page.find_elements("css selector", "#filters [name=speaker], .mark")
    assert "one speaker only" in page.find_element("css selector", ".notes").text
