"""Write the reference pages from the docstrings and signatures of the public API; `--check` only compares.

griffe reads the sources without importing them. What it reads of the generated registry is the stub, and of that only
what every registry has: the page does not change with the data.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterable, Iterator
from difflib import unified_diff
from pathlib import Path

import griffe

from registry_build.__main__ import _parser
from registry_build.emit import FUNCTIONS
from registry_build.vocabulary import VOCABULARIES

DOCS = Path(__file__).parent
SOURCE = DOCS.parent / "src"
DIFF_LINES = 20
BAR = "\\|"  # in a cell of a table

RECORDS = (
    "ModelInfo",
    "EncoderModel",
    "EmbeddingModel",
    "DenseModel",
    "MultiVectorModel",
    "SparseModel",
    "RerankerModel",
    "ChatModel",
    "ModelFile",
    "ModelVariant",
    "SamplingDefaults",
    "RuntimeDefaults",
    "LoraAdapter",
)

# Room -> what is public in it: module and name, in the order of the page.
CHAT = (
    ("render", "render"),
    ("render", "compose"),
    ("prompt", "Prompt"),
    ("prompt", "Piece"),
    ("templates", "Template"),
    ("templates", "Turn"),
    ("templates", "ToolSyntax"),
    ("templates", "get_template"),
    ("jinja", "JinjaTemplate"),
    ("messages", "Message"),
    ("messages", "check_messages"),
    ("calls", "check_tools"),
    ("calls", "parse_tool_calls"),
    ("params", "GenerationParams"),
    ("params", "apply_overrides"),
    ("output", "OutputParser"),
    ("output", "Delta"),
)
LOADERS = (
    ("_load", "load"),
    ("options", "LoadOptions"),
    ("handle", "Handle"),
    ("dense", "DenseEncoder"),
    ("late_interaction", "LateInteractionEncoder"),
    ("sparse", "SparseEncoder"),
    ("reranker", "Reranker"),
    ("chat", "Chat"),
    ("manager", "ModelManager"),
    ("manager", "ModelStatus"),
    ("embeddings", "Embeddings"),
    ("embeddings", "TokenEmbeddings"),
    ("embeddings", "SparseEmbeddings"),
    ("embeddings", "SparseVector"),
    ("embeddings", "Ranked"),
    ("texts", "TruncationWarning"),
    ("completion", "CompleteKeywords"),
    ("completion", "ReplyKeywords"),
    ("completion", "ChatCompletion"),
    ("completion", "Choice"),
    ("completion", "AnswerMessage"),
    ("completion", "Usage"),
    ("completion", "ChatCompletionChunk"),
    ("completion", "ChunkChoice"),
    ("completion", "AnswerDelta"),
    ("completion", "Completion"),
    ("completion", "TextChoice"),
    ("completion", "CompletionChunk"),
    ("completion", "Stream"),
    ("measuring", "measure"),
    ("measured", "Measured"),
    ("measured", "Measurement"),
    ("measured", "Step"),
    ("measured", "Hardware"),
    ("running_on", "this_hardware"),
)

CATALOG = (
    ("store", "Catalog"),
    ("entries", "CatalogModel"),
    ("entries", "Page"),
    ("entries", "NewMetric"),
    ("entries", "Metric"),
    ("entries", "ValueCount"),
    ("entries", "Stats"),
    ("entries", "FamilyStats"),
    ("entries", "SyncReport"),
    ("importing", "import_models"),
    ("importing", "ImportReport"),
    ("importing", "ImportProgress"),
    ("checking", "BadRow"),
    ("exporting", "export_models"),
)
PROFILES = (
    ("resolution", "resolve"),
    ("resolution", "Resolution"),
    ("resolution", "Candidate"),
    ("resolution", "PassedOver"),
    ("chat", "Chat"),
    ("answers", "RoleCompletion"),
    ("answers", "RoleStream"),
    ("answers", "AsyncRoleStream"),
    ("answers", "ServedBy"),
    ("answers", "FailedAttempt"),
    ("embedder", "Embedder"),
    ("embedder", "Embedded"),
    ("events", "Event"),
    ("provisioning", "provision"),
    ("reports", "Report"),
    ("reports", "Outcome"),
    ("active", "Profiles"),
    ("manifest", "read_manifest"),
    ("manifest", "Manifest"),
    ("registered", "Providers"),
    ("protocol", "Provider"),
    ("protocol", "Target"),
    ("protocol", "Availability"),
    ("protocol", "Ensured"),
    ("providers/ollama", "OllamaProvider"),
    ("providers/local", "LocalProvider"),
    ("providers/openai", "OpenAIProvider"),
    ("checkpoints/provider", "TransformersProvider"),
)
ADAPTERS = (
    ("source", "read_manifest"),
    ("manifest", "parse_manifest"),
    ("manifest", "AdapterManifest"),
    ("manifest", "AdapterEntry"),
    ("version", "AdapterVersion"),
    ("local", "local_adapters"),
    ("watching", "Adapters"),
    ("watching", "Pace"),
    ("source", "ManifestSource"),
    ("files", "AdapterFiles"),
    ("preparing", "Preparing"),
    ("preparing", "Freeing"),
    ("rendezvous", "Rendezvous"),
    ("rendezvous", "FileRendezvous"),
    ("rendezvous", "file_rendezvous"),
    ("decision", "next_decision"),
    ("decision", "Decision"),
    ("decision", "Ballot"),
    ("decision", "AdapterRef"),
)
CLUSTER = (
    ("application", "build_app"),
    ("options", "ClusterOptions"),
    ("options", "Scaling"),
    ("config", "serve_config"),
    ("serving", "serve_on_ray"),
)
CONFIGS = (
    ("served", "chosen"),
    ("served", "Chosen"),
    ("served", "Served"),
    ("llama_swap", "llama_swap_config"),
    ("llama_router", "llama_router_preset"),
    ("modelfile", "ollama_modelfile"),
)
SERVER = (("_app", "create_app"), ("options", "ServerOptions"), ("serving", "serve"))
HUB = (
    ("_ensure", "ensure"),
    ("_ensure", "use"),
    ("_ensure", "FetchKeywords"),
    ("progress", "Progress"),
    ("progress", "rich_progress"),
    ("_verify", "verify"),
    ("verification", "Verification"),
    ("cache", "Cache"),
    ("cache", "CacheStats"),
    ("manifest", "CacheEntry"),
    ("manifest", "CachedFile"),
    ("bundles", "bundle"),
    ("bundles", "install_bundle"),
    ("outdated", "updates"),
    ("outdated", "Update"),
    ("outdated", "update"),
    ("outdated", "check_weekly"),
    ("policy", "check_license"),
)
HARDWARE = (
    ("_probe", "probe"),
    ("machine", "Machine"),
    ("machine", "Cpu"),
    ("machine", "Gpu"),
    ("cpu", "usable_cores"),
    ("_estimate", "estimate"),
    ("need", "Estimate"),
    ("need", "DeviceEstimate"),
    ("_select", "select"),
    ("_select", "Selection"),
    ("requirement", "Need"),
    ("criteria", "Rejection"),
    ("criteria", "RejectionKind"),
    ("_select", "tiers"),
    ("_select", "Tier"),
    ("_fit", "fit"),
    ("_fit", "FitReport"),
    ("_fit", "FitEntry"),
    ("_diagnose", "diagnose"),
    ("diagnosis", "Diagnosis"),
    ("diagnosis", "Device"),
    ("diagnosis", "Remedy"),
    ("diagnosis", "Thresholds"),
)

INTRODUCTION = """\
<!-- @generated by docs/make_reference.py from the docstrings. Do not edit; run `make docs`. -->
# Reference

What `registry` and `registry_build` offer, written from their docstrings. Names that are not on this page are private.
The models themselves are in [MODELS.md](MODELS.md); the fields of `models.json` are described in
`schema/models.schema.json`, which editors show while you type.

* [`registry`](#registry): [generated names](#generated-names), [functions](#functions), [records](#records),
  [configuration](#configuration), [registries](#registries), [errors](#errors)
* `registry.loaders` and `registry.chat` have [a page of their own](reference-loading.md), and so have
  [`registry.hardware` and `registry.hub`](reference-fetching.md)
* [`registry_build`](#registry_build): [functions](#build-functions), [commands](#commands), [build hook](#build-hook)

## `registry`

Run time: the standard library only. Names are resolved when they are first used, so `import registry` alone costs
next to nothing.
"""

LOADING = """\
<!-- @generated by docs/make_reference.py from the docstrings. Do not edit; run `make docs`. -->
# Reference: loading and chat

What [`registry.loaders`](#registryloaders) and [`registry.chat`](#registrychat) offer, written from their docstrings.
How to use them is told in [loading.md](loading.md) and [templates.md](templates.md). The records and errors are in
[reference.md](reference.md).
"""

FETCHING = """\
<!-- @generated by docs/make_reference.py from the docstrings. Do not edit; run `make docs`. -->
# Reference: choosing and fetching

What [`registry.hardware`](#registryhardware) and [`registry.hub`](#registryhub) offer, written from their docstrings.
How to use them is told in [hardware.md](hardware.md) and [fetching.md](fetching.md). The records and errors are in
[reference.md](reference.md).
"""

SERVING = """\
<!-- @generated by docs/make_reference.py from the docstrings. Do not edit; run `make docs`. -->
# Reference: keeping and serving

What [`registry.catalog`](#registrycatalog) and [`registry.server`](#registryserver) offer, written from their
docstrings. How to use them is told in [catalog.md](catalog.md) and [serving.md](serving.md); the addresses of the
server are described in [api/openapi.json](api/openapi.json). The records and errors are in
[reference.md](reference.md).
"""

ROLES = """\
<!-- @generated by docs/make_reference.py from the docstrings. Do not edit; run `make docs`. -->
# Reference: roles, adapters, several machines, other programs

What [`registry.profiles`](#registryprofiles), [`registry.adapters`](#registryadapters),
[`registry.cluster`](#registrycluster) and [`registry.configs`](#registryconfigs) offer, written from their docstrings.
How to use them is told in [profiles.md](profiles.md), [adapters.md](adapters.md), [scale.md](scale.md) and
[integrations.md](integrations.md#configurations-for-other-programs). The records and errors are in
[reference.md](reference.md).
"""

GENERATED = """\
### Generated names

These come from `models.json`, in this package and in every registry generated from a file of your own.

| name | what it is |
|---|---|
| `COLBERT_V2`, `ALL_MINILM_L6_V2`, ... | One constant for each record: its id in upper case, with `_` for `.` and `-`. The same object that `get_model` gives. Aliases have no constants. |
| `MODEL_REGISTRY` | Every record by id, in the order of `models.json`: a [`ModelRegistry`](#modelregistry). Aliases are found too, and not iterated. |
| `REGISTRY_VERSION` | Version of the data, a string. |
| `ModelId` | Type: the `Literal` of every id and alias. |
| the enums below | `StrEnum`s of the values that occur in the data. A member equals its string: `ModelType.COLBERT == "colbert"`. |
"""  # noqa: E501 - rows of a Markdown table

FUNCTIONS_INTRODUCTION = """\
### Functions

Ids and aliases are accepted alike. Queries take enum members or plain strings and give tuples, in the order of the
registry; a value that no record has gives the empty tuple. Their type is that of the widest case; `get_model` with a
literal id, `models_by_type` and `find_models` with a literal type have overloads that give the precise record class.
"""

RECORDS_INTRODUCTION = """\
### Records

Frozen dataclasses, made by the registry. A field with a default is `None`, or the empty tuple, where the value is not
known. `dataclasses.asdict`, `replace`, pickle, copy, `==` and `hash` work as on any frozen dataclass.
"""

HOOK = """\
### Build hook

The hatchling build hook `model-registry`, in `[tool.hatch.build.hooks.model-registry]`:

| option | required | meaning |
|---|---|---|
| `source` | yes | The `models.json`, relative to the project. |
| `target` | yes | The module to generate, relative to the project: `src/acme/_registry.py`. |
| `schema` | no | JSON Schema to use instead of the one of this package. |

Other build systems run `python -m registry_build generate`: [your-own-registry.md](your-own-registry.md).
"""


def main() -> int:
    """Write the page, or with `--check` say how it differs; 1: it differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 with a short diff where it is stale"
    )
    check: bool = parser.parse_args().check
    logging.getLogger("griffe").setLevel(logging.ERROR)  # prose after `Returns:` is no type, and need not be
    stale = [_update(DOCS / name, text(), check=check) for name, text in PAGES.items()]
    return int(any(stale))


def _update(path: Path, new: str, *, check: bool) -> bool:
    """Write a page, or with `check` say how it differs; True: it differs and was not written."""
    old = path.read_text("utf-8") if path.is_file() else ""
    if old == new:
        return False
    if not check:
        path.write_bytes(new.encode())
        return False
    name = f"docs/{path.name}"
    diff = list(unified_diff(old.splitlines(), new.splitlines(), name, "freshly generated", n=0, lineterm=""))
    print("\n".join(diff[:DIFF_LINES]), file=sys.stderr)
    print(f"error: {name} is stale\nhint: run `make docs`", file=sys.stderr)
    return True


def page() -> str:
    """Give the text of the page."""
    blocks = (
        INTRODUCTION,
        GENERATED,
        _vocabularies(),
        FUNCTIONS_INTRODUCTION,
        *_functions(),
        RECORDS_INTRODUCTION,
        *_records(),
        "### Configuration\n",
        *_config(),
        "### Registries\n",
        *_registries(),
        "### Errors\n",
        *_errors(),
        *_build(),
        *_commands(),
        HOOK,
    )
    return "\n".join(f"{block.rstrip()}\n" for block in blocks)


def loading_page() -> str:
    """Give the text of the page on loading and chat."""
    blocks = (
        LOADING,
        "## `registry.loaders`\n",
        *_room("loaders", LOADERS),
        "## `registry.chat`\n",
        *_room("chat", CHAT),
    )
    return "\n".join(f"{block.rstrip()}\n" for block in blocks if block.strip())


def fetching_page() -> str:
    """Give the text of the page on choosing and fetching."""
    blocks = (
        FETCHING,
        "## `registry.hardware`\n",
        *_room("hardware", HARDWARE),
        "## `registry.hub`\n",
        *_room("hub", HUB),
    )
    return "\n".join(f"{block.rstrip()}\n" for block in blocks if block.strip())


def serving_page() -> str:
    """Give the text of the page on keeping and serving."""
    blocks = (
        SERVING,
        "## `registry.catalog`\n",
        *_room("catalog", CATALOG),
        "## `registry.server`\n",
        *_room("server", SERVER),
    )
    return "\n".join(f"{block.rstrip()}\n" for block in blocks if block.strip())


def roles_page() -> str:
    """Give the text of the page on roles, adapters, several machines and other programs."""
    blocks = (
        ROLES,
        "## `registry.profiles`\n",
        *_room("profiles", PROFILES),
        "## `registry.adapters`\n",
        *_room("adapters", ADAPTERS),
        "## `registry.cluster`\n",
        *_room("cluster", CLUSTER),
        "## `registry.configs`\n",
        *_room("configs", CONFIGS),
    )
    return "\n".join(f"{block.rstrip()}\n" for block in blocks if block.strip())


PAGES = {
    "reference.md": page,
    "reference-loading.md": loading_page,
    "reference-fetching.md": fetching_page,
    "reference-serving.md": serving_page,
    "reference-profiles.md": roles_page,
}


def _room(room: str, names: Iterable[tuple[str, str]]) -> Iterator[str]:
    for module, name in names:
        found = _module(f"registry/{room}/{module}.py")
        member = found[name]
        if isinstance(member, griffe.Function):
            yield f"#### `{name}`\n"
            yield _signature(member)
            yield _prose(member.docstring)
            continue
        yield from _class(member)
        for method in member.functions.values():
            if not method.name.startswith("_") and "property" not in method.labels:
                yield f"##### `{name}.{method.name}`\n"
                yield _signature(method)
                yield _prose(method.docstring)


def _module(path: str) -> griffe.Module:
    file = SOURCE / path
    return griffe.visit(file.stem, filepath=file, code=file.read_text("utf-8"))


def _vocabularies() -> str:
    rows = ((f"`{v.enum}`", v.doc, ", ".join(f"`{name}`" for name in v.attributes)) for v in VOCABULARIES)
    return _table(("enum", "members", "attributes of records"), rows)


def _functions() -> Iterator[str]:
    stub = _module("registry/_registry.pyi")
    methods = _module("registry/queries.py")["ModelRegistry"]
    for name in FUNCTIONS:
        overloads = stub.overloads.get(name)
        function = overloads[-1] if overloads else stub[name]  # the last takes every argument
        yield f"#### `{name}`\n"
        yield _signature(function)
        yield _prose(methods[name].docstring)


def _records() -> Iterator[str]:
    module = _module("registry/records.py")
    for name in RECORDS:
        yield from _class(module[name])


def _config() -> Iterator[str]:
    cls = _module("registry/config.py")["ModelConfig"]
    yield from _class(cls)
    for method in cls.functions.values():
        yield f"##### `ModelConfig.{method.name}`\n"
        yield _signature(method)
        yield _prose(method.docstring)


def _registries() -> Iterator[str]:
    module = _module("registry/queries.py")
    yield from _class(module["ModelRegistry"])
    yield "Its methods are the [functions](#functions) above, and those of a read-only mapping.\n"
    yield "#### `combine`\n"
    yield _signature(module["combine"])
    yield _prose(module["combine"].docstring)


def _errors() -> Iterator[str]:
    for cls in _module("registry/errors.py").classes.values():
        yield from _class(cls)


def _build() -> Iterator[str]:
    module = _module("registry_build/__init__.py")
    yield "## `registry_build`\n"
    yield 'Build time: needs the extra `build`, `pip install "typed-model-registry[build]"`.\n'
    yield "### Build functions\n"
    for name in ("build", "load"):
        yield f"#### `registry_build.{name}`\n"
        yield _signature(module[name])
        yield _prose(module[name].docstring)
    problems = _module("registry_build/problems.py")
    for name in ("Problem", "BuildError"):
        yield from _class(problems[name], prefix="registry_build.problems.")


def _commands() -> Iterator[str]:
    yield "### Commands\n"
    yield "Exit codes: 0 done, 1 problems in the data or a stale file, 2 wrong usage. Problems go to standard error.\n"
    # argparse has no public way to its parts, and the layout of its own help differs between Python versions.
    parser = _parser()
    commands = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    for name, command in commands.choices.items():
        yield f"#### `{parser.prog} {name}`\n"
        yield f"{command.description}\n"
        actions = [action for action in command._actions if action.dest != "help"]
        yield _table(("argument", "meaning"), ((_usage(action), _required(action)) for action in actions))


def _usage(action: argparse.Action) -> str:
    value = f" {action.metavar}" if action.metavar and action.option_strings else ""
    names = action.option_strings or [str(action.metavar)]
    return ", ".join(f"`{name}{value}`" for name in names)


def _required(action: argparse.Action) -> str:
    return f"{action.help}{' (required)' if action.required else ''}"


def _class(cls: griffe.Class, prefix: str = "") -> Iterator[str]:
    yield f"#### `{prefix}{cls.name}`\n"
    bases = ", ".join(base for base in map(str, cls.bases) if not base.startswith("_"))
    if bases:
        yield f"```python\nclass {cls.name}({bases})\n```\n"
    yield _prose(cls.docstring, skip=griffe.DocstringSectionKind.attributes)
    if bases == "StrEnum":
        yield f"Members: {', '.join(f'`{name}`' for name in cls.attributes)}.\n"
    rows = [_attribute(cls, item) for item in _section(cls.docstring, griffe.DocstringSectionKind.attributes)]
    rows += [
        (f"`{member.name}`", f"`{member.annotation}`", "property", member.docstring.value)
        for member in cls.attributes.values()
        if "property" in member.labels and member.docstring
    ]
    if any(default for _, _, default, _ in rows):
        yield _table(("attribute", "type", "default", "meaning"), rows)
    elif rows:
        yield _table(("attribute", "type", "meaning"), ((name, kind, said) for name, kind, _, said in rows))


def _value(scope: griffe.Module | griffe.Class, default: object) -> str:
    """Give a default as readers can use it: that of a constant of the same module, not the constant's name."""
    constant = scope.module.members.get(str(default))
    return str(constant.value if isinstance(constant, griffe.Attribute) else default)


def _attribute(cls: griffe.Class, item: griffe.DocstringAttribute) -> tuple[str, str, str, str]:
    """Give name, type, default and meaning of a field, or of an attribute that `__init__` takes by the same name."""
    field, init = cls.members.get(item.name), cls.members.get("__init__")
    annotation: object = None
    default: object = None
    if isinstance(init, griffe.Function) and item.name in init.parameters:
        annotation = init.parameters[item.name].annotation
    elif isinstance(field, griffe.Attribute) and field.annotation is not None:
        annotation = field.annotation
        default = None if field.value is None else _value(cls, field.value)
    kind, value = ("" if part is None else f"`{part}`" for part in (annotation, default))
    return f"`{item.name}`", kind, value, item.description


_STARS = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}


def _signature(function: griffe.Function) -> str:
    """Write the call as a block of code, on one line where it fits."""
    parts = []
    starred = False
    for parameter in function.parameters:
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is griffe.ParameterKind.keyword_only and not starred:
            parts.append("*")
            starred = True
        star = _STARS.get(parameter.kind, "")
        default = (
            f" = {_value(function.parent, parameter.default)}" if parameter.default is not None and not star else ""
        )
        parts.append(f"{star}{parameter.name}: {parameter.annotation}{default}")
    line = f"{function.name}({', '.join(parts)}) -> {function.returns}"
    if len(line) > 100:
        line = f"{function.name}(\n" + "".join(f"    {part},\n" for part in parts) + f") -> {function.returns}"
    return f"```python\n{line}\n```\n"


def _section(docstring: griffe.Docstring | None, kind: griffe.DocstringSectionKind) -> list[griffe.DocstringAttribute]:
    sections = docstring.parse("google") if docstring else []
    return [item for section in sections if section.kind is kind for item in section.value]


def _prose(docstring: griffe.Docstring | None, skip: griffe.DocstringSectionKind | None = None) -> str:
    """Write a docstring as Markdown, without the sections of one kind."""
    kinds = griffe.DocstringSectionKind
    text = ""
    for section in docstring.parse("google") if docstring else ():
        if section.kind is skip:
            continue
        if section.kind is kinds.text:
            text += f"{section.value}\n\n"
        elif section.kind is kinds.admonition:
            text += f"```pycon\n{section.value.contents.replace('  # doctest: +SKIP', '')}\n```\n\n"
        elif section.kind is kinds.returns:
            text += "Returns: " + " ".join(item.description for item in section.value) + "\n\n"
        else:
            title = TITLES[section.kind]
            items = ((getattr(item, "name", None) or item.annotation, item.description) for item in section.value)
            text += f"{title}:\n\n" + "".join(f"* `{name}`: {_line(said)}\n" for name, said in items) + "\n"
    return text


TITLES = {
    griffe.DocstringSectionKind.parameters: "Arguments",
    griffe.DocstringSectionKind.attributes: "Keywords",
    griffe.DocstringSectionKind.raises: "Raises",
    griffe.DocstringSectionKind.warns: "Warns",
    griffe.DocstringSectionKind.yields: "Yields",
}


def _table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = (titles, ("---",) * len(titles), *rows)
    return "".join(f"| {' | '.join(_line(cell).replace('|', BAR) for cell in line)} |\n" for line in lines)


def _line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    sys.exit(main())
