"""YAML that is written, read again by a parser."""

from typing import Any

import pytest

pytest.importorskip("hypothesis")
pytest.importorskip("yaml")
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from registry.configs.yaml_text import Lines, quoted, yaml_text

TEXTS = st.text(st.characters(exclude_categories=("Cs",)))


@given(TEXTS)
@example("no")
@example("1.0")
@example("{a: b}")
@example('"\n\t\r\\ \x85\u2028\ufeff\U0001f600\x00\x7f')
def test_any_text_is_read_as_it_was_written(text: str) -> None:
    assert yaml.safe_load(quoted(text)) == text
    assert "\n" not in quoted(text)


@given(
    st.recursive(
        st.booleans() | st.integers() | TEXTS,
        lambda inner: st.dictionaries(TEXTS, inner, max_size=4) | st.lists(st.integers() | TEXTS, max_size=4),
        max_leaves=12,
    )
)
def test_any_document_is_read_as_it_was_written(value: Any) -> None:
    assert yaml.safe_load(yaml_text({"a": value})) == {"a": value}


def test_lines_are_written_one_below_the_other() -> None:
    assert yaml_text({"a": {"b": Lines("one # two\n--three: 'four'")}}) == (
        '"a":\n  "b": |-\n    one # two\n    --three: \'four\'\n'
    )


def test_half_a_character_becomes_the_sign_for_what_is_lost() -> None:
    assert quoted("\ud800") == '"\ufffd"'


def test_value_that_yaml_is_not_written_for_is_refused() -> None:
    with pytest.raises(TypeError, match="expected a text, a number or a truth value, got <object"):
        yaml_text({"a": object()})
