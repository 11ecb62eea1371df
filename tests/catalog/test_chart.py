"""Bar charts as text and as SVG, and which measurements they show."""

import math
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.catalog.chart import CHART_CSS, Bar, Chart, Group, bars_svg, bars_text, charts_of
from registry.catalog.comparison import newest
from registry.catalog.entries import Metric
from registry.catalog.metric_types import METRIC_TYPES, metric_type, value_with_unit

SVG = "{http://www.w3.org/2000/svg}"
SPEEDS = Chart(
    title="Answer speed",
    unit="tokens/s",
    better="higher",
    groups=(
        Group("EPYC (cpu)", (Bar("small", 40.0), Bar("large", 5.0, "context 4,096"))),
        Group("H100 (cuda)", (Bar("small", 320.0),)),
    ),
)


def chart(*bars: Bar, title: str = "Load time", unit: str = "s") -> Chart:
    return Chart(title=title, unit=unit, groups=(Group("", bars),))


def drawn(*charts: Chart, **how: object) -> ET.Element:
    return ET.fromstring(bars_svg(*charts, **how))  # type: ignore[arg-type]


def widths(svg: ET.Element) -> list[float]:
    return [float(rect.attrib["width"]) for rect in svg.iter(f"{SVG}rect") if rect.get("class") == "bar"]


def texts(svg: ET.Element) -> list[str]:
    return [text.text or "" for text in svg.iter(f"{SVG}text")]


# Text


def test_text_shows_groups_labels_bars_values_and_notes() -> None:
    assert bars_text(SPEEDS, width=60) == (
        "Answer speed, higher is better\n"
        "EPYC (cpu)\n"
        "  small  ██▌                    40 tokens/s\n"
        "  large  ▎                       5 tokens/s  (context 4,096)\n"
        "H100 (cuda)\n"
        "  small  ████████████████████  320 tokens/s\n"
    )


def test_text_of_an_encoding_without_blocks_is_ascii() -> None:
    assert bars_text(SPEEDS, width=60, ascii_only=True) == (
        "Answer speed, higher is better\n"
        "EPYC (cpu)\n"
        "  small  ##                     40 tokens/s\n"
        "  large  #                       5 tokens/s  (context 4,096)\n"
        "H100 (cuda)\n"
        "  small  ####################  320 tokens/s\n"
    )


def test_text_puts_long_labels_whole_on_lines_of_their_own() -> None:
    label = "a-model-with-a-name-that-is-longer-than-it-should-be"

    assert bars_text(chart(Bar(label, 2.0), Bar("b", 1.0)), width=30) == (
        f"Load time\n  {label}\n  ███████████████████████  2 s\n  b\n  ███████████▌             1 s\n"
    )


def test_text_never_draws_less_than_a_few_cells() -> None:
    assert bars_text(chart(Bar("label", 1.0)), width=1) == "Load time\n  label\n  ████████  1 s\n"


def test_text_aligns_letters_that_take_two_columns() -> None:
    assert bars_text(chart(Bar("模型", 1.0), Bar("e\u0301t", 1.0)), width=24) == (
        "Load time\n  模型  ███████████  1 s\n  e\u0301t    ███████████  1 s\n"
    )


def test_values_without_a_bar_are_written_out() -> None:
    bars = (Bar("zero", 0.0), Bar("less", -3.0), Bar("nan", math.nan), Bar("inf", math.inf), Bar("one", 1.0))

    assert bars_text(chart(*bars), width=30) == (
        "Load time\n"
        "  zero                     0 s\n"
        "  less                    -3 s\n"
        "  nan                    nan s\n"
        "  inf                    inf s\n"
        "  one   ███████████████    1 s\n"
    )


def test_chart_of_zeros_only_has_no_bar() -> None:
    assert bars_text(chart(Bar("a", 0.0)), width=20) == "Load time\n  a              0 s\n"
    assert widths(drawn(chart(Bar("a", 0.0)))) == []


def test_smallest_of_huge_ratios_is_still_seen() -> None:
    bars = (Bar("a", 1e-12), Bar("b", 1e12))

    assert bars_text(chart(*bars), width=40).splitlines()[1].split()[1] == "▏"
    assert widths(drawn(chart(*bars)))[0] == 1.5


def test_text_of_nothing_says_so() -> None:
    assert bars_text(Chart(title="Load time", unit="s", groups=())) == "Load time\n  Nothing was measured.\n"


def test_text_escapes_what_a_terminal_obeys() -> None:
    bar = Bar("\x1b[31mred\n", 1.0, "\u202eback")

    made = Chart(title="a\rb", unit="s", groups=(Group("c\x07", (bar,)),))
    drawing = "a\\rb\nc\\x07\n  \\x1b[31mred\\n  ########################  1 s  (\\u202eback)\n"

    assert bars_text(made, width=60, ascii_only=True) == drawing


@given(st.lists(st.tuples(st.text(), st.floats(), st.text())), st.integers(1, 200), st.booleans())
def test_any_bars_can_be_drawn(rows: list[tuple[str, float, str]], width: int, ascii_only: bool) -> None:
    made = chart(*(Bar(*row) for row in rows))

    lines = bars_text(made, width=width, ascii_only=ascii_only).split("\n")
    assert len(lines) - 2 in (len(rows), 2 * len(rows), 1)
    assert all(0 <= each <= 720 for each in widths(drawn(made)))


# SVG


def test_svg_is_an_image_with_a_title_and_every_value_in_words() -> None:
    svg = drawn(SPEEDS, name="speeds")

    assert (svg.get("role"), svg.get("aria-labelledby")) == ("img", "speeds-title speeds-desc")
    assert [(each.tag, each.get("id"), each.text) for each in svg[:2]] == [
        (f"{SVG}title", "speeds-title", "Answer speed, higher is better"),
        (
            f"{SVG}desc",
            "speeds-desc",
            (
                "Answer speed, higher is better. EPYC (cpu): small 40 tokens/s, large 5 tokens/s (context 4,096); "
                "H100 (cuda): small 320 tokens/s."
            ),
        ),
    ]


def test_svg_shows_headings_labels_and_values() -> None:
    assert texts(drawn(SPEEDS)) == [
        "Answer speed",
        "higher is better",
        "EPYC (cpu)",
        "small",
        "40 tokens/s",
        "large",
        "5 tokens/s (context 4,096)",
        "H100 (cuda)",
        "small",
        "320 tokens/s",
    ]


def test_svg_bars_are_to_one_scale() -> None:
    small, large, fast = widths(drawn(SPEEDS))

    assert (small / fast, large / fast) == (pytest.approx(1 / 8, abs=1e-3), pytest.approx(1 / 64, abs=1e-3))


def test_svg_has_its_own_colours_for_light_and_dark() -> None:
    svg = drawn(SPEEDS)
    (style,) = svg.iter(f"{SVG}style")

    assert (style.text or "").strip() == CHART_CSS.strip()
    assert "@media (prefers-color-scheme: dark)" in CHART_CSS
    assert [rect.get("width") for rect in svg.iter(f"{SVG}rect") if rect.get("class") == "paper"] == ["100%"]


def test_svg_for_a_page_brings_no_style_and_no_background() -> None:
    text = bars_svg(SPEEDS, standalone=False)

    assert "style" not in text
    assert "paper" not in text


def test_svg_grows_with_its_bars_and_stays_as_wide_as_asked() -> None:
    one, hundred = (drawn(chart(*(Bar(f"m{place}", 1.0) for place in range(count)))) for count in (1, 100))

    assert (one.get("width"), hundred.get("width")) == ("720", "720")
    assert int(hundred.attrib["height"]) - int(one.attrib["height"]) == 99 * 21
    assert drawn(SPEEDS, width=10).get("width") == "320"


def test_svg_breaks_long_labels_and_leaves_room_for_bars() -> None:
    svg = drawn(chart(Bar("model-" * 30, 1.0, "a note as long as the label " * 5)), width=320)

    assert "".join(text for text in texts(svg) if text.startswith("model-")) == "model-" * 30
    assert widths(svg)[0] > 30
    assert int(svg.attrib["height"]) > 12 * 17


def test_svg_draws_several_charts_below_each_other() -> None:
    svg = drawn(SPEEDS, chart(Bar("small", 2.0)))

    assert [text.text for text in svg.iter(f"{SVG}text") if text.get("class") == "title"] == [
        "Answer speed",
        "Load time",
    ]
    assert svg[0].text == "Answer speed, higher is better; Load time"
    assert max(widths(svg)) > 300


def test_svg_of_nothing_says_so() -> None:
    assert texts(drawn()) == ["Nothing was measured."]
    assert texts(drawn(Chart(title="Load time", unit="s", groups=()))) == ["Load time", "Nothing was measured."]


def test_svg_escapes_texts() -> None:
    made = Chart(title="<script>", unit='"s"', groups=(Group("&\x00", (Bar("</svg>\ud800", 1.0, "<b>"),)),))
    svg = drawn(made, name='"x"')

    assert texts(svg) == ["<script>", "&\\x00", "</svg>\\ud800", '1 "s" (<b>)']
    assert svg.get("aria-labelledby") == '"x"-title "x"-desc'
    assert {element.tag.removeprefix(SVG) for element in svg.iter()} == {
        *("svg", "title", "desc", "style", "rect", "g", "text", "line")
    }


# Values


@pytest.mark.parametrize(
    ("value", "unit", "written"),
    [
        (0.0, "s", "0 s"),
        (4_200_000_000, "bytes", "4.2 GB"),
        (999, "bytes", "999 B"),
        (999_999, "bytes", "1 MB"),
        (5e18, "bytes", "5,000 PB"),
        (0.31234, "s", "312 ms"),
        (1e-9, "s", "1e-09 s"),
        (12.3456, "s", "12.3 s"),
        (9_999, "ms", "9,999 ms"),
        (12_345, "ms", "12.3 s"),
        (1234567.8, "tokens/s", "1,234,568 tokens/s"),
        (0.012345, "tokens/s", "0.0123 tokens/s"),
        (4.2, "", "4.2"),
        (-3.14159, "x", "-3.14 x"),
        (1e300, "x", "1e+300 x"),
    ],
)
def test_value_is_written_with_three_digits_in_a_unit_that_fits(value: float, unit: str, written: str) -> None:
    assert value_with_unit(value, unit) == written


def test_type_that_is_not_known_is_called_as_it_is_written() -> None:
    assert metric_type("beir_average", "points") == ("Beir average", "points", None)
    assert metric_type("load_time") == METRIC_TYPES["load_time"]


# Which measurements are shown


def metric(number: int, model: int, value: float, **changes: object) -> Metric:
    stated = {
        "metric_type": "tokens_per_second",
        "unit": "tokens/s",
        "hardware_type": "cpu",
        "hardware_name": "EPYC",
        "context_size": 4096,
        "measured_at": f"2026-11-{number:02}T09:00:00Z",
    }
    return Metric(id=number, model_id=model, metric_value=value, **(stated | changes))  # type: ignore[arg-type]


def test_newest_measurement_of_a_model_stands() -> None:
    found = [metric(3, 1, 30.0, hardware_name="epyc"), metric(2, 2, 20.0), metric(1, 1, 10.0)]

    assert newest(found) == (found[0], found[1])


def test_charts_are_by_type_in_the_order_of_the_types_and_bars_best_first() -> None:
    found = [
        metric(6, 1, 9.0, metric_type="beir", unit="points"),
        metric(5, 1, 7.0, metric_type="load_time", unit="s"),
        metric(4, 2, 3.0, metric_type="load_time", unit="s"),
        metric(3, 2, 20.0),
        metric(2, 1, 30.0),
        metric(1, 1, 300.0, hardware_type="cuda", hardware_name="H100"),
    ]

    speeds = (
        Group("EPYC (cpu)", (Bar("one", 30.0), Bar("two", 20.0))),
        Group("H100 (cuda)", (Bar("one", 300.0),)),
    )
    times = (Group("EPYC (cpu)", (Bar("two", 3.0), Bar("one", 7.0))),)
    assert charts_of(found, {1: "one", 2: "two"}) == (
        Chart(title="Answer speed", unit="tokens/s", better="higher", groups=speeds),
        Chart(title="Load time", unit="s", better="lower", groups=times),
        Chart(title="Beir", unit="points", groups=(Group("EPYC (cpu)", (Bar("one", 9.0),)),)),
    )


def test_contexts_are_told_where_they_differ() -> None:
    (made,) = charts_of([metric(2, 1, 2.0, context_size=512), metric(1, 2, 1.0, context_size=None)], {1: "a", 2: "b"})

    assert made.bars == (Bar("a", 2.0, "context 512"), Bar("b", 1.0))


def test_values_of_different_units_are_not_in_one_chart() -> None:
    made = charts_of([metric(2, 1, 2.0), metric(1, 2, 1.0, unit="words/s")], {1: "a", 2: "b"})

    assert [each.unit for each in made] == ["tokens/s", "words/s"]
