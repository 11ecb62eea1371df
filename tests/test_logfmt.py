"""Lines of the log are written so that a reader can take them apart."""

import json
import logging
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry._logfmt import log, text_of

LOGGER = logging.getLogger("registry.test_logfmt")


def test_log_writes_the_event_and_its_facts_in_order(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, LOGGER.name):
        log(LOGGER, logging.INFO, "registry.a", role="general", served_by="local/qwen3", reason="nothing listens")
    assert [record.getMessage() for record in caplog.records] == [
        'registry.a role=general served_by=local/qwen3 reason="nothing listens"'
    ]


def test_log_keeps_the_facts_unformatted_on_the_record(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, LOGGER.name):
        log(LOGGER, logging.INFO, "registry.a", patched=True, bytes=3, reason=None)
    record = caplog.records[0].__dict__
    assert (record["event"], record["facts"], record["filename"]) == (
        "registry.a",
        {"patched": True, "bytes": 3},
        "test_logfmt.py",
    )


def test_log_of_facts_named_as_its_own_arguments_writes_them(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, LOGGER.name):
        log(LOGGER, logging.INFO, "registry.a", event="b", level="high", logger="c")
    assert caplog.messages == ["registry.a event=b level=high logger=c"]


def test_log_of_a_percent_sign_writes_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, LOGGER.name):
        log(LOGGER, logging.INFO, "registry.a", share="100%s")
    assert caplog.messages == ["registry.a share=100%s"]


def test_log_below_the_level_of_the_logger_makes_no_text() -> None:
    class Never:
        def __str__(self) -> str:
            raise AssertionError

    log(LOGGER, logging.DEBUG, "registry.a", value=Never())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("qwen3:4b", "qwen3:4b"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "so"', '"say \\"so\\""'),
        ("C:\\models", '"C:\\\\models"'),
        ("größer", "größer"),
        ("line\nend", '"line\\nend"'),
        ("line\u2028end\x7f", '"line\\u2028end\\u007f"'),
        (True, "true"),
        (False, "false"),
        (3, "3"),
        (0.25, "0.25"),
        (("ollama", "openai"), "ollama,openai"),
        ((), '""'),
    ],
)
def test_text_of_quotes_only_what_needs_it(value: object, text: str) -> None:
    assert text_of(value) == text


def test_text_of_a_long_value_is_cut() -> None:
    assert text_of("x" * 1001) == "x" * 997 + "..."


@given(st.text(max_size=200))
def test_text_of_any_text_is_one_token_on_one_line_and_can_be_read_back(text: str) -> None:
    written = text_of(text)
    assert written.isprintable()
    if written.startswith('"'):
        assert json.loads(written) == text
    else:
        assert written == text
        assert re.search(r'[\s"=]', written) is None
