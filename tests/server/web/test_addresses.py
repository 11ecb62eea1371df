"""The list as its address says."""

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("hypothesis")

from urllib.parse import parse_qsl, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from registry.server.web.addresses import Asked, asked_of, compare_address, is_tidy, model_address

SORTS = ("name", "size")
TEXTS = st.text(max_size=30).map(str.strip)
VALUES = st.lists(TEXTS.filter(bool), max_size=3, unique=True).map(tuple)


def read(address: str) -> Asked:
    return asked_of(parse_qsl(urlsplit(address).query, keep_blank_values=True, errors="surrogatepass"), SORTS)


@given(
    st.builds(
        Asked,
        search=TEXTS,
        type=VALUES,
        tag=VALUES,
        license=VALUES,
        max_ram=st.sampled_from(["", "8GB", "1.5 GiB"]),
        fits=st.booleans(),
        here=st.booleans(),
        sort=st.sampled_from(["", "name", "-size"]),
        page=st.integers(1, 10**6),
    )
)
def test_address_says_what_is_asked_for(asked):
    assert read(asked.address(page=asked.page)) == asked


def test_address_of_everything_is_the_root():
    assert Asked().address() == "/"


def test_change_begins_at_the_first_page():
    assert Asked(search="a", page=7).address(sort="name") == "/?search=a&sort=name"


def test_condition_is_taken_away_and_the_others_stay():
    asked = Asked(search="a b", tag=("x", "y"), fits=True)
    assert asked.without("tag", "x") == "/?search=a+b&tag=y&fits=1"
    assert asked.without("fits", "") == "/?search=a+b&tag=x&tag=y"
    assert asked.without("search", "a b") == "/?tag=x&tag=y&fits=1"


def test_field_of_a_form_that_is_empty_is_not_tidy():
    assert not is_tidy([("search", "a"), ("type", " ")])
    assert is_tidy([("search", "a")])


@pytest.mark.parametrize(
    "pairs",
    [
        [("max_ram", "9" * 400)],
        [("max_ram", "much")],
        [("page", "0")],
        [("page", "\N{SUPERSCRIPT TWO}")],
        [("sort", "--size")],
        [("fits", "yes")],
        [("unknown", "x")],
    ],
)
def test_what_cannot_be_is_passed_over(pairs):
    assert asked_of(pairs, SORTS) == Asked()


def test_size_beyond_what_a_database_compares_is_as_much_as_it_can():
    assert asked_of([("max_ram", "99999999999TB")], SORTS).max_ram_bytes == 2**62


def test_very_many_values_are_cut():
    assert len(asked_of([("tag", str(number)) for number in range(100)], SORTS).tag) == 20


def test_narrowed_is_what_leaves_models_out():
    assert not Asked(sort="name", page=3).is_narrowed
    assert Asked(here=True).is_narrowed


def test_names_in_addresses_are_quoted():
    assert model_address("a+b:c/d") == "/models/a%2Bb%3Ac%2Fd"
    assert compare_address(["a+b", "c"], only="differences", add="") == "/compare?model=a%2Bb&model=c&only=differences"
    assert compare_address([]) == "/compare"
