"""The editor as a person uses it: in a real Chromium, with mouse, fingers and keys, against a real server.

Skipped without Playwright and a Chromium. What is checked is what the person gets: the file that is saved.
"""

import base64
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

playwright = pytest.importorskip("playwright.sync_api")
for part in ("fastapi", "uvicorn", "multipart"):
    pytest.importorskip(part)

# Names of a browser that is installed beside Playwright's own.
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
HEIGHT, WIDTH = 300, 400
TIMES = "\N{MULTIPLICATION SIGN}"


class Server:
    """`inpaintkit serve` on a port of its own; it can be ended and started again."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "inpaintkit", "serve", "--port", str(self.port), "--no-open"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [*command, "--model", "telea", "--model", "ns"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(300):
            try:
                with urllib.request.urlopen(f"{self.url}healthz", timeout=1):
                    return
            except OSError:
                assert self.process.poll() is None, "the server ended at once"
                time.sleep(0.05)
        raise AssertionError("the server did not come up")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class Page:
    """The page with one photo open, and the moves of a hand on it."""

    def __init__(self, page, server: Server, folder: Path) -> None:
        self.page, self.server, self.folder = page, server, folder
        self.complaints: list[str] = []
        self.frame: list[float] | None = None  # left, top and width of the fitted photo in the window
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda told: self.complaints.append(told.text) if "Content Security" in told.text else None)
        page.goto(server.url)

    def open(self, *files: Path) -> None:
        self.page.set_input_files("#files", list(files))
        self.page.locator("#zoom").wait_for()
        self.frame = None

    def at(self, x: float, y: float) -> tuple[float, float]:
        """A photo's pixel as a place of the window, while the photo is fitted."""
        if self.frame is None:
            self.frame = self.page.evaluate("""async () => {
                await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
                const canvas = document.querySelector("#photoLayer");
                const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
                const opaque = (x, y) => data[4 * (y * canvas.width + x) + 3] > 127;
                const [middle, half] = [Math.round(canvas.width / 2), Math.round(canvas.height * 0.4)];
                let [left, right, top] = [0, canvas.width, 0];
                while (!opaque(left, half)) left++;
                while (!opaque(right - 1, half)) right--;
                while (!opaque(middle, top)) top++;
                const box = canvas.getBoundingClientRect();
                const scale = box.width / canvas.width;
                return [box.left + left * scale, box.top + top * scale, (right - left) * scale];
            }""")
        left, top, across = self.frame
        scale = across / int((self.page.inner_text("#facts") or str(WIDTH)).split()[0])
        return left + x * scale, top + y * scale

    def drag(self, *points: tuple[float, float], steps: int = 6) -> None:
        """Through pixels of the photo with the mouse button down."""
        places = [self.at(*point) for point in points]
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*place, steps=steps)
        self.page.mouse.up()

    def fill(self, count: int = 1) -> None:
        """Press Shift+R and wait until so many fills are listed."""
        self.page.keyboard.press("Shift+R")
        self.wait_for_fills(count)

    def wait_for_fills(self, count: int) -> None:
        self.page.locator("#fills li").nth(count).wait_for(timeout=15000)

    def download(self, act: Callable[[], object]) -> tuple[str, bytes]:
        with self.page.expect_download() as waiting:
            act()
        return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()

    def mask(self) -> np.ndarray:
        """What is marked, bool, as the page saves it."""
        _, content = self.download(lambda: self.page.click("#saveMask"))
        return np.asarray(Image.open(io.BytesIO(content))) > 127

    def saved(self) -> np.ndarray:
        _, content = self.download(lambda: self.page.keyboard.press("Control+s"))
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))

    def shown(self, x: float, y: float) -> list[int]:
        """The colour under a pixel of the photo on the stage."""
        left, top = self.at(x, y)
        box = self.page.locator("#stage").bounding_box()
        return self.page.evaluate(
            """async ([x, y]) => {
                await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
                const canvas = document.querySelector("#photoLayer");
                const scale = canvas.width / canvas.clientWidth;
                return [...canvas.getContext("2d").getImageData(x * scale, y * scale, 1, 1).data].slice(0, 3);
            }""",
            [left - box["x"], top - box["y"]],
        )

    def notice(self) -> str:
        self.page.locator("#notice").wait_for()
        return self.page.inner_text("#noticeText")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    with playwright.sync_playwright() as play:
        if found is None and not Path(play.chromium.executable_path).exists():
            pytest.skip("no Chromium is installed")
        running = play.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def page(browser, server: Server, tmp_path: Path) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1180, "height": 760}, accept_downloads=True)
    context.set_default_timeout(15000)
    editor = Page(context.new_page(), server, tmp_path)
    yield editor
    context.close()
    assert editor.complaints == []


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """A smooth backdrop with grain and one dark disc, uint8 (300, 400, 3)."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    backdrop = np.stack([120 + rows // 3, 90 + columns // 4, 200 - rows // 4], axis=2)
    drawn = np.clip(backdrop + np.random.default_rng(0).normal(0, 3, backdrop.shape), 0, 255).astype(np.uint8)
    cv2.circle(drawn, (200, 150), 8, (20, 30, 10), -1)
    return drawn


@pytest.fixture
def photo(picture: np.ndarray, tmp_path: Path) -> Path:
    path = tmp_path / "disc é.png"
    Image.fromarray(picture).save(path)
    return path


def test_brush_fill_undo_redo_and_save(page: Page, photo: Path, picture: np.ndarray) -> None:
    page.open(photo)
    page.drag((160, 150), (240, 150))
    mask = page.mask()
    assert mask[150, 160:240].all()
    assert not mask[100].any()
    page.fill()
    filled = page.saved()
    assert np.array_equal(filled[~mask], picture[~mask])
    assert filled[150, 200].min() > 60 > picture[150, 200].max()
    assert np.abs(np.array(page.shown(200, 150)) - filled[150, 200]).max() <= 12
    assert page.page.inner_text("#maskFacts") == ""

    page.page.keyboard.press("Control+z")  # the fill
    assert np.array_equal(page.mask(), mask)
    assert np.array_equal(page.saved(), picture)
    assert max(page.shown(200, 150)) < 60
    page.page.keyboard.press("Control+z")  # the stroke
    assert page.page.inner_text("#maskFacts") == ""
    assert page.page.is_disabled("#undo")
    page.page.keyboard.press("Control+Shift+z")
    assert np.array_equal(page.mask(), mask)
    page.page.keyboard.press("Control+Shift+z")
    assert np.array_equal(page.saved(), filled)
    assert page.page.is_disabled("#redo")


def test_the_saved_file_keeps_name_and_format(page: Page, picture: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "holiday.jpg"
    exif = Image.Exif()
    exif[0x010F] = "A camera"
    Image.fromarray(picture).save(path, quality=92, exif=exif)
    page.open(path)
    page.drag((200, 140), (200, 160))
    page.fill()
    name, content = page.download(lambda: page.page.click("#save"))
    saved = Image.open(io.BytesIO(content))
    assert name.endswith(".jpg")
    assert "holiday" in name
    assert saved.format == "JPEG"
    assert saved.getexif()[0x010F] == "A camera"
    page.page.click("#saveAs")
    page.page.select_option("#format", "png")
    name, content = page.download(lambda: page.page.click("#saveNow"))
    assert name.endswith(".png")
    assert Image.open(io.BytesIO(content)).format == "PNG"
    name, content = page.download(lambda: page.page.keyboard.press("Control+s"))  # "Save as" was for once
    assert name.endswith(".jpg")
    assert Image.open(io.BytesIO(content)).format == "JPEG"


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_a_turned_photo_is_filled_where_it_was_marked(
    page: Page, picture: np.ndarray, tmp_path: Path, suffix: str
) -> None:
    upright = picture[:, 50:350].copy()  # as long as wide: sizes tell nothing
    for centre in ((70, 90), (230, 210)):  # each where the other would be upside down
        cv2.circle(upright, centre, 8, (20, 30, 10), -1)
    exif = Image.Exif()
    exif[0x0112] = 3
    path = tmp_path / f"turned.{suffix}"
    Image.fromarray(upright[::-1, ::-1].copy()).save(path, exif=exif, lossless=True)
    with page.page.expect_response("**/view"):
        page.open(path)
    page.page.locator("#busy").wait_for(state="hidden")
    page.frame = None
    page.page.keyboard.press("r")
    page.drag((50, 70), (90, 110))
    page.fill()
    _, content = page.download(lambda: page.page.keyboard.press("Control+s"))
    saved = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB"))
    assert saved[90, 70].min() > 60
    assert saved[210, 230].max() < 60
    changed = np.argwhere(np.abs(saved.astype(int) - upright).max(2) > 40)
    assert (changed.min(0) >= [70, 50]).all()
    assert (changed.max(0) < [110, 90]).all()
    assert np.abs(np.array(page.shown(70, 90)) - saved[90, 70]).max() <= 12


def test_what_was_marked_on_a_photo_that_lay_otherwise_is_not_filled(
    page: Page, picture: np.ndarray, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    path = tmp_path / "turned.webp"
    Image.fromarray(picture).save(path, exif=exif, lossless=True)

    held = []

    def hold(route) -> None:
        held.append(route)

    page.page.route("**/photos", hold)
    page.open(path)
    page.drag((100, 60), (140, 60))  # before the server has told how it lies
    page.page.keyboard.press("Shift+R")
    page.page.locator("#fillText", has_text="Cancel").wait_for()
    held[0].continue_()
    assert "turned.webp lies otherwise" in page.notice()
    page.page.locator("#busy").wait_for(state="hidden")
    assert page.page.inner_text("#maskFacts") == ""
    assert page.page.inner_text("#fillText") == "Fill"
    assert page.page.is_disabled("#undo")
    assert page.page.locator("#fills li").count() == 0
    page.drag((100, 60), (140, 60))
    page.fill()


def test_a_fill_keeps_the_alpha_on_the_stage_as_in_the_file(page: Page, picture: np.ndarray, tmp_path: Path) -> None:
    alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
    alpha[:, 200:] = 0
    path = tmp_path / "cut out.png"
    Image.fromarray(np.dstack([picture, alpha])).save(path)
    with page.page.expect_response("**/photos"):
        page.open(path)
    page.page.wait_for_timeout(200)
    before = page.shown(230, 150)
    page.page.keyboard.press("r")
    page.drag((150, 120), (250, 180))
    page.fill()
    _, content = page.download(lambda: page.page.keyboard.press("Control+s"))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(content)))[..., 3], alpha)
    assert page.shown(230, 150) == before
    assert page.shown(195, 150)[0] > 60
    page.page.keyboard.press("c")
    assert page.shown(230, 150) == before


def test_eraser_rectangle_lasso_and_line(page: Page, photo: Path) -> None:
    page.open(photo)
    page.page.keyboard.press("r")
    page.drag((100, 60), (300, 240))
    rectangle = page.mask()
    assert np.abs(np.argwhere(rectangle).min(0) - [60, 100]).max() <= 1
    assert np.abs(np.argwhere(rectangle).max(0) - [239, 299]).max() <= 1
    page.page.keyboard.press("e")
    page.drag((150, 150), (250, 150))
    erased = page.mask()
    assert not erased[150, 150:250].any()
    assert erased[100, 200]
    assert not (erased & ~rectangle).any()
    page.page.keyboard.press("Delete")
    assert page.page.inner_text("#maskFacts") == ""
    page.page.keyboard.press("l")
    page.drag((100, 100), (200, 100), (200, 200), (100, 200))
    lasso = page.mask()
    assert lasso[150, 150]
    assert not lasso[150, 250]
    assert abs(int(lasso.sum()) - 100 * 100) < 500
    page.page.keyboard.press("Delete")
    page.page.keyboard.press("b")
    page.page.keyboard.down("Shift")
    page.drag((50, 50), (350, 90), (350, 50))
    page.page.keyboard.up("Shift")
    line = page.mask()
    assert line[50, 60:340].all()
    assert not line[85].any()


def test_grow_shrink_and_invert(page: Page, photo: Path) -> None:
    page.open(photo)
    page.page.keyboard.press("r")
    page.drag((0, 100), (200, 200))
    before = page.mask()
    page.page.keyboard.press(".")
    grown = page.mask()
    assert (grown & before).sum() == before.sum() < grown.sum()
    page.page.keyboard.press(",")
    assert np.array_equal(page.mask(), before)
    page.page.keyboard.press("i")
    assert np.array_equal(page.mask(), ~before)


def test_backspace_clears_only_with_the_focus_on_the_photo(page: Page, photo: Path) -> None:
    page.open(photo)
    page.drag((160, 150), (240, 150))
    page.page.focus("#open")
    page.page.keyboard.press("Backspace")
    assert page.page.inner_text("#maskFacts") != ""
    page.page.focus("#stage")
    page.page.keyboard.press("Backspace")
    assert page.page.inner_text("#maskFacts") == ""


def test_smart_lasso_finds_the_disc(page: Page, photo: Path, picture: np.ndarray) -> None:
    page.open(photo)
    page.page.keyboard.press("s")
    page.drag((180, 130), (220, 130), (220, 170), (180, 170), (180, 132))
    page.page.locator("#maskFacts", has_text="px").wait_for()
    mask, disc = page.mask(), picture.max(2) < 60
    assert mask[disc].mean() > 0.95
    assert mask.sum() < 3 * disc.sum()
    page.page.keyboard.press("Delete")
    page.page.click("#shapes label:has-text('Box')")
    page.drag((180, 130), (220, 170))
    page.page.locator("#maskFacts", has_text="px").wait_for()
    assert page.mask()[disc].mean() > 0.95


def test_a_mask_is_loaded_or_refused_with_a_remedy(page: Page, photo: Path, tmp_path: Path) -> None:
    page.open(photo)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[120:180, 170:230] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.fromarray(mask[:200]).save(tmp_path / "small.png")
    (tmp_path / "none.png").write_bytes(b"no picture")
    page.page.set_input_files("#maskFile", tmp_path / "small.png")
    told = page.notice()
    assert f"400 {TIMES} 200" in told
    assert f"{WIDTH} {TIMES} {HEIGHT}" in told
    assert "Save the mask" in told
    page.page.set_input_files("#maskFile", tmp_path / "none.png")
    page.page.locator("#noticeText", has_text="none.png").wait_for()
    page.page.set_input_files("#maskFile", tmp_path / "mask.png")
    page.page.locator("#maskFacts", has_text="3,600 px").wait_for()
    assert page.page.is_hidden("#notice")
    assert np.array_equal(page.mask(), mask > 0)


def test_compare_by_slider_and_by_holding_tab(page: Page, photo: Path) -> None:
    page.open(photo)
    page.drag((160, 150), (240, 150))
    page.fill()
    page.page.keyboard.down("Tab")
    assert max(page.shown(200, 150)) < 60
    page.page.keyboard.up("Tab")
    assert max(page.shown(200, 150)) > 60
    page.page.keyboard.press("c")
    divider = page.page.locator("#divider")
    assert divider.get_attribute("aria-valuenow") == "50"
    assert max(page.shown(195, 150)) < 60 < max(page.shown(205, 150))
    page.page.keyboard.press("Home")
    assert divider.get_attribute("aria-valuenow") == "0"
    assert max(page.shown(195, 150)) > 60
    page.page.keyboard.press("Escape")
    assert divider.is_hidden()


def test_try_another_and_the_list_of_fills(page: Page, photo: Path) -> None:
    page.open(photo)
    page.drag((160, 150), (240, 150))
    page.fill()
    first = page.saved()
    page.page.select_option("#model", "ns")
    page.page.evaluate("""() => {
        window.variants = [];
        const append = FormData.prototype.append;
        FormData.prototype.append = function (name, value, ...rest) {
            if (name === "variant") window.variants.push(value);
            return append.call(this, name, value, ...rest);
        };
    }""")
    page.page.click("#another")
    page.wait_for_fills(2)
    assert page.page.evaluate("() => window.variants") == ["0"]  # this model's own fill
    second = page.saved()
    assert not np.array_equal(first, second)
    page.page.locator("#fills button").nth(1).click()
    assert np.array_equal(page.saved(), first)
    page.page.keyboard.press("Control+z")
    assert np.array_equal(page.saved(), second)
    page.page.click("#another")
    page.wait_for_fills(3)
    assert page.page.evaluate("() => window.variants") == ["0", "1"]


def test_fill_on_release_and_cancel(page: Page, photo: Path) -> None:
    page.open(photo)
    page.page.click("label:has(#onRelease)")
    page.drag((200, 130), (200, 170))
    page.wait_for_fills(1)
    page.page.click("label:has(#onRelease)")

    def later(route) -> None:
        page.page.wait_for_timeout(400)
        route.continue_()

    page.page.route("**/fills", later)
    page.drag((100, 80), (140, 80))
    mask = page.mask()
    page.page.click("#fill")
    page.page.locator("#fillText", has_text="Cancel").wait_for()
    page.page.click("#fill")
    page.page.wait_for_timeout(900)
    assert page.page.locator("#fills li").count() == 2
    assert page.page.inner_text("#fillText") == "Fill"
    assert np.array_equal(page.mask(), mask)


def test_zoom_to_the_pointer_and_pan(page: Page, photo: Path) -> None:
    page.open(photo)
    x, y = page.at(100, 100)
    page.page.mouse.move(x, y)
    for _ in range(3):
        page.page.mouse.wheel(0, -200)
    page.page.locator("#zoomLevel", has_text=re.compile(r"[6-9]\d\d %")).wait_for()
    page.page.mouse.down()
    page.page.mouse.up()
    page.page.keyboard.press("0")
    marked = np.argwhere(page.mask())
    assert np.abs(marked.mean(0) - [100, 100]).max() < 2
    before = page.page.inner_text("#maskFacts")
    page.page.keyboard.down("Space")
    page.page.mouse.down()
    page.page.mouse.move(x + 90, y + 40, steps=3)
    page.page.mouse.up()
    page.page.keyboard.up("Space")
    assert page.page.inner_text("#maskFacts") == before
    page.page.keyboard.press("Escape")
    assert np.array_equal(np.argwhere(page.mask()), marked)


def test_several_photos_keep_their_own_state(page: Page, photo: Path, picture: np.ndarray, tmp_path: Path) -> None:
    other = tmp_path / "other.png"
    Image.fromarray(picture[:, ::-1].copy()).save(other)
    page.open(photo, other)
    page.drag((160, 150), (240, 150))
    mask = page.mask()
    page.page.click("#maskToAll")
    page.page.locator("#noticeText", has_text="2 photos").wait_for()
    page.page.click("#noticeAct")  # fill all
    page.wait_for_fills(1)
    page.page.locator(".photo[aria-label*='other.png'][aria-label*='1 fills']").click()
    page.page.locator("#name", has_text="other.png").wait_for()
    page.page.locator("#busy").wait_for(state="hidden")
    saved = page.saved()
    assert np.array_equal(saved[~mask], picture[:, ::-1][~mask])
    assert not np.array_equal(saved[mask], picture[:, ::-1][mask])


def test_fill_all_says_what_was_filled_and_what_was_not(
    page: Page, photo: Path, picture: np.ndarray, tmp_path: Path
) -> None:
    other, letter = tmp_path / "other.png", tmp_path / "letter.jpg"
    Image.fromarray(picture[:, ::-1].copy()).save(other)
    letter.write_text("Dear photo,", encoding="utf-8")
    page.open(photo, other, letter)
    page.drag((160, 150), (240, 150))
    page.page.click("#maskToAll")
    page.page.locator("#noticeText", has_text="2 photos").wait_for()
    assert "1 could not be opened: letter.jpg" in page.notice()
    assert "another size" not in page.notice()

    told = {"type": "internal", "title": "It broke", "status": 500, "detail": "the model broke"}
    answer = {"status": 500, "content_type": "application/problem+json", "body": json.dumps(told)}
    page.page.route("**/fills", lambda route: route.fulfill(**answer), times=1)
    page.page.click("#noticeAct")  # fill all: the first fails, the second does not
    page.page.locator("#noticeText", has_text="1 of 2 photos filled").wait_for()
    assert "disc é.png. The model broke." in page.notice()
    assert page.page.inner_text("#status") == "1 of 2 photos filled"
    page.page.click("#noticeAct")  # try again: only what was left
    page.wait_for_fills(1)
    page.page.locator("#status", has_text="1 photo filled").wait_for(state="attached")
    assert page.page.locator(".photo[aria-label*='1 fills']").count() == 2

    page.drag((160, 60), (240, 60))
    page.page.click("#maskToAll")
    page.page.locator("#noticeText", has_text="2 photos").wait_for()
    page.page.route("**/fills", lambda route: route.abort())
    page.page.click("#noticeAct")
    page.page.locator("#noticeText", has_text="0 of 2 photos filled").wait_for()
    assert "does not answer" in page.notice()
    page.page.unroute("**/fills")
    page.page.route("**/fills", lambda route: (page.page.wait_for_timeout(300), route.continue_()))
    page.page.click("#noticeAct")
    page.page.locator("#fillText", has_text="Cancel").wait_for()
    page.page.click("#fill")  # ends all of them
    page.page.locator("#noticeText", has_text="0 of 2 photos filled").wait_for()
    assert "does not answer" not in page.notice()


def test_drawn_and_filled_by_keyboard_alone(page: Page, photo: Path) -> None:
    page.open(photo)
    page.page.focus("#stage")
    for key in ("ArrowUp", "Enter", *["ArrowRight"] * 6, "Enter"):
        page.page.keyboard.press(key)
    mask = page.mask()
    page.page.focus("#stage")
    assert mask.any()
    assert np.ptp(np.argwhere(mask)[:, 1]) > np.ptp(np.argwhere(mask)[:, 0])
    page.fill()
    page.page.keyboard.press("?")
    assert "Straight line" in page.page.inner_text("#helpBox")


def test_a_wrong_file_is_refused_where_the_person_looks(page: Page, photo: Path, tmp_path: Path) -> None:
    letter = tmp_path / "letter.jpg"
    letter.write_text("Dear photo,", encoding="utf-8")
    page.page.set_input_files("#files", letter)
    told = page.notice()
    assert "letter.jpg" in told or "photo" in told
    assert page.page.is_visible("#choose")
    page.open(photo)
    assert page.page.is_hidden("#notice")


def test_a_wrong_file_among_others_does_not_hide_them(page: Page, photo: Path, tmp_path: Path) -> None:
    letter = tmp_path / "letter.jpg"
    letter.write_text("Dear photo,", encoding="utf-8")
    page.page.set_input_files("#files", [letter, photo])
    page.page.locator("#facts", has_text=f"{WIDTH} {TIMES} {HEIGHT}").wait_for()
    assert page.notice().startswith("letter.jpg")
    page.drag((160, 150), (240, 150))
    page.fill()


@pytest.mark.parametrize("way", ["paste", "drop"])
def test_a_photo_is_pasted_or_dropped(page: Page, photo: Path, way: str) -> None:
    page.page.evaluate(
        """([way, content]) => {
            const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], "given.png", { type: "image/png" }));
            const event = way === "paste"
                ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true })
                : new DragEvent("drop", { dataTransfer: data, bubbles: true });
            document.body.dispatchEvent(event);
        }""",
        [way, base64.b64encode(photo.read_bytes()).decode()],
    )
    page.page.locator("#facts", has_text=f"{WIDTH} {TIMES} {HEIGHT}").wait_for()
    assert page.page.inner_text("#name") == "given.png"


def test_a_pen_that_presses_lightly_draws_thinner(page: Page, photo: Path) -> None:
    page.open(photo)
    session = page.page.context.new_cdp_session(page.page)
    thickness = {}
    for force, y in ((0.1, 80), (1.0, 220)):
        places = [page.at(x, y) for x in (100, 200, 300)]
        kinds = ("mousePressed", "mouseMoved", "mouseReleased")
        for kind, (left, top) in zip(kinds, places, strict=True):
            event = {"type": kind, "x": left, "y": top, "button": "left", "buttons": 1, "pointerType": "pen"}
            session.send("Input.dispatchMouseEvent", {**event, "clickCount": 1, "force": force})
        thickness[force] = int(page.mask()[y - 40 : y + 40, 150].sum())
    assert 2 <= thickness[0.1] < 0.6 * thickness[1.0]


def test_a_16_bit_tiff_is_shown_by_the_server(page: Page, picture: np.ndarray, tmp_path: Path) -> None:
    deep = picture.astype(np.uint16) * 257 + 3
    path = tmp_path / "scan.tif"
    path.write_bytes(cv2.imencode(".tif", deep[..., ::-1])[1].tobytes())
    page.open(path)
    assert "16 bits" in page.page.inner_text("#facts")
    page.drag((160, 150), (240, 150))
    mask = page.mask()
    page.fill()
    name, content = page.download(lambda: page.page.click("#save"))
    saved = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)[..., ::-1]
    assert name.endswith((".tif", ".tiff"))
    assert saved.dtype == np.uint16
    assert np.array_equal(saved[~mask], deep[~mask])
    assert saved[150, 200].min() > 60 * 257


def test_the_server_ends_and_comes_back(page: Page, photo: Path, picture: np.ndarray) -> None:
    page.open(photo)
    page.drag((170, 150), (230, 150))
    mask = page.mask()
    page.fill()
    first = page.saved()
    page.server.stop()
    page.drag((100, 60), (120, 60))
    mask |= page.mask()
    page.page.keyboard.press("Shift+R")
    assert "does not answer" in page.notice()
    page.server.start()
    page.page.click("#noticeAct")  # try again: the photo and its first fill are sent anew
    page.wait_for_fills(2)
    filled = page.saved()
    assert np.array_equal(filled[~mask], picture[~mask])
    assert np.array_equal(filled[140:160, 180:220], first[140:160, 180:220])
    page.page.keyboard.press("Control+z")
    assert np.array_equal(page.saved(), first)


def test_a_phone_with_fingers(browser, server: Server, photo: Path, picture: np.ndarray, tmp_path: Path) -> None:
    context = browser.new_context(
        viewport={"width": 375, "height": 700}, device_scale_factor=2, has_touch=True, is_mobile=True
    )
    page = Page(context.new_page(), server, tmp_path)
    page.open(photo)
    assert page.page.evaluate("() => document.documentElement.scrollWidth") <= 375
    session = context.new_cdp_session(page.page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        fingers = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

    start, end = page.at(170, 150), page.at(230, 150)
    touch("touchStart", start)
    for share in np.linspace(0.1, 1, 8):
        touch("touchMove", (start[0] + share * (end[0] - start[0]), start[1]))
    touch("touchEnd")
    page.page.wait_for_timeout(200)  # the browser takes a tap sooner after a stroke for the end of a gesture
    page.page.tap("#fill")
    page.page.locator("#another").wait_for(timeout=2000)
    x, y = start
    touch("touchStart", (x, y), (x + 60, y))
    for spread in (10, 20, 40, 60):
        touch("touchMove", (x - spread, y), (x + 60 + spread, y))
    touch("touchEnd")
    assert int(page.page.inner_text("#zoomLevel").split()[0]) > 250
    assert page.page.inner_text("#maskFacts") == ""  # two fingers draw nothing
    page.page.tap("#fit")
    page.page.tap("#more")
    page.page.locator("#panel.open").wait_for()
    page.page.tap("#sheetClose")
    with page.page.expect_download() as waiting:
        page.page.tap("#save")
    saved = np.asarray(Image.open(waiting.value.path()).convert("RGB"))
    changed = (saved != picture).any(2)
    assert changed[150, 200]
    assert not changed[:100].any()
    assert not changed[200:].any()
    context.close()
    assert page.complaints == []


def test_24_megapixels_stay_fluid_and_only_windows_travel(page: Page, picture: np.ndarray, tmp_path: Path) -> None:
    large = cv2.resize(picture, (6000, 4000), interpolation=cv2.INTER_CUBIC)
    path = tmp_path / "large.jpg"
    path.write_bytes(cv2.imencode(".jpg", large[..., ::-1])[1].tobytes())
    page.page.evaluate("""() => {
        window.sent = [];
        const fetch = window.fetch;
        window.fetch = (address, options) => {
            const parts = options?.body instanceof FormData ? [...options.body.values()] : [];
            window.sent.push([String(address), parts.reduce((total, part) => total + (part.size ?? part.length), 0)]);
            return fetch(address, options);
        };
    }""")
    page.open(path)
    for _ in range(6):
        page.page.keyboard.press("[")
    page.page.evaluate("""() => {
        window.late = [];
        let before = performance.now();
        const tick = (now) => { window.late.push(now - before); before = now; requestAnimationFrame(tick); };
        requestAnimationFrame(tick);
    }""")
    page.drag((2500, 2250), (3500, 2250), (3000, 2400), steps=30)
    gaps = page.page.evaluate("() => window.late.slice(2)")
    assert np.median(gaps) < 100, f"a frame takes {np.median(gaps):.0f} ms"
    page.fill()
    sent = page.page.evaluate("() => window.sent")
    (size,) = [size for address, size in sent if address.endswith("/fills")]
    assert 100 < size < 60_000  # the mask's window; the photo alone has millions of bytes
    page.page.click("#invert")
    page.page.locator("#maskFacts", has_text="100.0 %").wait_for()
    page.page.keyboard.press("Control+z")
    assert page.page.inner_text("#maskFacts") == ""


def test_the_list_of_models_says_their_terms(page: Page) -> None:
    with urllib.request.urlopen(f"{page.server.url}api/v1/models", timeout=5) as answer:
        told = json.load(answer)
    assert page.page.locator("#model option").evaluate_all("(options) => options.map((o) => o.value)") == [
        model["name"] for model in told["models"]
    ]
    assert told["models"][0]["terms"] in page.page.inner_text("#terms")
