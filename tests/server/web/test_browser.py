"""The pages in a real browser: with and without JavaScript, by keyboard, light and dark, on a telephone."""

import shutil
import socket
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("jinja2")
pytest.importorskip("prometheus_client")
pytest.importorskip("uvicorn")
pytest.importorskip("playwright")

import uvicorn
from playwright.sync_api import expect, sync_playwright

from registry import MODEL_REGISTRY
from registry.catalog import Catalog
from registry.server import ServerOptions, create_app
from server.showing import machine_with

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
CHAT, COLBERT, DENSE = "qwen2.5-coder-7b-q5_k_m", "colbert-v2", "bge-m3"
PAGES = ("/", "/?type=chat&fits=1", f"/models/{CHAT}", "/models/splade-v3", f"/compare?model={CHAT}&model={COLBERT}")
PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server on this machine, with the shipped models and measurements of one."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch, Catalog.open(":memory:") as catalog, socket.socket() as listening:
        patch.setenv("REGISTRY_HOME", str(folder / "home"))
        patch.setenv("HF_HUB_CACHE", str(folder / "hub"))
        patch.setattr("registry.server.web.this_machine.probe", machine_with)
        catalog.sync()
        row = {"metric_value": 11.25, "unit": "tokens/s", "hardware_type": "cpu", "hardware_name": "EPYC"}
        catalog.add_metrics(CHAT, [{"metric_type": "tokens_per_second", **row}])
        listening.bind(("127.0.0.1", 0))
        app = create_app(ServerOptions(access_log=False, port=listening.getsockname()[1]), catalog=catalog)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
        serving = threading.Thread(target=server.run, args=([listening],))
        serving.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            serving.join(20)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(SWITCHES))
        yield browser
        browser.close()


class Seen:
    """What a page complained of, and which other hosts it asked."""

    def __init__(self, context: Any, site: str) -> None:
        self.complaints: list[str] = []
        self.strangers: list[str] = []
        context.on(
            "console", lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else 0
        )
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("request", lambda asked: None if asked.url.startswith(site) else self.strangers.append(asked.url))


@pytest.fixture
def visit(browser: Any, site: str) -> Iterator[Any]:
    """Open a page in a context of its own; every test ends with nothing complained of."""
    opened = []

    def go(address: str = "/", **options: Any) -> Any:
        context = browser.new_context(base_url=site, **options)
        context.set_default_timeout(10_000)
        opened.append((context, Seen(context, site)))
        page = context.new_page()
        page.goto(address)
        return page

    yield go
    for context, seen in opened:
        context.close()
        assert (seen.complaints, seen.strangers) == ([], [])


def asked(page: Any) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def listed(page: Any) -> list[str]:
    return page.locator("[data-results] tbody code").all_text_contents()  # type: ignore[no-any-return]


@pytest.mark.parametrize("address", PAGES)
def test_page_opens_without_complaints_or_requests_elsewhere(visit, address):
    page = visit(address)
    assert page.locator("h1").count() == 1
    assert page.evaluate("getComputedStyle(document.querySelector('.site-header')).borderBottomStyle") == "solid"


def test_search_by_keyboard_narrows_the_list_and_the_address(visit):
    page = visit()
    page.keyboard.press("/")
    page.keyboard.type("colbert")
    page.wait_for_url("**/?search=colbert")
    expect(page.locator("#results-heading")).not_to_contain_text("246")
    found = listed(page)
    assert COLBERT in found
    page.reload()
    assert listed(page) == found
    assert page.locator("#search").input_value() == "colbert"


def test_filter_by_keyboard_keeps_the_focus_and_shows_the_condition(visit):
    page = visit()
    box = page.locator("input[name=type][value=colbert]")
    box.focus()
    page.keyboard.press("Space")
    page.wait_for_url("**/?type=colbert")
    expect(page.locator(".chips")).to_contain_text("Type: ColBERT")
    assert box.evaluate("element => element === document.activeElement")
    assert set(listed(page)) == {record.id for record in MODEL_REGISTRY.models_by_type("colbert")}


def test_tab_goes_from_skip_link_to_the_first_model_in_order(visit):
    page = visit("/?type=colbert")
    steps = []
    for _ in range(80):
        page.keyboard.press("Tab")
        steps.append(page.evaluate("(document.activeElement.textContent || document.activeElement.name).trim()"))
        if steps[-1].startswith("answerai"):
            break
    assert steps[0] == "Skip to content"
    wanted = ("Model registry", "Models", "Compare", "search", "Search", "fits", "Show models", "Type: ColBERT, remove")
    places = [steps.index(name) for name in wanted]
    assert places == sorted(places)
    assert steps[-1].startswith("answerai")


def test_focus_can_be_seen(visit):
    page = visit()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    outline = page.evaluate(
        "getComputedStyle(document.activeElement).outlineStyle + getComputedStyle(document.activeElement).outlineWidth"
    )
    assert outline == "solid2px"


def test_skip_link_leads_past_the_header(visit):
    page = visit()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_back_button_undoes_one_condition_after_the_other(visit):
    page = visit()
    page.check("input[name=type][value=chat]")
    page.wait_for_url("**/?type=chat")
    page.check("input[name=tag][value=code]")
    page.wait_for_url("**/?type=chat&tag=code")
    page.go_back()
    expect(page.locator(".results .chips li")).to_have_count(1)
    assert asked(page) == {"type": ["chat"]}
    expect(page.locator("input[name=tag][value=code]")).not_to_be_checked()
    page.go_back()
    expect(page.locator(".results .chips li")).to_have_count(0)
    expect(page.locator("input[name=type][value=chat]")).not_to_be_checked()
    page.go_forward()
    expect(page.locator("input[name=type][value=chat]")).to_be_checked()


def test_typed_letters_are_one_step_back(visit):
    page = visit()
    page.locator("#search").press_sequentially("colb")
    page.wait_for_url("**/?search=colb")
    page.locator("#search").press_sequentially("ert")
    page.wait_for_url("**/?search=colbert")
    page.go_back()
    page.wait_for_url(lambda url: "search" not in url)
    expect(page.locator("#search")).to_have_value("")


def test_back_from_a_model_comes_to_the_list_as_it_was(visit):
    page = visit("/?type=colbert")
    page.check("input[name=tag][value=multilingual]")
    page.wait_for_url("**/?type=colbert&tag=multilingual")
    expect(page.locator(".results .chips li")).to_have_count(2)
    before = listed(page)
    page.click("tbody a.name >> nth=0")
    page.go_back()
    assert listed(page) == before
    assert page.is_checked("input[name=tag][value=multilingual]")


def test_copy_button_copies_the_lines_and_says_so(visit, site):
    page = visit(f"/models/{CHAT}", permissions=["clipboard-read", "clipboard-write"])
    button = page.locator("[data-copy=code-python]")
    button.click()
    expect(button).to_contain_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.locator("#code-python").text_content()
    assert copied.startswith("from registry import QWEN2_5_CODER_7B_Q5_K_M\nfrom registry.loaders import load\n")


def test_copy_button_without_permission_copies_the_old_way(visit):
    page = visit(f"/models/{CHAT}")
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('refused')); }")
    page.click("[data-copy=model-name]")
    expect(page.locator("[data-copy=model-name]")).to_contain_text("Copied")


def test_ticked_models_are_compared_across_filters(visit):
    page = visit("/?type=colbert")
    assert page.is_disabled("[data-compare-button]")
    page.check(f"input[name=model][value={COLBERT}]")
    page.goto("/?search=bge-m3")
    page.check(f"input[name=model][value={DENSE}]")
    page.click("[data-compare-button]")
    page.wait_for_url(f"**/compare?model={COLBERT}&model={DENSE}")
    assert page.locator("thead th a.name").all_text_contents() == ["colbertv2.0", "bge-m3"]


def test_fifth_model_cannot_be_ticked(visit):
    page = visit()
    boxes = page.locator("tbody input[name=model]")
    for place in range(4):
        boxes.nth(place).check()
    assert boxes.nth(4).is_disabled()
    boxes.nth(0).uncheck()
    assert boxes.nth(4).is_enabled()


def test_compare_adds_and_removes_models(visit):
    page = visit("/compare")
    page.wait_for_selector("#add:focus")  # the browser hands out autofocus after the page has loaded
    page.keyboard.type("colbert-v2")
    page.keyboard.press("Enter")
    page.click(".found a >> nth=0")
    page.fill("#add", "bge-m3")
    page.click(".add button")
    page.click("[aria-label='Models to add'] a >> nth=0")
    assert len(asked(page)["model"]) == 2
    page.click(".compare .remove >> nth=0")
    assert asked(page) == {"model": [DENSE]}


# The contrast of every text that is seen with what is behind it, by the formula of WCAG 2.
CONTRAST = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => rgba(colour).slice(0, 3).map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (rgba(colour)[3] === 255) return colour;
    }
    return getComputedStyle(document.body).backgroundColor;
  };
  const found = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.checkVisibility({ opacityProperty: true })) continue;
    if (element.closest(".visually-hidden, option, datalist, title, desc, button:disabled")) continue;
    const style = getComputedStyle(element);
    const [a, b] = [element.closest("svg") ? style.fill : style.color, behind(element)].map(light);
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.add(`${texts.currentNode.data.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return [...found];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_the_contrast_of_wcag_aa(visit, scheme):
    page = visit(color_scheme=scheme)
    found = {}
    for address in (*PAGES, "/?search=zzzz", "/models/nomic-embed-text-v1"):
        page.goto(address)
        found[address] = page.evaluate(CONTRAST)
    assert {address: texts for address, texts in found.items() if texts} == {}


def background(page: Any) -> str:
    return page.evaluate("getComputedStyle(document.body).backgroundColor")  # type: ignore[no-any-return]


def test_scheme_follows_the_system_until_one_is_chosen_and_is_remembered(visit):
    page = visit(color_scheme="dark")
    assert background(page) == "rgb(17, 19, 21)"
    page.emulate_media(color_scheme="light")
    assert background(page) == "rgb(251, 251, 249)"
    page.click("[data-theme-toggle]")
    assert background(page) == "rgb(17, 19, 21)"
    page.goto(f"/models/{CHAT}")
    assert background(page) == "rgb(17, 19, 21)"
    expect(page.get_by_role("button", name="Switch to light")).to_be_visible()


@pytest.mark.parametrize("address", [*PAGES, "/?search=zzzz", "/compare", f"/compare?model={CHAT}&add=qwen"])
def test_telephone_scrolls_no_page_sideways(visit, address):
    page = visit(address, **PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    if page.locator("details.filters").count():
        page.click("details.filters > summary")
        assert page.is_visible("select[name=family]")
        assert page.evaluate("document.documentElement.scrollWidth") == 360


@pytest.mark.parametrize("column", ["col-model .name", "col-type", "col-parameters", "col-license"])
def test_long_text_in_the_list_scrolls_no_telephone_sideways(visit, column):
    page = visit(**PHONE)
    page.evaluate(f"document.querySelector('tbody .{column}').textContent = 'W'.repeat(50)")
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_filters_are_open_where_there_is_room(visit):
    page = visit()
    assert page.is_visible("select[name=family]")
    assert not page.is_visible("details.filters > summary")


def test_motion_is_reduced_where_that_is_asked_for(visit):
    page = visit(reduced_motion="reduce")
    page.evaluate("document.querySelector('[data-results]').classList.add('is-loading')")
    assert page.evaluate("getComputedStyle(document.querySelector('.is-loading')).transitionProperty") == "none"


def test_printed_page_has_the_models_and_not_the_controls(visit):
    page = visit("/?type=colbert")
    page.emulate_media(media="print")
    assert page.is_visible("tbody a.name >> nth=0")
    assert not page.is_visible("#search")


# Without JavaScript


def test_without_javascript_the_form_searches_filters_and_sorts(visit):
    page = visit(java_script_enabled=False)
    page.fill("#search", "coder")
    page.check("input[name=type][value=chat]")
    page.select_option("select[name=sort]", "-size")
    page.click("text=Show models")
    assert asked(page) == {"search": ["coder"], "type": ["chat"], "sort": ["-size"]}
    assert all("coder" in name for name in listed(page))
    page.click("text=Type: Chat")
    assert asked(page) == {"search": ["coder"], "sort": ["-size"]}


def test_without_javascript_buttons_that_need_it_are_not_there(visit):
    page = visit(f"/models/{CHAT}", java_script_enabled=False)
    assert page.locator("button:visible").count() == 0


def test_without_javascript_ticked_models_are_compared(visit):
    page = visit("/?type=colbert", java_script_enabled=False)
    page.check("tbody input[name=model] >> nth=0")
    page.check("tbody input[name=model] >> nth=1")
    page.click("[data-compare-button]")
    assert len(asked(page)["model"]) == 2
    assert page.locator("thead th a.name").count() == 2


def test_without_javascript_filters_open_on_a_telephone(visit):
    page = visit(**PHONE, java_script_enabled=False)
    assert not page.is_visible("select[name=family]")
    page.click("details.filters > summary")
    assert page.is_visible("select[name=family]")
