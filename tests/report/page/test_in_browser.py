"""The page in a real browser: what is drawn, what the pointer and the keys do, and what the address keeps."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from report.page.contents import contents
from report.page.document import embedded
from report.page.document import page as page_text
from report.page.merge import merged
from report.page.pictures import Album
from tests.material.browser import Browser
from tests.material.pages import made_up, text_of
from tuning.records import SweepRecord, ranked

pytestmark = [pytest.mark.browser, pytest.mark.slow]

N = 120


@pytest.fixture(scope="module")
def sweep() -> SweepRecord:
    return made_up(N)


@pytest.fixture(scope="module")
def address(sweep: SweepRecord, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(text_of(sweep))
    return f"file://{path}"


@pytest.fixture(scope="module")
def tab() -> Iterator[Browser]:
    """One browser for all, because it takes seconds to start."""
    with Browser() as browser:
        yield browser


@pytest.fixture
def page(tab: Browser, address: str) -> Iterator[Browser]:
    """The page as it is first opened. Afterwards nothing was asked of the network and no error was told."""
    tab.open(address)
    yield tab
    assert tab.problems == []


def point(page: Browser, trial_id: str) -> tuple[float, float]:
    """Where a trial stands in the plane, in the window, with the plane scrolled into sight."""
    page.middle("#plane")
    x, y = page.run(
        f"(() => {{ const one = plane.points.find(({{i}}) => IDS[i] === '{trial_id}'), "
        "box = plane.chart.box.getBoundingClientRect(); return [box.x + one.px, box.y + one.py]; })()"
    )
    return float(x), float(y)


def grip(page: Browser, name: str) -> dict[str, float]:
    """An axis of the parallel coordinates, in the window."""
    page.middle("#parallel")
    found: dict[str, float] = page.run(
        f"document.querySelector('.grip[data-name={name}] .hold').getBoundingClientRect().toJSON()"
    )
    return found


def brush(page: Browser, name: str, low: float, high: float) -> None:
    """Drag from a share of an axis's height to another one, counted from below."""
    box = grip(page, name)
    x, bottom = box["x"] + box["width"] / 2, box["y"] + box["height"]
    page.drag((x, bottom - low * box["height"]), (x, bottom - high * box["height"]))


def trials_in_table(page: Browser) -> list[str]:
    found: list[str] = page.run("[...document.querySelectorAll('#table-body tr')].map((row) => row.dataset.trial)")
    return found


def in_pixel(page: Browser, chart: str, x: float, y: float) -> list[int]:
    """[r, g, b, a] of what a chart's canvas shows there, in its own pixels."""
    found: list[int] = page.run(
        f"(() => {{ const copy = el('canvas'), from = {chart}.chart.base; copy.width = from.width;"
        "copy.height = from.height; const context = copy.getContext('2d', {willReadFrequently: true});"
        f"context.drawImage(from, 0, 0); return [...context.getImageData({x}, {y}, 1, 1).data]; }})()"
    )
    return found


def test_every_point_stands_at_its_rate_and_distortion_in_the_colour_of_its_beta(
    page: Browser, sweep: SweepRecord
) -> None:
    """Read back from what was drawn: pixels, and the axes' own labels."""
    ticks = page.run(
        "[...plane.chart.axes.querySelectorAll('text:not(.title)[text-anchor=middle]')]"
        ".filter((one) => !one.closest('.iso')).map((one) => [Number(one.textContent), Number(one.getAttribute('x'))])"
    )
    (low, left), (high, right) = ticks[0], ticks[-1]
    complete = [one for one in ranked(sweep.trials) if one.state == "complete"]
    points: list[dict[str, Any]] = page.run(
        "plane.points.map(({i, px, py, isOutside}) => ({id: IDS[i], px, py, isOutside}))"
    )
    places = {one["id"]: one for one in points if not one["isOutside"]}
    for record in complete[:10]:
        best, at = record.best, places[record.trial_id]
        assert best is not None
        assert at["px"] == pytest.approx(left + (best.val_rate - low) / (high - low) * (right - left), abs=0.5)
    by_beta = sorted((one for one in complete if one.trial_id in places), key=lambda one: one.config.beta)
    few, many = (
        in_pixel(page, "plane", places[one.trial_id]["px"], places[one.trial_id]["py"])
        for one in (by_beta[0], by_beta[-1])
    )
    assert few[2] > few[1], "violet"
    assert many[1] > many[2], "green"


def test_the_card_shows_the_trial_under_the_pointer_with_its_own_pictures(page: Browser, sweep: SweepRecord) -> None:
    chosen = [one for one in ranked(sweep.trials) if one.state == "complete"][7]
    page.move(*point(page, chosen.trial_id))
    card = page.text("#card")
    assert f"Trial {chosen.trial_id}" in card
    assert chosen.best is not None
    assert f"{-chosen.best.val_elbo:.2f}" in card
    page.until("[...document.querySelectorAll('#card img')].every((one) => one.complete)")
    grey = page.run(
        "(() => { const image = [...document.querySelectorAll('#card img')][1], canvas = el('canvas');"
        "canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;"
        "const context = canvas.getContext('2d'); context.drawImage(image, 0, 0);"
        "return context.getImageData(10, 10, 1, 1).data[0]; })()"
    )
    assert grey == pytest.approx(int(chosen.trial_id) % 250, abs=4)


def test_a_brush_on_an_axis_selects_for_the_whole_page_and_a_click_takes_it_away(
    page: Browser, sweep: SweepRecord
) -> None:
    brush(page, "beta", 0.5, 1.2)
    low, _ = page.run("CHOSEN.brushes.get('beta')")
    inside = {record.trial_id for record in sweep.trials if record.config.beta >= low}
    assert 10 < len(inside) < N - 10
    assert page.text("#selected") == f"{len(inside)} of {N} trials selected"
    assert set(trials_in_table(page)) <= inside
    assert set(page.run("curves.lines.map(({i}) => IDS[i])")) <= inside
    box = grip(page, "beta")
    page.click(box["x"] + box["width"] / 2, box["y"] + 20)
    assert page.text("#selected") == f"{N} trials"


def test_the_table_sorts_by_a_heading_both_ways(page: Browser, sweep: SweepRecord) -> None:
    by_beta = [one.trial_id for one in sorted(sweep.trials, key=lambda one: one.config.beta)]
    heading = "#table-head th:nth-child(10) button"
    assert page.text(heading).strip() == "\N{GREEK SMALL LETTER BETA}"
    page.click(*page.middle(heading))
    assert trials_in_table(page) == by_beta[:50]
    page.click(*page.middle(heading))
    assert trials_in_table(page) == by_beta[::-1][:50]


def test_the_filter_understands_states_words_and_numbers(page: Browser, sweep: SweepRecord) -> None:
    expected = [one for one in sweep.trials if one.state == "pruned" and one.config.beta < 1]
    page.run(
        "(() => { byId('find').value = 'state=pruned beta<1'; byId('find').dispatchEvent(new Event('input')); })()"
    )
    page.frame()
    assert page.text("#selected") == f"{len(expected)} of {N} trials selected"


def test_pinned_trials_stand_side_by_side_with_only_what_differs(page: Browser, sweep: SweepRecord) -> None:
    first, second = [one for one in ranked(sweep.trials) if one.state == "complete"][:2]
    page.click(*point(page, first.trial_id))
    page.click(*point(page, second.trial_id))
    head = page.text("#compare thead")
    assert head.index(first.trial_id) < head.index(second.trial_id)
    rows = page.run(
        "[...document.querySelectorAll('#compare tbody tr')]"
        ".map((row) => [...row.children].map((one) => one.innerText))"
    )
    shown = {row[0]: row[1:] for row in rows}
    assert "state" not in shown, "both are complete"
    assert shown["learning rate"] == [f"{one.config.learning_rate:.4g}" for one in (first, second)]
    assert page.run("document.querySelectorAll('#compare img').length") == 6


def test_at_most_four_trials_are_pinned(page: Browser, sweep: SweepRecord) -> None:
    for k in range(5):
        page.click(*page.middle(f"#table-body tr:nth-child({k + 1})"))
    assert page.run("document.querySelectorAll('#compare thead th').length") == 1 + 4


def test_the_address_keeps_the_view(page: Browser, sweep: SweepRecord) -> None:
    page.click(*page.middle("#table-body tr:nth-child(3)"))
    brush(page, "val_elbo", 0.4, 1.2)
    page.run("change({colour: 'latent_size', sort: '-beta', curve: 'rate', by: 'images'})")
    page.frame()
    before = page.text("#selected"), page.text("#compare thead"), trials_in_table(page), page.run("location.hash")
    page.reload()
    assert (
        page.text("#selected"),
        page.text("#compare thead"),
        trials_in_table(page),
        page.run("location.hash"),
    ) == before
    assert page.run("[byId('colour').value, byId('curve').value, byId('by').value]") == [
        "latent_size",
        "rate",
        "images",
    ]


def test_an_address_of_nonsense_is_a_page(page: Browser, address: str) -> None:
    page.open(
        f"{address}#colour=nope&sort=nope&curve=nope&by=nope&pins=nope&only.beta=x&only.nope=1+2&theme=nope&find=%3C"
    )
    assert page.text("#plane-title") == "Rate against distortion"


def test_the_keys_go_from_point_to_point_and_pin(page: Browser) -> None:
    page.run("document.querySelector('#plane .chart').focus()")
    page.press("ArrowRight")
    first = page.text("#card h3")
    page.press("ArrowRight")
    assert page.text("#card h3") != first
    page.press("Enter")
    assert page.run("CHOSEN.pins.length") == 1


def test_the_keys_brush_an_axis(page: Browser) -> None:
    page.run("document.querySelector('.grip[data-name=beta]').focus()")
    page.press("ArrowDown")
    some = page.run("nSelected()")
    assert 0 < some < N
    page.press("ArrowDown")
    assert page.run("document.activeElement.dataset.name") == "beta"
    page.press("Escape")
    assert page.run("nSelected()") == N


def test_the_selection_is_saved_as_the_rows_of_the_leaderboard(page: Browser, sweep: SweepRecord) -> None:
    page.run("change({find: 'state=complete'})")
    lines = page.run("table.csv()").splitlines()
    assert lines[0].split(",")[:3] == ["rank", "trial_id", "state"]
    assert len(lines) == 1 + sum(one.state == "complete" for one in sweep.trials)
    best = ranked(sweep.trials)[0]
    assert best.best is not None
    assert f"{best.best.val_elbo!r}" in lines[1].split(",")


def test_dark_and_light_follow_the_system_and_the_button(page: Browser) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    page.prefer("dark")
    assert page.run(paper) == "rgb(20, 24, 28)"
    page.click(*page.middle("#theme"))
    assert page.run(paper) == "rgb(255, 255, 255)"
    page.prefer("light")


def test_the_page_of_a_sweep_that_runs_loads_itself_anew(tab: Browser, tmp_path: Path) -> None:
    path = tmp_path / "index.html"
    for n in (3, 5):
        path.write_text(page_text(contents(made_up(n), {}, Album(), "running") | {"rebuilt_every": 1}))
        if n == 3:
            tab.send("Page.navigate", url=f"file://{path}#sort=-beta")
        tab.until(
            f"byId('selected').textContent === '{n} trials' && byId('built').textContent.includes('Live: written')"
        )
    tab.until("CHOSEN.sort === '-beta'")


def test_a_page_that_nobody_writes_any_more_says_so(tab: Browser, tmp_path: Path) -> None:
    path = tmp_path / "index.html"
    data = contents(made_up(3), {}, Album(), "running") | {"built": "2026-01-01T00:00:00+00:00"}
    path.write_text(page_text(data))
    tab.open(f"file://{path}")
    assert "not since: the sweep has ended or was cut off" in tab.text("#built")


def test_trials_without_a_rate_are_ranked_against_their_time(tab: Browser, tmp_path: Path) -> None:
    sweep = made_up(40, mode="autoencoder")
    for record in sweep.trials:
        record.history = [replace(one, val_rate=None, val_elbo=None, train_elbo=None) for one in record.history]
        record.metric = "val_distortion"
    path = tmp_path / "index.html"
    path.write_text(page_text(contents(sweep, {}, Album(), "ended")))
    tab.open(f"file://{path}")
    assert tab.text("#plane-title") == "distortion against training time"
    assert tab.run("plane.points.length") == 40
    assert tab.run("DIMENSIONS.map((one) => one.name).includes('val_rate')") is False
    assert tab.problems == []


def test_two_sweeps_share_one_page(tab: Browser, tmp_path: Path) -> None:
    pages = [embedded(text_of(made_up(30, name, seed=seed))) for name, seed in (("one", 1), ("two", 2))]
    path = tmp_path / "index.html"
    path.write_text(page_text(merged(pages)))
    tab.open(f"file://{path}")
    assert tab.run("[...document.querySelectorAll('h1')].map((one) => one.innerText)") == ["one", "two"]
    assert tab.run("[CHOSEN.colour, document.querySelectorAll('#legend .dot').length]") == ["sweep", 2]
    tab.click(*tab.middle("#table-body tr:nth-child(1)"))
    best = tab.run("idOf(0)")
    assert tab.run("decodeURIComponent(location.hash)") == f"#pins={best}"
    tab.reload()
    assert best in tab.text("#compare thead")
    assert tab.problems == []


def test_the_bars_of_importance_are_as_long_as_the_shares(tab: Browser, tmp_path: Path) -> None:
    data = contents(made_up(12), {}, Album(), "ended")
    rows = [("beta", 0.75, (0.5, 0.875)), ("latent size", 0.25, (0.125, 0.375))]
    named = [dict(zip(("label", "share", "interval"), row, strict=True)) for row in rows]
    data["sweeps"][0]["importance"] = {"rows": named, "note": "Said below."}
    path = tmp_path / "index.html"
    path.write_text(page_text(data))
    tab.open(f"file://{path}")
    lengths = tab.run(
        "[...document.querySelectorAll('.importance-row')].map((row) => {"
        "const boxes = ['.track', '.bar', '.range'].map((name) => row.querySelector(name).getBoundingClientRect());"
        "const [track, bar, range] = boxes;"
        "return [bar.width, range.x - track.x, range.width].map((one) => one / track.width); })"
    )
    for (_, share, (low, high)), found in zip(rows, lengths, strict=True):
        assert found == pytest.approx([share, low, high - low], abs=0.01)
    assert "beta\n75 %, 50 to 88 %" in tab.text("#importance")


def test_ten_thousand_trials_open_in_under_two_seconds(tab: Browser, tmp_path: Path) -> None:
    """To the frame in which all is drawn. By the processor's time of the page: other tests share the machine."""
    path = tmp_path / "index.html"
    path.write_text(text_of(made_up(10_000)))
    seconds = tab.cpu_seconds_to_open(f"file://{path}")
    print(f"\n{path.stat().st_size / 1e6:.2f} MB, opened in {seconds:.2f} s of the processor")
    assert tab.text("#selected") == "10,000 trials"
    assert tab.run("plane.points.length") > 9000
    assert seconds < 2.0
    assert tab.problems == []


def test_a_page_of_two_hundred_trials_with_pictures_is_small() -> None:
    size = len(text_of(made_up(200)).encode())
    print(f"\n{size / 1e6:.2f} MB")
    assert size < 2_500_000
