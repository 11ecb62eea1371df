"""`registry cluster`: serving on several machines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from registry.cli._app import add, group
from registry.cli._errors import say
from registry.cli._options import Json, Registry, registry_of, size_of
from registry.cli._output import Column, show_json, show_table, size
from registry.cli._writing import refuse_to_overwrite, write_text


def config(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="Models to serve beside those of the profile.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", metavar="NAME", help="Profile; REGISTRY_PROFILE, or `default`.")
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option("--manifest", metavar="FILE", help="Profiles to lay over the compiled ones; REGISTRY_MANIFEST."),
    ] = None,
    role: Annotated[
        list[str] | None,
        typer.Option("--role", metavar="ROLE", help="Serve these roles of the profile only; repeatable."),
    ] = None,
    replicas: Annotated[int, typer.Option("--replicas", metavar="N", help="Replicas of each model.")] = 1,
    max_replicas: Annotated[
        int | None, typer.Option("--max-replicas", metavar="N", help="Start more under load, up to so many.")
    ] = None,
    cpus: Annotated[float, typer.Option("--cpus", metavar="N", help="CPUs, and threads, of each replica.")] = 1.0,
    gpu_memory: Annotated[
        str | None, typer.Option("--gpu-memory", metavar="SIZE", help="Memory of one GPU; without it none is used.")
    ] = None,
    ingress_replicas: Annotated[
        int, typer.Option("--ingress-replicas", metavar="N", help="Processes that take requests in.")
    ] = 1,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Address that the proxies listen at.")
    ] = "0.0.0.0",  # noqa: S104 - the cluster asks for a key then
    port: Annotated[int, typer.Option("--port", metavar="N", help="Port that the proxies listen at.")] = 8000,
    allow_download: Annotated[
        bool, typer.Option("--allow-download", help="Fetch the files of a model on each node that lacks them.")
    ] = False,
    registry: Registry = None,
    out: Annotated[
        str, typer.Option("--out", metavar="FILE", help="Where to write it; standard output without it.")
    ] = "-",
    force: Annotated[bool, typer.Option("--force", help="Overwrite FILE.")] = False,
    json: Json = False,
) -> None:
    """Write the config file of Ray Serve for a cluster.

    YAML, with what each replica takes as it is estimated; `serve deploy FILE` deploys it. With --json the
    config itself is printed as JSON.

    Examples:
        registry cluster config --out serve.yaml
        registry cluster config --role coding --max-replicas 8 --gpu-memory 24GB
    """
    from registry._extras import require

    if json and out != "-":
        raise typer.BadParameter("prints the config: leave `--out` out, or leave this out", param_hint="--json")
    require("ray", extra="cluster", purpose="`registry cluster config`")
    from registry.cluster import ClusterOptions, Scaling
    from registry.cluster.config import serve_config, serve_config_text

    refuse_to_overwrite(out, force=force)
    registry_of(registry)  # says what is wrong with it in the words of this program
    scaling = Scaling(replicas=replicas, max_replicas=max_replicas, cpus=cpus)
    options = ClusterOptions(
        profile=profile,
        manifest=manifest,
        roles=None if role is None else tuple(role),
        models=dict.fromkeys(models or (), scaling),
        scaling=scaling,
        registry=registry,
        ingress_replicas=ingress_replicas,
        gpu_memory_bytes=size_of(gpu_memory, "--gpu-memory"),
    )
    options = replace(options, server=replace(options.server, allow_download=allow_download))
    if json:
        show_json(serve_config(options, host=host, port=port))
        return
    write_text(out, serve_config_text(options, host=host, port=port))
    if out != "-":
        say("", f"Written to {out}. `serve deploy {out}` deploys it.")


def overview(context: typer.Context, json: Json = False) -> None:
    """Serve on several machines, with Ray.

    Without a command: which models of the profile in force a cluster would serve, and what each replica takes.
    """
    if context.invoked_subcommand is not None:
        return
    from registry.cluster import ClusterOptions
    from registry.cluster.plan import plan

    planned = plan(ClusterOptions())
    rows = [
        (
            each.record.id,
            tuple(role for role, model_id in planned.roles.items() if model_id == each.record.id),
            each.resources.cpus,
            each.resources.gpus,
            each.resources.memory_bytes,
        )
        for each in planned.models
    ]
    names = ("model", "roles", "cpus", "gpus", "memory_bytes")
    if json:
        show_json({"models": [dict(zip(names, row, strict=True)) for row in rows], "left_out": planned.left_out})
        return
    titles = (Column("Model"), Column("Roles", rank=1), Column("CPUs", right=True), Column("GPUs", right=True, rank=2))
    show_table((*titles, Column("Memory", right=True, shown=size)), rows)
    if planned.left_out:
        say("note", f"no record plays these roles, and nobody would serve them: {', '.join(planned.left_out)}.")


app = group("cluster", invoke_without_command=True, help=overview.__doc__)
app.callback()(overview)
add(app, config, "config")
