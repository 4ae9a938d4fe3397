"""The page in a real browser, where one is at hand: no errors, no requests, no sideways scrolling, keys that work."""

import shutil

import pytest

from inpaintkit.evaluation.page import write_page

pytest.importorskip("playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


def test_the_page_works_in_a_browser(sample, tmp_path):
    from playwright.sync_api import sync_playwright

    path = write_page(tmp_path / "report.html", sample.report, sample.picture, range(len(sample.report["cases"])))
    faults = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 375, "height": 800})
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append(dialog.message))
        page.on("request", lambda asked: None if asked.url.startswith(("file:", "data:")) else faults.append(asked.url))
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == 375
        page.set_viewport_size({"width": 1280, "height": 900})
        methods = "[...document.querySelectorAll('.results')[0].tBodies[0].rows].map(row => row.cells[0].dataset.value)"
        before = page.evaluate(methods)
        page.locator(".results .sort-button").first.press("Enter")
        assert page.evaluate(methods) == sorted(before, key=str.casefold)
        page.locator(".thumb[data-key=m0]").first.click()
        shown = page.locator(".stage-label.of-right")
        assert shown.inner_text() == "telea"
        page.keyboard.press("ArrowRight")
        assert shown.inner_text() == sample.hostile
        page.locator(".divider").press("Home")
        assert page.locator(".divider").get_attribute("aria-valuenow") == "0"
        page.keyboard.press("Escape")
        assert page.evaluate("document.querySelector('dialog').open") is False
        browser.close()
    assert faults == []
