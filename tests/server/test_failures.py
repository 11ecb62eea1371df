"""Which answer an error becomes."""

import pytest

pytest.importorskip("fastapi")
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from test_errors import MESSAGES

from registry import errors
from registry.server.failures import Failure, failure_of

FAILURES = [
    (
        errors.CatalogModelNotFoundError("colbert-v3", ("colbert-v2",), "catalog.db"),
        Failure(
            404,
            "model_not_found",
            "Model `colbert-v3` is not in the catalogue.",
            "Did you mean `colbert-v2`?",
            "model",
        ),
    ),
    (
        errors.CatalogModelNotFoundError("zzz", (), "/home/me/catalog.db"),
        Failure(
            404,
            "model_not_found",
            "Model `zzz` is not in the catalogue.",
            "`/api/models` lists all there are.",
            "model",
        ),
    ),
    (
        errors.InvalidOptionError("adapter", "a GGUF file", "/home/me/adapters/1.gguf"),
        Failure(500, "adapter_missing", "The file of the adapter is not where the server runs.", "Its log says more."),
    ),
    (
        errors.ModelNotFoundError("zzz"),
        Failure(
            404, "model_not_found", "Model `zzz` is not in the registry.", "`/v1/models` lists all there are.", "model"
        ),
    ),
    (
        errors.ModelNotFoundError("qwen", ("qwen3-4b",)),
        Failure(404, "model_not_found", "Model `qwen` is not in the registry.", "Did you mean `qwen3-4b`?", "model"),
    ),
    (
        errors.ModelNotDownloadedError("qwen3-4b", ("/home/me/a.gguf (no such file)", "/b"), "Fetch them with `x`."),
        Failure(
            404,
            "model_not_downloaded",
            "The files of `qwen3-4b` are not on this machine.",
            "Fetch them with `registry download qwen3-4b` where the server runs, or start it with `--allow-download`.",
        ),
    ),
    (
        errors.ChecksumMismatchError("/home/me/a.gguf", "aa", "bb", "Remove /home/me/a.gguf."),
        Failure(
            500,
            "failed",
            "`a.gguf` is not the file that the registry pins: expected aa, got bb.",
            "Remove a.gguf.",
        ),
    ),
    (
        errors.InvalidFieldError("parameters", "a number of billions", "x"),
        Failure(422, "invalid_field", "`parameters`: expected a number of billions, got 'x'.", "", "parameters"),
    ),
    (
        errors.InvalidOptionError("temperature", "a number from 0 to 2", 9),
        Failure(400, "invalid_option", "`temperature`: expected a number from 0 to 2, got 9.", "", "temperature"),
    ),
    (
        errors.InvalidInputError("texts[2]", "expected a string, got 3. Give strings."),
        Failure(400, "invalid_input", "`texts[2]`: expected a string, got 3.", "Give strings.", "texts[2]"),
    ),
    (
        errors.ModelBusyError("qwen3-4b", "32 requests are waiting for it.", 4),
        Failure(
            429,
            "model_busy",
            "`qwen3-4b` is busy: 32 requests are waiting for it.",
            "Try again in 4 s.",
            None,
            {"Retry-After": "4"},
        ),
    ),
    (
        errors.CatalogBusyError("catalog.db", 10),
        Failure(
            503,
            "catalog_busy",
            "Another process is writing to the catalogue, and was not done after 10 s.",
            "Nothing was changed. Try again, or wait for longer.",
            None,
            {"Retry-After": "1"},
        ),
    ),
    (
        errors.ModelClosedError("the server"),
        Failure(
            503, "stopping", "The server is being stopped.", "Ask again when it is back.", None, {"Retry-After": "1"}
        ),
    ),
    (
        errors.RegistryError("It broke. Mend it."),
        Failure(500, "failed", "It broke.", "Mend it."),
    ),
    (
        ZeroDivisionError("secret"),
        Failure(500, "internal_error", "Something went wrong in the server.", "Its log has the request id."),
    ),
    (
        errors.CatalogFileError("/home/me/catalog.db", "is damaged", "Restore a copy."),
        Failure(500, "catalog_unusable", "The catalogue is damaged. It was left as it is.", "Restore a copy."),
    ),
    (
        errors.ModelExistsError("mine", "catalog.db"),
        Failure(409, "model_exists", "The catalogue has a model `mine` already.", "Update it, or choose another name."),
    ),
    (HTTPException(404), Failure(404, "not_found", "Not Found.", "`/openapi.json` lists what there is.")),
    (
        HTTPException(405, headers={"Allow": "GET"}),
        Failure(
            405,
            "method_not_allowed",
            "Method Not Allowed.",
            "The header `Allow` names the methods that it has.",
            headers={"Allow": "GET"},
        ),
    ),
    (
        HTTPException(401, detail=Failure(401, "no_key", "No key."), headers={"WWW-Authenticate": "Bearer"}),  # type: ignore[arg-type]
        Failure(401, "no_key", "No key.", headers={"WWW-Authenticate": "Bearer"}),
    ),
    (
        RequestValidationError([{"type": "int", "loc": ("query", "limit"), "msg": "Should be a number", "input": "x"}]),
        Failure(
            422,
            "invalid_request",
            "`limit`: Should be a number.",
            "`/openapi.json` describes what may be sent.",
            "limit",
        ),
    ),
]


@pytest.mark.parametrize(("error", "failure"), FAILURES, ids=lambda value: type(value).__name__)
def test_error_becomes_an_answer(error: Exception, failure: Failure) -> None:
    assert failure_of(error) == failure


def test_problem_does_not_give_back_all_that_was_sent() -> None:
    failure = failure_of(errors.InvalidOptionError("schema", "a schema", "x" * 10**6))

    assert (failure.message[:30], failure.message[-3:]) == ("`schema`: expected a schema, g", "x'.")
    assert len(failure.message) == 2005


def test_every_error_of_the_library_has_a_status_of_its_own_kind() -> None:
    server_faults = {type(error).__name__ for error, _ in MESSAGES if failure_of(error).code == "failed"}

    assert server_faults == {
        "AdapterError",
        "ChecksumMismatchError",
        "DeploymentError",
        "EmbeddingSpaceError",
        "GeneratedFormatError",
        "ImportRowsError",
        "InvalidSettingError",
        "ManifestError",
        "ModelLoadError",
        "NameCollisionError",
        "NoDefaultModelError",
        "NoProviderError",
        "ProviderError",
        "ProviderModelError",
        "ProviderTimeoutError",
        "ProviderUnavailableError",
        "StreamBrokenError",
    }


def test_failure_under_api_is_an_envelope() -> None:
    assert Failure(404, "not_found", "No.", "Look.").envelope() == {
        "success": False,
        "error": {"code": "not_found", "message": "No.", "hint": "Look."},
    }


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (429, "rate_limit_error"),
        (503, "server_error"),
    ],
)
def test_failure_under_v1_is_of_openais_shape(status: int, kind: str) -> None:
    assert Failure(status, "code", "No.", "Look.", "model").openai() == {
        "error": {"message": "No. Look.", "type": kind, "param": "model", "code": "code"}
    }
