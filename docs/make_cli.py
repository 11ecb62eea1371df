"""Write docs/command-line.md from the commands themselves; `--check` only compares. Needs the extra `cli`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from difflib import unified_diff
from pathlib import Path
from typing import Any

from registry.cli._app import COMMANDS, make

PAGE = Path(__file__).parent / "command-line.md"
DIFF_LINES = 20
WIDTH = 120

INTRO = """\
# The command line

```sh
pip install "typed-model-registry[cli]"
registry list --type chat --max-ram 8GB
registry download "$(registry select --role coding)"
registry chat
```

The extra `cli` brings the command `registry`, with what it needs to fetch models and to look at the machine. `chat`,
`embed` and `similarity` load models: they need the extra of the model's kind as well, see
[loading.md](loading.md#installing). `python -m registry` is the same command for the interpreter that you name.

`registry --help` lists the commands, `registry COMMAND --help` shows options and examples. This page is written from
the commands by `docs/make_cli.py`.

* [What is printed](#what-is-printed)
* [Exit codes and errors](#exit-codes-and-errors)
* [Registries of your own](#registries-of-your-own)
* [Completion in the shell](#completion-in-the-shell)
* [Updates](#updates)
{contents}

## What is printed

**On a terminal** a command draws a table. Where the terminal is too narrow, the last columns are left out; ids are
never cut, so that they can be copied. `NO_COLOR`, `TERM=dumb` and the setting `no_color` switch colours off.

**Elsewhere**, in a pipe or a file, a row is a line with tabs between the columns, without headings and colours: sizes
in bytes, numbers without commas, `-` for what is not known. All columns are there, in the order that the command's help
names. Where a command prints several tables, as `info` and `diagnose` do, each has a title and the names of its
columns.

```sh
registry list --type dense | cut -f1,5          # id and dimension
registry cache list | cut -f1 | xargs registry verify
```

**With `--json`** standard output is one JSON document and nothing else. Progress, hints and questions are on standard
error at all times. What a document holds is said at each command below. Names of fields are those of the library: a
model's are the attributes of its [record](reference.md), an entry's those of `CacheEntry`, and so on. They stay; new
ones may be added. What is not known is `null`, sizes are in bytes and end in `_bytes`, times are ISO 8601.

```sh
registry list --json | jq -r '.models[] | select(.parameter_count < 1e9) | .id'
registry info colbert-v2 --json | jq '.model.files[].sha256'
```

## Exit codes and errors

| code | meaning |
|---|---|
| 0 | done |
| 1 | it failed, or the answer is no: a damaged file, a model that does not fit, data with errors |
| 2 | wrong usage: no such option, a value that cannot be, nobody to ask and no `--yes` |
| 130 | stopped by Ctrl-C |
| 141 | nobody reads the output any more, as in `registry list \\| head -1` |

An error is one line on standard error, and a second one where there is a remedy:

```
error: Model `colbert-v3` is not in the registry.
hint: Did you mean `colbert-v2`, `colbert-zero` or `jina-colbert-v2`?
```

What deletes something asks first. Without a terminal nobody can be asked: it refuses, with code 2, unless `--yes` is
given. A traceback is a bug: please report it.

## Registries of your own

Every command that takes ids takes `--registry MODULE` too, the importable module of a
[generated registry](your-own-registry.md). Modules in the working folder are found.

```sh
registry generate models.json -o src/acme/_registry.py
registry list --registry acme._registry
registry download my-model --registry acme._registry
```

## Completion in the shell

`registry completion bash` prints a script; so do `zsh`, `fish` and `powershell`. It completes commands, options and ids
of models. For bash:

```sh
registry completion bash >> ~/.bashrc
```

## Updates

With the setting `check_updates` a command that starts looks for something newer once a week, and says so in one line on
standard error. The hub is asked once, and has three seconds to answer. Nothing changes by itself unless `auto_update`
is set too: then the files that the registry pins now are fetched before the command does its work, which standard error
tells. Both are off by default; see [configuration.md](configuration.md).
"""

_ENTRY = (
    "`id`, `path`, `size_bytes`, `checksum`, `revision`, `downloaded_at`, `last_used`, `use_count`, `pinned`, "
    "`source`, `files`"
)
_ENTRIES = f"A list of `CacheEntry`s: {_ENTRY}."
_FAILED = "A list of `id`, `error` and `hint`."
_MODELS = {
    "models": "A list. Each model has the attributes `id`, `model_type`, `name`, `huggingface_id`, `revision`, "
    "`organization`, `family`, `parameters`, `parameter_count`, `context_length`, `embedding_dim`, `quantization`, "
    "`ram_required_mb`, `license`, `languages`, `capabilities`, `tags`, `recommended`, `deprecated`, `superseded_by`, "
    "`description` of its record, and `size_bytes`, the size of its weights."
}
_METRIC = (
    "`model`, `id`, `model_id`, `metric_type`, `metric_value`, `unit`, `hardware_type`, `hardware_name`, "
    "`context_size`, `measured_at`"
)
_REMOVED = {"dry_run": "Whether nothing was deleted.", "removed": f"What was, or would be, deleted. {_ENTRIES}"}

# Command -> what its JSON document holds.
JSON: Mapping[str, Mapping[str, str]] = {
    "list": _MODELS,
    "search": _MODELS,
    "info": {
        "model": "Every field of the record.",
        "path": "Where its files lie on this machine; `null`: not downloaded.",
        "memory": "`available_bytes`, and `estimates`: a list of `Estimate`s, one for each context, each with "
        "`fits_now`.",
        "sources": "With `--sources`: path of a field -> where it was read.",
    },
    "families": {"families": "A list of `family`, `models` (their number), `types`, `organizations`."},
    "hardware": {"": "the attributes of `Machine`."},
    "diagnose": {
        "": "the attributes of `Diagnosis`: `environment`, `devices`, `thresholds`, `risk`, `remedies`, `applied`, "
        "`notes`."
    },
    "select": {"": "the attributes of `Selection`; `model` is the id, `rejected` the list of the others."},
    "fit": {"": "the attributes of `FitReport`; `fits` says whether all do."},
    "download": {
        "models": "A list of `id` and `path`.",
        "failed": _FAILED,
    },
    "verify": {
        "models": "A list of `Verification`s: `id`, `path`, `ok`, `problems`, `unproven`, `checked_bytes`.",
    },
    "cache": {
        "folder": "The model folder.",
        "models": "Number of models.",
        "size_bytes": "Size of the files of all.",
        "own_bytes": "What removing them all would free.",
        "max_bytes": "The limit; `null`: none.",
        "free_bytes": "Free room on the disk.",
        "parts": "Number of downloads that were cut off.",
        "parts_bytes": "Size of what has come of them.",
        "entries": f"With `--usage`. {_ENTRIES}",
    },
    "cache list": {"entries": _ENTRIES},
    "cache prune": _REMOVED,
    "cache clean": {**_REMOVED, "parts": "Unfinished downloads that were, or would be, deleted."},
    "cache pin": {"": f"a `CacheEntry`: {_ENTRY}."},
    "cache unpin": {"": f"a `CacheEntry`: {_ENTRY}."},
    "remove": {"removed": _ENTRIES, "failed": f"What stays. {_FAILED}"},
    "outdated": {
        "updates": "A list of `Update`s: `id`, `kind` (`files`, `commit`, `superseded`, `deprecated`), `current`, "
        "`newest`, `changelog`, `error`; the last is `null` here.",
        "failed": f"Models of which the hub does not tell. {_FAILED}",
    },
    "update": {"id": "The model.", "path": "Where its files lie."},
    "bundle": {"path": "The folder.", "models": "Ids of the models in it."},
    "install-bundle": {"entries": _ENTRIES},
    "chat": {
        "model": "Its id.",
        "answer": "The text.",
        "reasoning": "What it thought on the way; `null`: nothing.",
        "finish_reason": "`stop` or `length`.",
        "usage": "`prompt_tokens`, `completion_tokens`, `total_tokens`.",
        "seconds": "Time that the answer took.",
    },
    "embed": {
        "model": "Its id.",
        "space_id": "Name of the embedding space.",
        "texts": "Number of texts.",
        "truncated": "Positions of texts that were cut.",
        "output": "The file, where `-o` is given.",
        "embeddings": "Where it is not: a list of `text` and `embedding`; of sparse models `indices` and `weights`.",
    },
    "similarity": {
        "model": "Its id.",
        "query": "The query.",
        "similarity": "How it compares; `null` where the record does not say, and for rerankers.",
        "scores": "A list of `index`, `score`, `text`, best first.",
    },
    "roles": {
        "profile": "Its name.",
        "profiles": "Names of all profiles.",
        "manifest": "The file that is laid over the compiled ones; `null`: none.",
        "checked": "`false` with `--no-check`.",
        "roles": "A list of `role`, `description`, `stated_in` (`compiled`, or the manifest), `provider`, `model` and "
        "`parameters` of who is asked first (`null`: nobody), `candidates`, `passed_over`, `why`, `problem` (why that "
        "cannot be told; `null`: it can).",
    },
    "provision": {
        "profile": "Its name.",
        "ok": "True where every role has a model that is ready.",
        "unserved": "Roles for which no model is ready.",
        "outcomes": "A list of `role`, `model`, `provider`, `action` (`already_present`, `downloaded`, `pulled`, "
        "`skipped`, `failed`), `seconds`, `bytes` (`null`: the provider does not tell), `reason`.",
    },
    "cluster": {
        "models": "A list of `model`, `roles`, and what a replica takes: `cpus`, `gpus`, `memory_bytes`.",
        "left_out": "Roles that no record plays.",
    },
    "cluster config": {"": "the config that the file holds, as Ray Serve has it."},
    "import": {
        "files": "A list of `file`, `rows`, `added`, `updated`, `unchanged`, `bad_rows` (all numbers of rows), and "
        "`bad`: a list of `line`, `name`, `reason`, the first 1,000 of the bad rows.",
        "failed": "Files of which nothing was imported: a list of `file`, `error`, `hint`, and with `--strict` "
        "`problems`, a sentence for each bad row.",
    },
    "export": {
        "path": "The file.",
        "models": "Number of models in it.",
        "format": "For another program: its format.",
        "notes": "For another program: what is left out, a sentence each.",
    },
    "metrics": {
        "catalog": "The store.",
        "metrics": "Number of measurements.",
        "models": "Number of models that they are of.",
        "types": "Type -> number of measurements.",
    },
    "metrics add": {"": f"the measurement: {_METRIC}. `id` is its number."},
    "metrics list": {"metrics": f"A list, the newest first, of {_METRIC}."},
    "metrics compare": {
        "models": "Names of the models, as they were asked for.",
        "metrics": f"The newest of each kind: a list of {_METRIC}.",
    },
    "metrics remove": {"removed": "The numbers."},
    "bench": {
        "model_id": "The model.",
        "hardware": "What it ran on: `type` and `name`.",
        "context_size": "Tokens that it was loaded to read.",
        "first_load_s": "Time of the first load, with the import of packages.",
        "workload": "What a run did: `prompt_tokens` and `answer_tokens`, or `texts` and `text_tokens`.",
        "measurements": "A list of `metric_type`, `value`, `unit`, `lowest`, `highest`, `runs`.",
        "notes": "What could not be measured, a sentence each.",
        "stored": "Numbers of the measurements in the store.",
    },
    "serve": {
        "address": "Where it answers: `http://127.0.0.1:8081`. It is printed once it does; the access log follows.",
        "writable": "True where there is a key.",
    },
    "generate": {
        "file": "What was read.",
        "output": "The module.",
        "result": "`written`, `up to date`, `stale` or `failed`.",
    },
    "validate": {
        "files": "A list of `file`, `models` (their number; `null` where there are errors) and `problems`: a list of "
        "`file`, `line`, `model_id`, `path`, `message`, `severity`.",
    },
    "completion": {"shell": "The shell.", "script": "The script."},
}


def main() -> int:
    """Write the page, or with `--check` say how it differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 with a short diff if it is stale")
    check = parser.parse_args().check
    old, new = PAGE.read_text("utf-8") if PAGE.is_file() else "", page()
    if check and old != new:
        lines = list(unified_diff(old.splitlines(), new.splitlines(), PAGE.name, "generated", lineterm=""))
        print("\n".join(lines[:DIFF_LINES]), file=sys.stderr)
        print(f"error: {PAGE.name} is stale\nhint: run `python docs/make_cli.py`", file=sys.stderr)
        return 1
    if not check:
        PAGE.write_text(new, "utf-8")
    return 0


def page() -> str:
    """Give the text of the page."""
    sections: dict[str, list[str]] = {}
    for name, entry in COMMANDS.items():
        sections.setdefault(entry.section, []).append(name)
    contents = "\n".join(f"* {section}: {', '.join(map(_link, names))}" for section, names in sections.items())
    parts = [INTRO.replace("{contents}", contents).rstrip("\n")]
    for section, names in sections.items():
        parts.append(f"## {section}")
        parts += (text for name in names for text in _command(name, make(name)))
    return "\n\n".join(parts) + "\n"


def _link(name: str) -> str:
    return f"[`{name}`](#registry-{name})"


def _command(name: str, command: Any) -> Iterator[str]:
    context = command.make_context(f"registry {name}", [], resilient_parsing=True)
    level = "###" if " " not in name else "####"
    yield f"{level} `registry {name}`"
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"```\nregistry {name} {usage}\n```"
    yield "\n\n".join(_paragraphs(command.help))
    yield _options(command)
    if name in JSON:
        yield f"With `--json`: {_json(JSON[name])}"
    if command.epilog:
        examples = command.epilog.partition("Examples:\n")[2]
        yield "```sh\n" + "\n".join(line.removeprefix("    ") for line in examples.splitlines()) + "\n```"
    for inner, found in getattr(command, "commands", {}).items():
        yield from _command(f"{name} {inner}", found)


def _paragraphs(text: str) -> list[str]:
    return [" ".join(part.split()) for part in text.strip().split("\n\n")]


def _options(command: Any) -> str:
    rows = ["| option | meaning |", "|---|---|"]
    for param in command.params:
        if param.param_type_name == "argument":
            names = f"`{param.metavar}`"
        else:
            value = "" if param.is_flag else f" {param.metavar}"
            names = ", ".join(f"`{each}{value}`" for each in sorted(param.opts, key=len, reverse=True))
        rows.append(f"| {names} | {(param.help or '').replace('|', chr(92) + '|')} |")
    return "\n".join(rows)


def _json(fields: Mapping[str, str]) -> str:
    if list(fields) == [""]:
        return fields[""]
    return "an object.\n\n| field | holds |\n|---|---|\n" + "\n".join(
        f"| `{name}` | {text} |" for name, text in fields.items()
    )


if __name__ == "__main__":
    sys.exit(main())
