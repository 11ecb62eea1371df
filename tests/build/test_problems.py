import pytest

from registry_build.problems import BuildError, Problem, dotted, one_of, shown


def test_problem_text_holds_place_record_path_and_message() -> None:
    problem = Problem("models.json", 41, "colbert-v2", "specs.embedding_dim", "expected a positive integer, got 0")

    assert str(problem) == "models.json:41: colbert-v2: specs.embedding_dim: expected a positive integer, got 0"


def test_problem_text_without_line_record_and_path_leaves_them_out() -> None:
    assert str(Problem("models.json", 0, "", "", "expected a file")) == "models.json: expected a file"


def test_problem_text_of_a_warning_says_so() -> None:
    assert str(Problem("models.json", 2, "", "x", "expected y", "warning")) == "models.json:2: warning: x: expected y"


def test_problem_text_with_lone_surrogate_can_be_printed() -> None:
    assert str(Problem("models.json", 1, "", "x", "got `\ud800`")) == "models.json:1: x: got `\\ud800`"


@pytest.mark.parametrize("control", ["\n", "\r", "\x1b[31m", "\x00", "\u2028", "\u202e", "\x85"])
def test_problem_text_with_control_characters_is_one_plain_line(control: str) -> None:
    text = str(Problem("models.json", 1, f"a{control}b", f"c{control}d", f"got {shown(f'e{control}f')}"))

    assert control not in text
    assert len(text.splitlines()) == 1


def test_build_error_sorts_problems_by_line_and_drops_repeats() -> None:
    first, second = Problem("m", 2, "", "", "b"), Problem("m", 10, "", "", "a")

    error = BuildError([second, first, second])

    assert error.problems == (first, second)
    assert str(error) == "m:2: b\nm:10: a"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("version",), "version"),
        (("models", 3, "specs", "embedding_dim"), "models[3].specs.embedding_dim"),
        ((0, "a"), "[0].a"),
    ],
)
def test_dotted_path_reads_as_people_write_it(path: tuple[str | int, ...], text: str) -> None:
    assert dotted(path) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (128.0, "128.0"),
        ("text", "`text`"),
        ("x" * 61, f"`{'x' * 60}...`"),
        ({}, "an object"),
        ({"a": 1}, "an object"),
        ([], "an empty list"),
        ([1], "a list"),
        (10**100, "1" + "0" * 59),
    ],
)
def test_shown_value_is_json_and_short(value: object, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(
    ("values", "text"), [(["a"], "`a`"), (["a", "b"], "`a` or `b`"), (["a", "b", None], "`a`, `b` or null")]
)
def test_one_of_joins_alternatives(values: list[object], text: str) -> None:
    assert one_of(values) == text
