"""Memory by context length, drawn."""

import re
from xml.etree import ElementTree

import pytest

pytest.importorskip("fastapi")

from registry.hardware import DeviceEstimate, Estimate
from registry.server.web.memory_chart import PARTS, Bar, Mark, bar_of, drawn_marks, memory_svg

GB = 10**9
BARS = (Bar("2,048 tokens", (4 * GB, GB, GB, 0)), Bar("8,192 tokens", (4 * GB, 3 * GB, GB, 0)))
FREE = Mark("available", "available now", 12 * GB)
ALL = Mark("total", "memory", 16 * GB)


def drawing(*marks: Mark, bars: tuple[Bar, ...] = BARS, title: str = "Memory") -> ElementTree.Element:
    return ElementTree.fromstring(memory_svg(bars, marks, title=title))


def percents(svg: ElementTree.Element, part: str) -> list[tuple[str, str]]:
    return [(found.attrib["x"], found.attrib["width"]) for found in svg.iter("rect") if found.get("class") == part]


def test_bars_without_marks_fill_the_width_in_proportion():
    svg = drawing()
    assert percents(svg, "part-weights") == [("0.000%", "50.000%"), ("0.000%", "50.000%")]
    assert percents(svg, "part-kv_cache") == [("50.000%", "12.500%"), ("50.000%", "37.500%")]
    assert percents(svg, "part-compute") == [("62.500%", "12.500%"), ("87.500%", "12.500%")]


def test_part_of_no_bytes_is_not_drawn():
    assert percents(drawing(), "part-overhead") == []


def test_marks_within_the_scale_are_lines_at_their_place():
    svg = drawing(FREE, ALL)
    lines = {found.attrib["class"]: float(found.attrib["x1"].rstrip("%")) for found in svg.iter("line")}
    assert lines == pytest.approx({"mark-total": 100 / 1.03, "mark-available": 75 / 1.03}, abs=0.001)


def test_marks_are_named_with_their_size_largest_first():
    words = [found.text for found in drawing(FREE, ALL).iter("text") if "mark-label" in (found.get("class") or "")]
    assert words == ["memory: 16 GB", "available now: 12 GB"]


def test_mark_far_beyond_the_bars_is_said_and_not_drawn():
    far = Mark("total", "memory", 64 * GB)
    assert drawn_marks(BARS, [FREE, far]) == ((FREE,), (far,))
    svg = drawing(far)
    assert list(svg.iter("line")) == []
    assert svg.find("desc").text.endswith("memory: 64 GB")  # type: ignore[union-attr]


def test_labels_say_context_and_total():
    texts = ["".join(found.itertext()) for found in drawing().iter("text")]
    assert texts == ["2,048 tokens 6 GB", "8,192 tokens 8 GB"]


def test_title_and_description_say_what_the_eye_sees():
    svg = drawing(FREE, title="Memory of a model")
    assert svg.attrib["role"] == "img"
    assert svg.find("title").text == "Memory of a model"  # type: ignore[union-attr]
    expected = "2,048 tokens take 6 GB; 8,192 tokens take 8 GB. available now: 12 GB"
    assert svg.find("desc").text == expected  # type: ignore[union-attr]


def test_texts_from_outside_are_escaped():
    svg = memory_svg([Bar("</text><script>", (1, 0, 0, 0))], [Mark("gpu", "<b>&", 1)], title="</title><script>")
    assert "<script" not in svg
    assert ElementTree.fromstring(svg).find("title").text == "</title><script>"  # type: ignore[union-attr]


def test_drawing_has_neither_styles_nor_scripts_of_its_own():
    svg = memory_svg(BARS, [FREE, ALL], title="Memory")
    assert re.search(r"style|script|\son\w+=", svg) is None


def test_nothing_at_all_is_drawn_as_nothing():
    assert percents(drawing(bars=(Bar("512 tokens", (0, 0, 0, 0)),)), "part-weights") == []


def test_bar_of_estimate_adds_up_devices():
    devices = (DeviceEstimate.of("cpu", 1, 2, 3, 4), DeviceEstimate.of("gpu:0", 10, 20, 30, 40))
    found = Estimate("m", devices, 110, 10, 0, "by hand", "header", 4096)
    assert bar_of(found) == Bar("4,096 tokens", (11, 22, 33, 44))
    assert list(PARTS) == ["weights", "kv_cache", "compute", "overhead"]
