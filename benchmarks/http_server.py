"""A server to be measured, in a process of its own: `python -m benchmarks.http_server bare|ours|cold KEY`.

`bare` is a Starlette application of one route that answers with nothing, under the settings that ours runs with. `cold`
is ours where no answer is kept in memory. Prints its address to the standard error; the access log goes to /dev/null.
"""

from __future__ import annotations

import sys
from unittest import mock

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from registry.server import ServerOptions, front, kept_answers, serving


def main() -> None:
    """Serve until SIGTERM."""
    kind, key = sys.argv[1:]
    options = ServerOptions(port=0, api_key=key)
    if kind == "bare":
        bare = Starlette(routes=[Route("/", _nothing)])
        with mock.patch.object(serving, "create_app", return_value=bare):
            serving.serve(options, announce=_announce)
    elif kind == "cold":
        with mock.patch.object(front, "KeptAnswers", return_value=kept_answers.KeptAnswers(max_bytes=0)):
            serving.serve(options, announce=_announce)
    else:
        serving.serve(options, announce=_announce)


async def _nothing(_: Request) -> Response:
    return Response()


def _announce(address: str) -> None:
    print(address.rpartition(":")[2], file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
