"""A manifest: read strictly, with the line of every problem."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from registry import MODEL_REGISTRY
from registry.errors import ManifestError
from registry.profiles import Manifest, read_manifest
from registry.records import Profile, RoleModel

from .small import Registry

_SHIPPED = json.loads((Path(__file__).parents[2] / "models.json").read_text("utf-8"))["profiles"]
_EMPTY = Registry([])

Write = Callable[[str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(content: str | bytes) -> Path:
        path = tmp_path / "manifest.json"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


def _problems(path: Path) -> tuple[str, ...]:
    with pytest.raises(ManifestError) as refused:
        read_manifest(path, registry=_EMPTY)
    assert refused.value.source == str(path)
    return refused.value.problems


def test_manifest_with_the_shipped_profiles_gives_what_is_compiled(write: Write) -> None:
    path = write(json.dumps({"profiles": _SHIPPED}))

    assert read_manifest(path) == Manifest(str(path), MODEL_REGISTRY.profiles)


def test_manifest_gives_every_field_of_a_role(write: Write) -> None:
    role = {
        "name": "talk",
        "provider": "vllm",
        "auto_download": False,
        "parameters": {"top_k": 3, "stop": ["a", "b"], "keep_alive": "5m", "flag": True},
        "description": "To talk.",
        "fallback": ["b", "c"],
    }
    path = write(json.dumps({"version": "1.0", "$schema": "x", "profiles": {"a": {"models": {"b": role, "c": "d"}}}}))

    found = read_manifest(path, registry=_EMPTY).profiles

    parameters = {"top_k": 3, "stop": ("a", "b"), "keep_alive": "5m", "flag": True}
    full = RoleModel("b", "talk", "vllm", False, parameters, "To talk.", ("b", "c"))
    assert found == {"a": Profile("a", None, {"b": full, "c": RoleModel("c", "d")})}
    assert hash(found["a"].models["b"])


def test_manifest_with_a_mark_at_its_beginning_is_read(write: Write) -> None:
    assert read_manifest(write(b'\xef\xbb\xbf{"profiles": {}}'), registry=_EMPTY).profiles == {}


def test_manifest_problems_come_all_at_once_in_the_order_of_the_lines(write: Write) -> None:
    path = write(
        """{
  "profiles": {
    "default": {
      "models": {
        "general": {
          "provider": "local",
          "name": "nothing",
          "parameters": {
            "temperature": 3
          },
          "fallbak": []
        },
        "Coding": "x"
      }
    }
  },
  "models": []
}"""
    )

    place = "profiles.default.models"
    a_key = "expected a key of lower-case letters and digits joined by single `.`, `_` or `-`"
    assert _problems(path) == (
        f"line 7: {place}.general.name: expected the id or alias of a record, got `nothing`",
        f"line 9: {place}.general.parameters.temperature: expected a number from 0 to 2, got 3",
        f"line 11: {place}.general.fallbak: expected one of the known keys, got `fallbak`: did you mean `fallback`?",
        f"line 13: {place}.Coding: {a_key}, got `Coding`",
        "line 17: models: expected profiles only, got `models`: compile them with `registry generate`",
    )


def test_manifest_problem_of_a_missing_key_stands_at_what_lacks_it(write: Write) -> None:
    assert _problems(write('{"profiles":\n {"a":\n {}}}')) == (
        "line 2: profiles.a.models: expected an object, got nothing: the key is missing",
    )


def test_manifest_problem_is_one_line_whatever_its_text(write: Write) -> None:
    assert _problems(write('{"profiles": {}, "a\\u001b\\n": 1}')) == (
        "line 1: a\\x1b\\n: expected one of the known keys, got `a\\x1b\\n`: remove it",
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "line 1: expected a JSON object, got an empty file"),
        (" \n", "line 1: expected a JSON object, got an empty file"),
        ("[]", "line 1: expected an object, got an empty list"),
        ('{"profiles":\n{} {}', "line 2: expected JSON, got something else: expecting ',' delimiter (column 4)"),
        ('{"profiles": {},\n"profiles": {}}', "line 2: profiles: expected every key once, got `profiles` again"),
        ('{"profiles": NaN}', "line 1: profiles: expected a number, got NaN: leave the key out where it is unknown"),
        ('{"profiles": [1,\n-Infinity]}', "line 2: profiles[1]: expected a number, got -Infinity: leave the key out"),
        ('{"profiles": 1e999}', "line 1: profiles: expected a number of ordinary size, got `1e999`"),
        (
            '{"profiles": ' + "9" * 4001 + "}",
            f"line 1: profiles: expected a number of ordinary size, got `{'9' * 60}...",
        ),
        ('{"profiles": NaN', "line 1: expected JSON, got something else: expecting ',' delimiter (column 17)"),
        ("[" * 100_000, "line 1: expected a few levels of nesting, got too many"),
        (b'{\n"profiles": "\xff"}', "line 2: expected UTF-8, got byte 0xff: save the file again as UTF-8"),
        (
            '{"profiles": {"a": {"models": {"b": {"name": "{:,[", "x": {"y": 1}, "x": 2}}}}}',
            "line 1: profiles.a.models.b.x",
        ),
    ],
)
def test_manifest_that_is_no_strict_json_is_refused(write: Write, content: str | bytes, problem: str) -> None:
    (found,) = _problems(write(content))

    assert found.startswith(problem)


def test_manifest_names_both_lines_of_a_key_that_stands_twice(write: Write) -> None:
    assert _problems(write('{"profiles": {\n"a": {"models": {}},\n"a": {"models": {}}}}')) == (
        "line 3: profiles.a: expected every key once, got `a` again (first on line 2)",
    )


def test_manifest_that_is_not_there_says_so(tmp_path: Path) -> None:
    assert _problems(tmp_path / "none.json") == ("expected a JSON file, got nothing: there is no such file",)


def test_manifest_that_is_a_folder_says_so(tmp_path: Path) -> None:
    assert _problems(tmp_path) == ("expected a JSON file, got a directory",)


def test_manifest_is_read_once_until_it_changes(write: Write) -> None:
    path = write('{"profiles": {}}')
    first = read_manifest(path, registry=_EMPTY)

    assert read_manifest(path, registry=_EMPTY) is first
    write('{"profiles": {}} ')
    assert read_manifest(path, registry=_EMPTY) is not first
