"""The files of the pages: contrast of the colours, nothing from elsewhere, addresses that change with the content."""

import re
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from registry.server.web.assets import load_assets

STATIC = Path(__file__).parents[3] / "src" / "registry" / "server" / "web" / "static"
STYLE = (STATIC / "site.css").read_text(encoding="utf-8")
COLOURS = {
    name: (light, dark)
    for name, light, dark in re.findall(r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", STYLE)
}
GROUNDS = ("page", "surface", "sunk")
TEXTS = (
    *((text, ground) for text in ("text", "quiet", "accent", "accent-strong") for ground in (*GROUNDS, "accent-tint")),
    *((text, ground) for text in ("good", "warn", "bad") for ground in (*GROUNDS, f"{text}-tint")),
    ("text", "warn-tint"),
    ("on-accent", "accent"),
    ("on-accent", "accent-strong"),
)
PARTS = ("weights", "kv_cache", "compute", "overhead")
SHAPES = (
    *((name, ground) for name in ("control-line", "focus") for ground in ("page", "surface")),
    *((f"part-{part}", ground) for part in PARTS for ground in ("surface", "sunk")),
)


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2 (https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio)."""
    brighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_contrast_of_black_on_white_is_21():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("pairs", "least"), [(TEXTS, 4.5), (SHAPES, 3)], ids=["texts", "shapes"])
def test_colours_have_the_contrast_of_aa(scheme, pairs, least):
    place = ("light", "dark").index(scheme)
    found = {pair: round(contrast(*(COLOURS[name][place] for name in pair)), 2) for pair in pairs}
    assert {pair: ratio for pair, ratio in found.items() if ratio < least} == {}


def test_colours_stand_in_variables_only():
    rules = STYLE.partition("}")[2]
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b|rgba?\(|hsla?\(", rules) == []


def test_variables_that_are_used_are_defined():
    assert set(re.findall(r"var\(--([\w-]+)\)", STYLE)) <= set(re.findall(r"--([\w-]+):", STYLE))


@pytest.mark.parametrize("path", sorted(STATIC.iterdir()), ids=lambda path: path.name)
def test_files_ask_nothing_of_other_hosts(path):
    addresses = set(re.findall(r"https?://[^\s\"')]+|url\(|@import", path.read_text(encoding="utf-8")))
    assert addresses <= {"http://www.w3.org/2000/svg"}


def test_address_holds_a_digest_of_the_content(tmp_path):
    (tmp_path / "a.css").write_text("a {}", encoding="utf-8")
    first = load_assets(tmp_path)["a.css"].address
    (tmp_path / "a.css").write_text("b {}", encoding="utf-8")
    second = load_assets(tmp_path)["a.css"].address
    assert re.fullmatch(r"/static/a\.[0-9a-f]{12}\.css", first)
    assert first != second


def test_other_files_are_not_given_out(tmp_path):
    (tmp_path / "notes.txt").write_text("secret", encoding="utf-8")
    assert load_assets(tmp_path) == {}
