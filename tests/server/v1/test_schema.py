"""Whatever the description of /v1 allows, or does not, gets an answer that it describes."""

from typing import Any

import pytest

schemathesis = pytest.importorskip("schemathesis")
import hypothesis  # noqa: E402 - after it is known that it can be imported
import tiny  # noqa: E402
from schemathesis.specs.openapi.checks import positive_data_acceptance  # noqa: E402

from server.v1.served import Serve, Served  # noqa: E402

MODELS = {"/v1/embeddings": "tiny-dense", "/v1/rerank": "tiny-dense"}
# What is of the right shape may still be refused: roles out of order, a schema that no grammar can follow.
ACCEPTANCE = [positive_data_acceptance]


@pytest.fixture
def served(serve: Serve) -> Served:
    pytest.importorskip("sentence_transformers")
    return serve(serve.chat(), serve.encoder(tiny.dense, tiny.dense_record()))


@pytest.mark.parametrize(
    ("path", "is_known"),
    [("/v1/models", False), ("/v1/models/{model}", False)]
    + [
        (f"/v1/{path}", known)
        for path in ("chat/completions", "completions", "embeddings", "rerank")
        for known in (0, 1)
    ],
)
def test_answers_are_as_described(path: str, is_known: bool, served: Served) -> None:
    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    (operation,) = schema[path].values()

    @hypothesis.settings(max_examples=30, suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(case=operation.as_strategy())
    def run(case: Any) -> None:
        if is_known and isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
            case.body["model"] = MODELS.get(path, "tiny-chat")
        case.call_and_validate(excluded_checks=ACCEPTANCE if is_known else [])

    run()
