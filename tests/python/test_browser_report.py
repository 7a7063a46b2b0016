"""report.html in headless Chromium: charts are drawn and hold the data's marks, tables sort, hovering shows numbers, text stays
text, nothing is asked of the network, and light, dark, narrow and printed pages are what they should be."""

import json
import re
import shutil

import pytest

from e2e_helpers import chorale, colour_records, write_jsonl
from runs_helpers import finished, make_world, recipe_in

playwright = pytest.importorskip("playwright.sync_api", reason="no playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if not CHROMIUM:
    pytest.skip("no chromium", allow_module_level=True)

HOSTILE = "<script>window.broken = 1</script></script><img src=x onerror='window.broken = 2'> & \u2028"
COLOUR_OF_ROW = {"members_mean": "var(--single)", "single_temperature_scaled": "var(--single)",
                 "ensemble": "var(--ensemble)", "ensemble_temperature_scaled": "var(--ensemble)"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two finished runs, one of a single member without validation, test or shifted set, a completion, and all in one page."""
    directory = make_world(tmp_path_factory.mktemp("browser"))
    records = colour_records(60, 3, options=5, key="test")
    for record in records:
        record["note"] = HOSTILE
        record["id"] += "<script>window.broken = 3</script>"
    write_jsonl(directory / "test.jsonl", records)
    recipe_in(directory, "first", {"training": {"epochs": 12, "learning_rate": 0.05}})
    recipe_in(directory, "second", {"name": "other", "ensemble": {"members": 2}})
    recipe_in(directory, "bare", {"ensemble": {"members": 1}, "data": {"validation": None, "test": None, "shifted": []}})
    recipe_in(directory, "completion", {"task": {"kind": "completion", "choices": None, "labels": None, "answer": "colour"}})
    for name in ("first", "second", "bare", "completion"):
        finished(directory, name, "data.max_tokens=250")
    done = chorale("report", "first", "second", "--output", "both.html", cwd=directory)
    assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Opened:
    """A page that was opened, with everything it said or asked for."""

    def __init__(self, browser, path, width=1280, scheme="light", scripts=True):
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=scripts)
        self.page = self.context.new_page()
        self.said, self.asked = [], []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.url = path.as_uri()
        self.page.goto(self.url)
        if scripts:
            self.page.wait_for_function(
                "document.querySelectorAll('.chart').length === document.querySelectorAll('.chart[data-drawn]').length")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.context.close()
        if error[0] is None:
            assert self.said == [] and self.asked == [self.url]

    def value(self, script):
        return self.page.evaluate(script)

    def chart(self, name):
        return self.page.locator(f'.chart[data-chart="{name}"]')


def run_of(world, name):
    text = (world / name / "report.html").read_text()
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text).group(1))["runs"][0]


@pytest.mark.parametrize("name", ["first/report.html", "second/report.html", "bare/report.html", "completion/report.html", "both.html"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_chart_is_drawn_and_nothing_is_wider_than_the_page(world, browser, name, width):
    with Opened(browser, world / name, width) as opened:
        charts = opened.value("""[...document.querySelectorAll('.chart')].map((box) => ({
            name: box.dataset.chart, paths: box.querySelectorAll('svg path, svg line').length,
            texts: box.querySelectorAll('svg text').length, width: box.querySelector('svg').getBoundingClientRect().width,
            box: box.getBoundingClientRect().width}))""")
        assert len(charts) >= {"bare/report.html": 1, "completion/report.html": 2, "both.html": 25}.get(name, 15)
        for chart in charts:
            assert chart["paths"] >= 3 and chart["texts"] >= 3, chart
            assert chart["box"] - 1 <= chart["width"] <= chart["box"] + 1, chart
        assert opened.value("document.documentElement.scrollWidth") <= width


def test_marks_are_the_datas(world, browser):
    """What is drawn is counted, and measured, against the page's own data."""
    run = run_of(world, "first")
    with Opened(browser, world / "first/report.html") as opened:
        for row, bins in run["charts"]["test"]["reliability"].items():
            marks = opened.chart(f"reliability-{row}").locator(f'.mark-symbol path[stroke="{COLOUR_OF_ROW[row]}"]')
            assert marks.count() == len(bins)
            bars = opened.chart(f"reliability-{row}").locator(f'.mark-rect path[fill="{COLOUR_OF_ROW[row]}"]')
            heights = [bars.nth(i).bounding_box()["height"] for i in range(bars.count())]
            assert len(heights) == len(bins)
            tallest = max(b["count"] for b in bins)
            for b, height in zip(bins, heights):
                assert height == pytest.approx(46 * b["count"] / tallest, abs=1.5)
        count = opened.chart("count-nll").locator('.mark-symbol path[fill="var(--ensemble)"]')
        assert count.count() == run["members"]
        # The more members, the lower the NLL: on a screen, the larger y.
        tops = [count.nth(i).bounding_box()["y"] for i in range(count.count())]
        values = [entry["nll"][0] for entry in run["charts"]["test"]["members"]]
        assert sorted(range(3), key=lambda i: tops[i]) == sorted(range(3), key=lambda i: -values[i])
        assert opened.chart("matrix").locator(".mark-rect path").count() == run["members"] ** 2
        lines = opened.chart("training-loss").locator(".mark-line path")
        assert lines.count() == run["members"] + 1  # and their mean
        pooled = opened.chart("validation-nll").locator('.mark-line path[stroke="var(--ensemble)"]')
        assert pooled.count() == 1 and len(run["curves"]["validation"]["pooled"]["steps"]) == 12
        bars = opened.chart("histogram-entropy").locator('.mark-rect path[fill="var(--indomain)"]')
        assert bars.count() == 24


def test_text_from_data_stays_text(world, browser):
    with Opened(browser, world / "first/report.html") as opened:
        texts = opened.page.locator(".example-text").all_inner_texts()
        assert texts and all("<script>window.broken = 1</script></script><img src=x" in text for text in texts)
        assert opened.value("window.broken === undefined && document.querySelectorAll('img, iframe, object').length === 0")
        assert opened.page.locator("script").count() == 2
        assert "<script>window.broken = 3</script>" in opened.page.locator(".example-id").first.inner_text()


def test_code_made_at_run_time_and_requests_are_forbidden(world, browser):
    opened = Opened(browser, world / "first/report.html")
    refused = opened.value("""(async () => {
        const results = [];
        // Later, for the browser lets the driver's own call make code.
        await new Promise((done) => setTimeout(done, 20));
        try { new Function('return 1')(); results.push('made code'); } catch (error) { results.push(error.name); }
        try { await fetch('http://127.0.0.1:9/'); results.push('fetched'); } catch (error) { results.push(error.name); }
        const script = document.createElement('script');
        script.textContent = 'window.injected = 1';
        document.body.append(script);
        results.push(window.injected === undefined ? 'not run' : 'run');
        return results;
    })()""")
    assert refused == ["EvalError", "TypeError", "not run"]
    assert all("Content Security Policy" in text for text in opened.said)
    opened.context.close()


def test_tables_sort(world, browser):
    with Opened(browser, world / "first/report.html") as opened:
        table = opened.page.locator("#members table")
        button = table.get_by_role("button", name="NLL")

        def column():
            return [float(text) for text in table.locator("tbody tr td:nth-child(3)").all_inner_texts()]

        start = column()
        button.click()
        assert column() == sorted(start) and table.locator('th[aria-sort="ascending"]').inner_text().startswith("NLL")
        button.click()
        assert column() == sorted(start, reverse=True) and len(set(start)) > 1
        table.get_by_role("button", name="member").click()
        assert column() == start


def test_hovering_shows_numbers(world, browser):
    run = run_of(world, "first")
    with Opened(browser, world / "first/report.html") as opened:
        tooltip = opened.page.locator(".tooltip")
        last = run["charts"]["test"]["reliability"]["ensemble"][-1]
        opened.chart("reliability-ensemble").locator('.mark-symbol path[fill="transparent"]').last.hover()
        tooltip.wait_for(state="visible")
        text = tooltip.inner_text().replace("\u00a0", " ")
        assert f"{100 * last['accuracy']:.1f} %" in text and f"{100 * last['confidence']:.1f} %" in text
        opened.chart("matrix").locator(".mark-rect path").nth(1).hover()
        share = run["charts"]["test"]["disagreement"][0][1]
        assert f"{100 * share:.1f} %" in tooltip.inner_text().replace("\u00a0", " ")
        opened.page.mouse.move(5, 5)
        tooltip.wait_for(state="hidden")
        opened.page.locator(".tile .term").first.hover()
        tooltip.wait_for(state="visible")
        assert "Higher is better" in tooltip.inner_text()


def test_numbers_of_a_chart_open_as_a_table(world, browser):
    run = run_of(world, "first")
    with Opened(browser, world / "first/report.html") as opened:
        figure = opened.page.locator("figure").filter(has=opened.chart("reliability-ensemble"))
        figure.locator("summary").click()
        figure.locator("tbody tr").first.wait_for()
        assert figure.locator("tbody tr").count() == len(run["charts"]["test"]["reliability"]["ensemble"])


def test_sets_kinds_of_examples_and_runs_can_be_chosen(world, browser):
    run = run_of(world, "first")
    with Opened(browser, world / "first/report.html") as opened:
        before = opened.page.locator("#results .tile-value").first.inner_text()
        opened.page.get_by_role("group", name="Set", exact=True).get_by_role("button", name="validation set").click()
        shown = run["metrics"]["datasets"]["validation"]["ensemble"]["accuracy"]
        after = opened.page.locator("#results .tile-value").first.inner_text().replace("\u00a0", " ")
        assert after != before and f"{100 * shown:.1f} %" in after
        opened.page.get_by_role("button", name="Least sure").click()
        first = run["examples"]["test"]["examples"][str(run["examples"]["test"]["lists"]["total"][0])]
        assert opened.page.locator(".example-id").first.inner_text() == first["id"]
    with Opened(browser, world / "both.html") as opened:
        assert opened.page.locator("#compare tbody").first.locator("tr").count() == 2
        assert "3 members" in opened.page.locator(".run .kicker").inner_text()
        opened.page.get_by_role("group", name="Run", exact=True).get_by_role("button", name="other").click()
        assert "other · 2 members" in opened.page.locator(".run .kicker").inner_text()
        assert opened.page.locator("#compare code", has_text="ensemble.members").count() == 1


def test_dark_and_light(world, browser):
    def colours(opened):
        return opened.value("""[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector('.card')).backgroundColor,
            getComputedStyle(document.querySelector('.chart svg text')).fill,
            getComputedStyle(document.querySelector('.chart .mark-symbol path')).stroke]""")

    with Opened(browser, world / "first/report.html") as light, Opened(browser, world / "first/report.html", scheme="dark") as dark:
        first, second = colours(light), colours(dark)
        assert all(a != b for a, b in zip(first, second)) and "none" not in first + second
        light.page.get_by_role("button", name="Dark").click()
        assert colours(light) == second
        dark.page.get_by_role("button", name="Light").click()
        assert colours(dark) == first
        # Text is readable: a contrast of at least 4.5 in both.
        for opened in (light, dark):
            assert opened.value(CONTRAST) >= 4.5


CONTRAST = """(() => {
    const luminance = (color) => color.match(/[0-9.]+/g).slice(0, 3).map((part) => part / 255)
        .map((part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);
    const of = (selector, property) => luminance(getComputedStyle(document.querySelector(selector))[property]);
    const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    return Math.min(ratio(of('body', 'color'), of('body', 'backgroundColor')), ratio(of('.lead', 'color'), of('body', 'backgroundColor')),
        ratio(of('.tile-change', 'color'), of('.card', 'backgroundColor')), ratio(of('.chart svg text', 'fill'), of('.card', 'backgroundColor')));
})()"""


def test_print(world, browser, tmp_path):
    with Opened(browser, world / "first/report.html", scheme="dark") as opened:
        opened.page.emulate_media(media="print")
        assert opened.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert not opened.page.locator(".top .segments").is_visible() and opened.page.locator(".chart").first.is_visible()
        assert opened.value("getComputedStyle(document.querySelector('.chart svg text')).fill") == "rgb(85, 85, 85)"
        pdf = opened.page.pdf(path=tmp_path / "report.pdf", format="A4", prefer_css_page_size=True)
        assert pdf.count(b"/Type /Page\n") in range(3, 15) or pdf.count(b"/Type/Page") > 2


def test_without_javascript_there_is_the_main_table(world, browser):
    with Opened(browser, world / "first/report.html", scripts=False) as opened:
        rows = opened.page.locator("main.static table tbody tr")
        assert rows.count() == 4
        accuracy = json.loads((world / "first/metrics.json").read_text())["datasets"]["test"]["ensemble"]["accuracy"]
        assert f"{accuracy:.3f}" in rows.nth(2).inner_text()
