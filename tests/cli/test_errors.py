"""Messages become one line and a hint, and exit codes."""

import errno
from collections.abc import Callable

import pytest

pytest.importorskip("typer")
import typer

from registry.cli._errors import explained, guarded
from registry.errors import (
    CatalogModelNotFoundError,
    ChecksumMismatchError,
    ContextOverflowError,
    DownloadError,
    GeneratedFormatError,
    InsufficientMemoryError,
    InvalidOptionError,
    InvalidSettingError,
    LicenseNotAllowedError,
    ManifestError,
    MissingExtraError,
    ModelNotDownloadedError,
    ModelNotFoundError,
    RegistryError,
    UnpinnedModelError,
)

_UNPINNED = (
    "Pin it in models.json, or fetch it with `--allow-unpinned`: what is seen then is written down, and must be "
    "the same ever after."
)
EXPLAINED = [
    (
        ModelNotFoundError("colbert-v3", ("colbert-v2", "colbert-zero")),
        "Model `colbert-v3` is not in the registry.",
        "Did you mean `colbert-v2` or `colbert-zero`?",
    ),
    (
        ModelNotFoundError("xyz"),
        "Model `xyz` is not in the registry.",
        "`registry list` shows all ids.",
    ),
    (
        ModelNotDownloadedError(
            "a-model", ("/home/a (no such file)", "/cache/a (no such file)"), "Call `registry download`."
        ),
        "The files of `a-model` are not on this machine. Looked in: /home/a (no such file); /cache/a (no such file)",
        "Fetch it with `registry download a-model`.",
    ),
    (
        ModelNotDownloadedError(
            "a-model",
            ("/home/a (no such file)",),
            "Fetch them with `registry download a-model` or `registry.hub.ensure(...)` without `HF_HUB_OFFLINE`.",
        ),
        "The files of `a-model` are not on this machine. Looked in: /home/a (no such file)",
        "Fetch them with `registry download a-model` or `registry.hub.ensure(...)` without `HF_HUB_OFFLINE`.",
    ),
    (
        ModelNotDownloadedError("a-model", ("/home/manifest.json",), "`registry cache list` shows what is kept."),
        "The files of `a-model` are not on this machine. Looked in: /home/manifest.json",
        "`registry cache list` shows what is kept.",
    ),
    (
        MissingExtraError("torch", "embed", "Loading encoders", "Then that."),
        "Loading encoders needs `torch`, which is not installed.",
        'Install it with `pip install "typed-model-registry[embed]"`. Then that.',
    ),
    (
        ChecksumMismatchError("a.gguf", "11", "22", "It was cut off. Fetch it again."),
        "`a.gguf` is not the file that the registry pins: expected 11, got 22.",
        "It was cut off. Fetch it again.",
    ),
    (
        DownloadError("a-model", "the hub said 404.", "Check the name."),
        "Cannot fetch `a-model`: the hub said 404.",
        "Check the name.",
    ),
    (
        UnpinnedModelError("a-model", ("a.gguf",)),
        "`a-model` is not pinned: expected a commit or a sha256 in its record, got neither for `a.gguf`.",
        _UNPINNED,
    ),
    (
        LicenseNotAllowedError("a-model", "MIT", ("Apache-2.0",), "`REGISTRY_LICENSES`"),
        "The licence of `a-model` is not allowed: expected one of Apache-2.0, got `MIT`.",
        "Choose another model, or add the licence to `REGISTRY_LICENSES`.",
    ),
    (
        InvalidSettingError("max_cache_size", "`/a b. c/config.toml`", "a size", "x"),
        "Setting `max_cache_size` in `/a b. c/config.toml`: expected a size, got 'x'.",
        "Correct it.",
    ),
    (
        InsufficientMemoryError("qwen2.5-3b", "It needs 4 GB; there are 1 GB. Of 6 it cannot be told. Free memory."),
        "Not enough memory for `qwen2.5-3b`. It needs 4 GB; there are 1 GB. Of 6 it cannot be told.",
        "Free memory.",
    ),
    (
        ContextOverflowError("a-model", 900, 512, 4096),
        "The prompt does not fit into the context of `a-model`: expected fewer than 512 tokens, got 900.",
        "Shorten it or load the model with a larger `--context-length` (at most 4096).",
    ),
    (
        InsufficientMemoryError("a-model", "It needs 4 GB. `b` fits: `recommended_only=False` lets it in."),
        "Not enough memory for `a-model`. It needs 4 GB.",
        "`b` fits: `--all` lets it in.",
    ),
    (
        InsufficientMemoryError(
            "a-model", "It needs 4 GB. Sizes are in bytes: write 16 GB as `16 * 10**9` or `'16GB'`."
        ),
        "Not enough memory for `a-model`. It needs 4 GB.",
        "A size without a unit is in bytes: write `16GB`.",
    ),
    (
        InvalidOptionError("tags", "what one of the 2 models that match `license=('MIT', 'ISC')` has: c", "b"),
        "`--tag`: expected what one of the 2 models that match `--license MIT --license ISC` has: c, got 'b'.",
        "",
    ),
    (
        InvalidOptionError("sources", "an address", "ftp:", "Leave `available_ram` and `role='coding'` out."),
        "`--source`: expected an address, got 'ftp:'.",
        "Leave `--ram` and `--role coding` out.",
    ),
    (
        InvalidOptionError("max_replicas", "at least `replicas`, 3", 2),
        "`--max-replicas`: expected at least `--replicas`, 3, got 2.",
        "",
    ),
    (
        InvalidSettingError("sources", "`sources` of `/a/config.toml`", "a list", 5),
        "Setting `sources` in `sources` of `/a/config.toml`: expected a list, got 5.",
        "Correct it.",
    ),
    (
        GeneratedFormatError("acme._registry", 2, 1),
        "`acme._registry` was generated by an older version of typed-model-registry: expected format 2, got 1.",
        "Regenerate it with `registry generate`.",
    ),
    (
        CatalogModelNotFoundError("mine", (), "catalog.db"),
        "Model `mine` is not in the catalogue `catalog.db`.",
        "`registry list` shows the shipped models; `registry import` adds your own.",
    ),
    (
        CatalogModelNotFoundError("mine", ("mini",), "catalog.db"),
        "Model `mine` is not in the catalogue `catalog.db`.",
        "Did you mean `mini`?",
    ),
    (RegistryError("Only this"), "Only this", ""),
    (RegistryError("A\x1b[31mred\x07 text."), "A\\x1b[31mred\\x07 text.", ""),
]


@pytest.mark.parametrize(("error", "problem", "remedy"), EXPLAINED, ids=lambda value: type(value).__name__)
def test_message_is_split_into_problem_and_remedy(error: RegistryError, problem: str, remedy: str) -> None:
    assert explained(error) == (problem, remedy)


def raising(error: BaseException) -> Callable[[], int]:
    def run() -> int:
        raise error

    return run


CODES = [
    (RegistryError("Wrong. Do that."), 1, "error: Wrong.\nhint: Do that.\n"),
    (InvalidOptionError("role", "one of a", "b"), 2, "error: `--role`: expected one of a, got 'b'.\n"),
    (
        ManifestError("m.json", ("line 3: a: expected b, got c",)),
        1,
        "error: The manifest `m.json` cannot be used: line 3: a: expected b, got c\nhint: Mend it, or leave it out.\n",
    ),
    (
        ManifestError("m.json", ("line 3: a: expected b,\x1b got c", "line 7: d: expected e"), "`REGISTRY_MANIFEST`"),
        1,
        (
            "error: The manifest `m.json`, which `REGISTRY_MANIFEST` names, cannot be used: 2 problems\n"
            "  line 3: a: expected b,\\x1b got c\n"
            "  line 7: d: expected e\n"
            "hint: Mend it, or leave it out.\n"
        ),
    ),
    (KeyboardInterrupt(), 130, "error: Stopped by Ctrl-C.\n"),
    (typer.Exit(3), 3, ""),
    (typer.Abort(), 1, "error: Stopped: the input ended.\n"),
    (OSError(errno.EACCES, "Permission denied", "a.txt"), 1, "error: a.txt: Permission denied\n"),
    (OSError("just so"), 1, "error: just so\n"),
    (typer.BadParameter("no"), 2, "error: Invalid value: no.\nhint: `registry --help` shows how it is used.\n"),
]


@pytest.mark.parametrize(("error", "code", "said"), CODES, ids=lambda value: type(value).__name__)
def test_error_is_said_and_gives_its_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(raising(error)) == code
    assert capsys.readouterr() == ("", said)


def test_fault_of_the_program_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        guarded(lambda: 1 // 0)


def test_run_without_an_error_gives_its_code() -> None:
    assert guarded(lambda: 0) == 0
