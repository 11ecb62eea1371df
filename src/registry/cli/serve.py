"""`registry serve`: the catalogue and the models over HTTP."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli._errors import CommandError, say
from registry.cli._options import Json, Registry, registry_of, size_of
from registry.cli._output import show_json

if TYPE_CHECKING:
    from registry.server import ServerOptions

_KEY_ADVICE = "`--api-key` shows the key to everybody who lists processes: set `REGISTRY_API_KEY` instead."


def serve(
    host: Annotated[
        str,
        typer.Option("--host", metavar="ADDRESS", help="Address to listen on; another than this machine needs a key."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", metavar="N", help="Port to listen on; 0 takes a free one.")] = 8081,
    api_key: Annotated[
        str | None,
        typer.Option("--api-key", metavar="KEY", help="Key that writes need; better set as REGISTRY_API_KEY."),
    ] = None,
    catalog: Annotated[
        Path | None, typer.Option("--catalog", metavar="FILE", help="Catalogue store; catalog.db in the home folder.")
    ] = None,
    allow_download: Annotated[
        bool, typer.Option("--allow-download", help="Fetch the files of a model when it is first asked for.")
    ] = False,
    max_models: Annotated[int, typer.Option("--max-models", metavar="N", help="Models to keep loaded.")] = 2,
    max_memory: Annotated[
        str | None,
        typer.Option("--max-memory", metavar="SIZE", help="Memory for loaded models together, such as 16GB."),
    ] = None,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(
            "--cors-origin", metavar="ORIGIN", help="Origin whose pages may call, https://app.example; repeatable."
        ),
    ] = None,
    role: Annotated[
        list[str] | None,
        typer.Option("--role", metavar="ROLE=ID", help="Model that plays a role, coding=my-model; repeatable."),
    ] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", metavar="NAME", help="Profile whose models play the roles.")
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option("--manifest", metavar="FILE", help="Profiles to lay over the compiled ones.")
    ] = None,
    provision: Annotated[
        bool, typer.Option("--provision", help="Fetch the models of the profile from the start, in the background.")
    ] = False,
    registry: Registry = None,
    queue_length: Annotated[
        int, typer.Option("--queue-length", metavar="N", help="Requests that may wait for one model.")
    ] = 32,
    queue_timeout: Annotated[
        float, typer.Option("--queue-timeout", metavar="SECONDS", help="How long a request may wait for its model.")
    ] = 60.0,
    request_timeout: Annotated[
        float, typer.Option("--request-timeout", metavar="SECONDS", help="How long a request may take altogether.")
    ] = 600.0,
    shutdown_timeout: Annotated[
        float,
        typer.Option("--shutdown-timeout", metavar="SECONDS", help="How long a stop waits."),
    ] = 30.0,
    max_body: Annotated[str, typer.Option("--max-body", metavar="SIZE", help="Longest request body.")] = "16MiB",
    no_access_log: Annotated[
        bool, typer.Option("--no-access-log", help="Write no line of JSON for each request.")
    ] = False,
    on_ray: Annotated[
        bool, typer.Option("--ray", help="Serve on Ray: a process for each model of the profile, on several machines.")
    ] = False,
    address: Annotated[
        str | None,
        typer.Option("--address", metavar="HOST:PORT", help="Ray cluster, or `auto`; started here without it."),
    ] = None,
    json: Json = False,
) -> None:
    """Serve catalogue, models and web pages over HTTP.

    Models are used in the shape of OpenAI's API. Ctrl-C stops the server, and answers in flight finish.

    The access log goes to the standard output, one line of JSON for each request; the rest to the standard error.

    Examples:
        registry serve
        REGISTRY_API_KEY=... registry serve --host 0.0.0.0 --port 8081
        registry serve --allow-download --role coding=qwen2.5-coder-7b-q4_k_m
        REGISTRY_ADMIN_TOKEN=... registry serve --profile default --provision
        registry serve --no-access-log --cors-origin https://app.example
        registry serve --ray --address auto
    """
    from registry._extras import require
    from registry._settings import text

    require("fastapi", extra="server", purpose="`registry serve`")
    from registry.server import ServerOptions
    from registry.server import serve as run

    if api_key is not None:
        say("warning", _KEY_ADVICE)
    options = ServerOptions(
        host=host,
        port=port,
        api_key=api_key if api_key is not None else text("api_key"),
        admin_token=text("admin_token"),
        catalog_path=catalog,
        allow_download=allow_download,
        cors_origins=tuple(cors_origin or ()),
        max_body_bytes=size_of(max_body, "--max-body") or 0,
        queue_length=queue_length,
        queue_timeout_s=queue_timeout,
        request_timeout_s=request_timeout,
        max_models=max_models,
        max_bytes=size_of(max_memory, "--max-memory"),
        profile=profile,
        manifest=manifest,
        provision=provision,
        roles=_roles(role or []),
        access_log=not no_access_log,
        shutdown_timeout_s=shutdown_timeout,
    )
    records = registry_of(registry)
    if on_ray or address is not None:
        _serve_on_ray(options, registry, address, announce=partial(_announce, key=options.api_key, json=json))
        return
    run(options, registry=records, announce=partial(_announce, key=options.api_key, json=json))


def _serve_on_ray(
    options: ServerOptions, registry: str | None, address: str | None, announce: Callable[[str], None]
) -> None:
    from registry._extras import require

    if options.provision:
        remedy = "Leave it out: each replica proves its files where it runs, and `--allow-download` lets it fetch them."
        raise CommandError("`--provision` fetches for this process, and on Ray others have the models.", remedy)
    require("ray", extra="cluster", purpose="`registry serve --ray`")
    from registry.cluster import ClusterOptions, serve_on_ray

    if options.admin_token is not None:
        say("note", "on Ray the addresses under /api/v1 are not there.")
    cluster = ClusterOptions(profile=options.profile, manifest=options.manifest, registry=registry, server=options)
    serve_on_ray(cluster, address=address, announce=announce)


def _announce(address: str, *, key: str | None, json: bool) -> None:
    if json:
        show_json({"address": address, "writable": key is not None})
        sys.stdout.flush()  # who reads it waits for it
    say("", f"Serving at {address}. Ctrl-C stops.")
    if key is None:
        say("note", "nothing can be written: set `REGISTRY_API_KEY` to allow that to who has the key.")


def _roles(stated: list[str]) -> dict[str, str]:
    """Read `coding=my-model`, several times."""
    found: dict[str, str] = {}
    for pair in stated:
        role, equals, model_id = (part.strip() for part in pair.partition("="))
        if not (role and equals and model_id):
            raise CommandError(
                f"`--role {pair}` says no model.", "Write it as `--role coding=qwen2.5-coder-7b-q4_k_m`."
            )
        if role in found:
            raise CommandError(f"`--role {role}` is given twice.", "Name one model for each role.")
        found[role] = model_id
    return found
