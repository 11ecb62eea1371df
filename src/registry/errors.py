"""Every error the library raises. Each says what, where, expected and got, and what to do; the data stay on it."""


class RegistryError(Exception):
    """Base of all errors of this library: `except RegistryError` catches them and nothing else."""

    def explained(self) -> tuple[str, str]:
        """Split the message into what is wrong and what to do, which may be empty: for screens that show them apart."""
        text, remedy = str(self), getattr(self, "remedy", "")
        if remedy and text.endswith(remedy):
            return text[: -len(remedy)].rstrip(), remedy
        import re  # here: most programs never show an error in parts

        # A sentence goes up to a full stop that stands outside of backticks and before a blank.
        sentences = re.findall(r"\s*(?:[^`.]|`[^`]*`|\.(?!\s|$))+\.?", text)
        if not sentences[1:]:
            return text, ""
        return "".join(sentences[: self._remedy_from]), "".join(sentences[self._remedy_from :]).strip()

    _remedy_from = 1  # the sentence of the message that the remedy begins with


class ModelNotFoundError(RegistryError, LookupError):
    """No record has this id or alias.

    Attributes:
        model_id: The name that was asked for.
        close_matches: Ids and aliases that look like it, the closest first.
        registry: Module whose registry was asked.
    """

    def __init__(self, model_id: str, close_matches: tuple[str, ...] = (), registry: str = "registry") -> None:
        super().__init__(model_id, close_matches, registry)
        self.model_id = model_id
        self.close_matches = close_matches
        self.registry = registry

    def __str__(self) -> str:
        home = "registry" if self.registry == "registry._registry" else self.registry
        remedy = _did_you_mean(self.close_matches) or f"`{home}.MODEL_REGISTRY` lists all ids."
        return f"Model `{self.model_id}` is not in the registry. {remedy}"


def _did_you_mean(names: tuple[str, ...]) -> str:
    if not names:
        return ""
    *first, last = (f"`{name}`" for name in names)
    return f"Did you mean {', '.join(first) + ' or ' if first else ''}{last}?"


class NoDefaultModelError(RegistryError, LookupError):
    """The registry has no chat record, so there is no default one.

    Attributes:
        registry: Module whose registry was asked.
    """

    def __init__(self, registry: str) -> None:
        super().__init__(registry)
        self.registry = registry

    def __str__(self) -> str:
        return (
            f"`{self.registry}` has no chat model and so no default one. "
            'Add a chat record with `"default": true` to its models.json.'
        )


class ProfileNotFoundError(RegistryError, LookupError):
    """The registry has no profile of this name.

    Attributes:
        profile: The name that was asked for.
        close_matches: Names of profiles that look like it, the closest first.
        profiles: Names of all profiles.
        registry: Module whose registry was asked.
        stated_in: The setting that names it; empty where the caller does.
    """

    def __init__(
        self,
        profile: str,
        close_matches: tuple[str, ...] = (),
        profiles: tuple[str, ...] = (),
        registry: str = "registry",
        stated_in: str = "",
    ) -> None:
        super().__init__(profile, close_matches, profiles, registry, stated_in)
        self.profile = profile
        self.close_matches = close_matches
        self.profiles = profiles
        self.registry = registry
        self.stated_in = stated_in

    def __str__(self) -> str:
        listed = ", ".join(f"`{name}`" for name in self.profiles)
        if listed:
            remedy = _did_you_mean(self.close_matches) or f"Choose one of its own: {listed}."
        else:
            remedy = f"`{self.registry}` has no profiles: add `profiles` to its models.json."
        origin = f", which {self.stated_in} names," if self.stated_in else ""
        return f"Profile `{self.profile}`{origin} is not in the registry. {remedy}"


class UnsupportedDimensionError(RegistryError, ValueError):
    """A model cannot give embeddings of this size.

    Attributes:
        model_id: The model.
        embedding_dim: The size in components that was asked for; `None` for the full size.
        supported: The sizes it can give, largest first.
    """

    def __init__(self, model_id: str, embedding_dim: int | None, supported: tuple[int, ...]) -> None:
        super().__init__(model_id, embedding_dim, supported)
        self.model_id = model_id
        self.embedding_dim = embedding_dim
        self.supported = supported

    def __str__(self) -> str:
        if not self.supported:
            return f"`{self.model_id}` gives no embeddings. Choose an embedding model."
        sizes = ", ".join(map(str, self.supported))
        return (
            f"`{self.model_id}` cannot give embeddings of {self.embedding_dim} components: "
            f"expected one of its own sizes, {sizes}. Leave the size out for the full one."
        )


class NameCollisionError(RegistryError, ValueError):
    """Two registries cannot be combined: they use one name for two records.

    Attributes:
        name: The id or alias that both have.
        first: Registry that had it first.
        second: Registry that has it too.
    """

    def __init__(self, name: str, first: str, second: str) -> None:
        super().__init__(name, first, second)
        self.name = name
        self.first = first
        self.second = second

    def __str__(self) -> str:
        return (
            f"Cannot combine `{self.first}` and `{self.second}`: both have `{self.name}`. "
            "Rename it in one of their models.json."
        )


class GeneratedFormatError(RegistryError, ImportError):
    """A generated registry and this library do not fit together.

    Attributes:
        registry: The generated module.
        expected: Format number that this library reads.
        got: Format number of the generated module.
    """

    def __init__(self, registry: str, expected: int, got: int) -> None:
        super().__init__(registry, expected, got)
        self.registry = registry
        self.expected = expected
        self.got = got

    def __str__(self) -> str:
        age, remedy = (
            ("an older", "Regenerate it with `python -m registry_build generate`.")
            if self.got < self.expected
            else ("a newer", "Upgrade with `pip install --upgrade typed-model-registry`.")
        )
        return (
            f"`{self.registry}` was generated by {age} version of typed-model-registry: "
            f"expected format {self.expected}, got {self.got}. {remedy}"
        )


class MissingExtraError(RegistryError, ImportError):
    """An optional package is needed and not installed.

    Attributes:
        package: The package that is missing, as it is imported.
        extra: The extra of this library that brings it.
        purpose: What it is needed for.
        advice: What else must be there before it can be installed; empty where nothing is.
    """

    def __init__(self, package: str, extra: str, purpose: str, advice: str = "") -> None:
        super().__init__(package, extra, purpose, advice)
        self.name = package
        self.package = package
        self.extra = extra
        self.purpose = purpose
        self.advice = advice

    def __str__(self) -> str:
        remedy = f'Install it with `pip install "typed-model-registry[{self.extra}]"`.'
        return " ".join(
            filter(None, (f"{self.purpose} needs `{self.package}`, which is not installed.", remedy, self.advice))
        )


class UnsupportedModelError(RegistryError, ValueError):
    """A record asks for something that this library, or the installed packages, cannot do with it.

    Attributes:
        model_id: The model.
        reason: What cannot be done, and what to do instead.
    """

    def __init__(self, model_id: str, reason: str) -> None:
        super().__init__(model_id, reason)
        self.model_id = model_id
        self.reason = reason

    def __str__(self) -> str:
        return f"`{self.model_id}`: {self.reason}"


class ModelNotDownloadedError(RegistryError, FileNotFoundError):
    """None of the places where a model's files may lie has them. Loading never uses the network.

    Attributes:
        model_id: The model.
        looked_in: The places that were looked in, in order.
        remedy: How to get the files.
    """

    def __init__(self, model_id: str, looked_in: tuple[str, ...], remedy: str) -> None:
        super().__init__()
        self.args = (model_id, looked_in, remedy)  # given to OSError, they would become an error number and a file name
        self.model_id = model_id
        self.looked_in = looked_in
        self.remedy = remedy

    def __str__(self) -> str:
        places = "".join(f"\n  {place}" for place in self.looked_in)
        return f"The files of `{self.model_id}` are not on this machine. Looked in:{places}\n{self.remedy}"


class ChecksumMismatchError(RegistryError, OSError):
    """A file does not have the bytes that its record pins.

    Attributes:
        path: The file.
        expected: Pinned sha256, 64 hexadecimal digits, or a size such as `90868376 bytes`.
        got: The same of the file.
        remedy: The likely cause and what to do.
    """

    def __init__(self, path: str, expected: str, got: str, remedy: str) -> None:
        super().__init__()
        self.args = (path, expected, got, remedy)  # given to OSError, they would become an error number and a file name
        self.path = path
        self.expected = expected
        self.got = got
        self.remedy = remedy

    def __str__(self) -> str:
        text = f"`{self.path}` is not the file that the registry pins: expected {self.expected}, got {self.got}."
        return f"{text} {self.remedy}"


class UnsafeWeightsError(RegistryError, ValueError):
    """The weights are in a format that can run code when it is read: pickle, `.bin`, `.pt`.

    Attributes:
        model_id: The model.
        path: The file, or the folder that has no other weights.
    """

    def __init__(self, model_id: str, path: str) -> None:
        super().__init__(model_id, path)
        self.model_id = model_id
        self.path = path

    def __str__(self) -> str:
        return (
            f"`{self.model_id}`: `{self.path}` has no weights in a safe format: expected `*.safetensors` or `*.gguf`, "
            "got a format that can run code when it is read. Convert it to safetensors on a machine you can lose."
        )


class RemoteCodeNotAllowedError(RegistryError, PermissionError):
    """Loading would run Python code from the model's repository.

    Attributes:
        model_id: The model.
        reason: Why it is refused, and what to do.
    """

    def __init__(self, model_id: str, reason: str) -> None:
        super().__init__()
        self.args = (model_id, reason)  # given to OSError, they would become an error number and a file name
        self.model_id = model_id
        self.reason = reason

    def __str__(self) -> str:
        return f"`{self.model_id}` runs Python code from its repository when it is loaded. {self.reason}"


class ModelLoadError(RegistryError, OSError):
    """The files are there and do not make the model that the record describes.

    Attributes:
        model_id: The model.
        path: What was loaded.
        what: What does not fit: `layout`, `embedding_dim`, `pooling`, ...
        expected: What the record says.
        got: What the files say.
        remedy: What to do.
    """

    def __init__(self, model_id: str, path: str, what: str, expected: object, got: object, remedy: str = "") -> None:
        super().__init__()
        self.args = (
            model_id,
            path,
            what,
            expected,
            got,
            remedy,
        )  # given to OSError, they would become an error number and a file name
        self.model_id = model_id
        self.path = path
        self.what = what
        self.expected = expected
        self.got = got
        self.remedy = remedy

    def __str__(self) -> str:
        text = (
            f"Cannot load `{self.model_id}` from `{self.path}`: {self.what}: expected {self.expected}, got {self.got}."
        )
        return f"{text} {self.remedy}".rstrip()


class ModelClosedError(RegistryError, ValueError):
    """A model was used after `close()`.

    Attributes:
        model_id: The model.
    """

    def __init__(self, model_id: str) -> None:
        super().__init__(model_id)
        self.model_id = model_id

    def __str__(self) -> str:
        return f"`{self.model_id}` is closed. Load it again, and use it inside the `with` block."


class InvalidOptionError(RegistryError, ValueError):
    """An option, or a sampling parameter, has a value or a place that it cannot have.

    Attributes:
        option: Name of the option.
        expected: What it may be.
        got: What was given.
        remedy: What to do.
    """

    def __init__(self, option: str, expected: str, got: object, remedy: str = "") -> None:
        super().__init__(option, expected, got, remedy)
        self.option = option
        self.expected = expected
        self.got = got
        self.remedy = remedy

    def __str__(self) -> str:
        return f"`{self.option}`: expected {self.expected}, got {self.got!r}. {self.remedy}".rstrip()


class InvalidInputError(RegistryError, ValueError):
    """Something that was given to a model is not what it can read.

    Attributes:
        place: Where, such as `texts[2]`.
        reason: What was expected and got, and what to do.
    """

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(place, reason)
        self.place = place
        self.reason = reason

    def __str__(self) -> str:
        return f"`{self.place}`: {self.reason}"


class InvalidMessageError(InvalidInputError):
    """A conversation is not one that a chat model can be given. `place` is such as `messages[2].role`."""


class TemplateError(RegistryError, ValueError):
    """A chat template does not exist, is broken, or has no way to say what was asked of it.

    Attributes:
        template: Name of the template; `gguf` for the one in the model's file.
        reason: What is wrong, and what to do.
    """

    def __init__(self, template: str, reason: str) -> None:
        super().__init__(template, reason)
        self.template = template
        self.reason = reason

    def __str__(self) -> str:
        return f"Chat template `{self.template}`: {self.reason}"


class ContextOverflowError(RegistryError, ValueError):
    """A prompt does not fit into the context of a loaded model.

    Attributes:
        model_id: The model.
        prompt_tokens: Tokens of the prompt.
        context_length: Tokens that the loaded context holds.
        maximum: Tokens that the model can hold at most; `None` where it is not known.
    """

    def __init__(self, model_id: str, prompt_tokens: int, context_length: int, maximum: int | None = None) -> None:
        super().__init__(model_id, prompt_tokens, context_length, maximum)
        self.model_id = model_id
        self.prompt_tokens = prompt_tokens
        self.context_length = context_length
        self.maximum = maximum

    def __str__(self) -> str:
        longer = (
            ""
            if self.maximum is None or self.maximum <= self.context_length
            else (f" or load the model with a larger `context_length` (at most {self.maximum})")
        )
        return (
            f"The prompt does not fit into the context of `{self.model_id}`: expected fewer than {self.context_length} "
            f"tokens, got {self.prompt_tokens}. Shorten it{longer}."
        )


class InsufficientMemoryError(RegistryError, MemoryError):
    """There is not enough memory for a model, or for any of those that were asked about.

    Attributes:
        model_id: The model; where a choice was asked for, the one that needs least.
        reason: What was tried, and what to do.
        needed_bytes: What the model needs, where it is known.
        available_bytes: What there is for it, where it is known.
    """

    _remedy_from = -1  # it says a good deal before

    def __init__(
        self, model_id: str, reason: str, needed_bytes: int | None = None, available_bytes: int | None = None
    ) -> None:
        super().__init__(model_id, reason, needed_bytes, available_bytes)
        self.model_id = model_id
        self.reason = reason
        self.needed_bytes = needed_bytes
        self.available_bytes = available_bytes

    def __str__(self) -> str:
        return f"Not enough memory for `{self.model_id}`. {self.reason}"


class DownloadError(RegistryError, OSError):
    """Files of a model could not be fetched.

    Attributes:
        model_id: The model.
        reason: What failed, where, what was expected and got.
        remedy: What to do.
        url: Address that was asked, without credentials; `None` where none was reached.
        status: HTTP status of the answer; `None` where there was none.
    """

    def __init__(
        self, model_id: str, reason: str, remedy: str, url: str | None = None, status: int | None = None
    ) -> None:
        super().__init__()
        self.args = (model_id, reason, remedy, url, status)  # given to OSError, they would become an error number
        self.model_id = model_id
        self.reason = reason
        self.remedy = remedy
        self.url = url
        self.status = status

    def __str__(self) -> str:
        return f"Cannot fetch `{self.model_id}`: {self.reason} {self.remedy}".rstrip()


class UnpinnedModelError(RegistryError, PermissionError):
    """Nothing says which bytes are the right ones: neither the record nor the place they come from.

    Attributes:
        model_id: The model.
        files: The files that no digest is known of.
    """

    def __init__(self, model_id: str, files: tuple[str, ...]) -> None:
        super().__init__()
        self.args = (model_id, files)  # given to OSError, they would become an error number and a file name
        self.model_id = model_id
        self.files = files

    def __str__(self) -> str:
        return (
            f"`{self.model_id}` is not pinned: expected a commit or a sha256 in its record, got neither for "
            f"{', '.join(f'`{file}`' for file in self.files)}. Pin it in models.json, or fetch it with "
            "`allow_unpinned=True`: what is seen then is written down, and must be the same ever after."
        )


class LicenseNotAllowedError(RegistryError, PermissionError):
    """The licence of a model is not among those that are allowed here.

    Attributes:
        model_id: The model.
        license: Its licence; `None` where it is not known.
        allowed: The licences that are allowed.
        stated_in: Where the list stands: an environment variable, or a file.
    """

    def __init__(self, model_id: str, license: str | None, allowed: tuple[str, ...], stated_in: str) -> None:
        super().__init__()
        self.args = (model_id, license, allowed, stated_in)  # OSError would make a number and a file name of them
        self.model_id = model_id
        self.license = license
        self.allowed = allowed
        self.stated_in = stated_in

    def __str__(self) -> str:
        got = f"`{self.license}`" if self.license else "one that is not known"
        return (
            f"The licence of `{self.model_id}` is not allowed: expected one of {', '.join(self.allowed)}, got {got}. "
            f"Choose another model, or add the licence to {self.stated_in}."
        )


class CacheFullError(RegistryError, OSError):
    """There is no room for a model: in the limit that was set, or on the disk.

    Attributes:
        model_id: The model.
        needed_bytes: Room that it needs.
        available_bytes: Room that there is.
        where: What is full: a folder, or the limit and where it was set.
        remedy: What to do.
    """

    def __init__(self, model_id: str, needed_bytes: int, available_bytes: int, where: str, remedy: str) -> None:
        super().__init__()
        self.args = (model_id, needed_bytes, available_bytes, where, remedy)  # not an error number and a file name
        self.model_id = model_id
        self.needed_bytes = needed_bytes
        self.available_bytes = available_bytes
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        return (
            f"No room for `{self.model_id}` in {self.where}: expected {self.needed_bytes} bytes free, "
            f"got {self.available_bytes}. {self.remedy}"
        )


class InvalidSettingError(RegistryError, ValueError):
    """A setting has a value that it cannot have, or does not exist.

    Attributes:
        setting: Name of the setting.
        stated_in: Where it stands: an environment variable, or a file.
        expected: What it may be.
        got: What was found.
    """

    def __init__(self, setting: str, stated_in: str, expected: str, got: object) -> None:
        super().__init__(setting, stated_in, expected, got)
        self.setting = setting
        self.stated_in = stated_in
        self.expected = expected
        self.got = got

    def __str__(self) -> str:
        return f"Setting `{self.setting}` in {self.stated_in}: expected {self.expected}, got {self.got!r}. Correct it."


class EmbeddingSpaceError(RegistryError, ValueError):
    """Vectors of two embedding spaces met.

    Attributes:
        expected: Identity of the first space.
        got: Identity of the other.
    """

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(expected, got)
        self.expected = expected
        self.got = got

    def __str__(self) -> str:
        return (
            f"Embeddings of two spaces cannot be compared: expected `{self.expected}`, got `{self.got}`. "
            "Encode both sides with one model, one dimension and one precision."
        )


class CatalogFileError(RegistryError, OSError):
    """A file is not a catalogue store that can be used. It is left as it is.

    Attributes:
        path: The file.
        problem: What is wrong with it, a clause.
        remedy: What to do.
    """

    def __init__(self, path: str, problem: str, remedy: str) -> None:
        super().__init__()
        self.args = (path, problem, remedy)  # not an error number and a file name
        self.path = path
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"`{self.path}` {self.problem}. It was left as it is. {self.remedy}"


class CatalogBusyError(RegistryError, TimeoutError):
    """Another process has been writing to the catalogue store for longer than the caller wanted to wait.

    Attributes:
        path: The store.
        waited_s: Time that was waited, in seconds.
    """

    def __init__(self, path: str, waited_s: float) -> None:
        super().__init__()
        self.args = (path, waited_s)
        self.path = path
        self.waited_s = waited_s

    def __str__(self) -> str:
        return (
            f"Another process is writing to `{self.path}`, and was not done after {self.waited_s:g} s. "
            "Nothing was changed. Try again, or wait for longer."
        )


class CatalogModelNotFoundError(ModelNotFoundError):
    """The catalogue store has no model with this number or name.

    Attributes:
        registry: Path of the store.
    """

    def __str__(self) -> str:
        remedy = _did_you_mean(self.close_matches) or "Look for it with `search`, or add it."
        return f"Model `{self.model_id}` is not in the catalogue `{self.registry}`. {remedy}"


class ModelExistsError(RegistryError, ValueError):
    """The catalogue store has a model of this name already.

    Attributes:
        name: The name.
        path: The store.
    """

    def __init__(self, name: str, path: str) -> None:
        super().__init__(name, path)
        self.name = name
        self.path = path

    def __str__(self) -> str:
        return f"The catalogue `{self.path}` has a model `{self.name}` already. Update it, or choose another name."


class InvalidFieldError(RegistryError, ValueError):
    """A value cannot stand in this field of the catalogue store.

    Attributes:
        field: Name of the field.
        expected: What it may be.
        got: What was found.
    """

    def __init__(self, field: str, expected: str, got: object) -> None:
        super().__init__(field, expected, got)
        self.field = field
        self.expected = expected
        self.got = got

    def __str__(self) -> str:
        shown = repr(self.got)
        return f"`{self.field}`: expected {self.expected}, got {shown if len(shown) <= 80 else shown[:77] + '...'}."


class ImportRowsError(RegistryError, ValueError):
    """A file has rows that cannot be imported, and nothing of it was.

    Attributes:
        path: The file.
        problems: One sentence for each bad row that was found, with its line.
    """

    def __init__(self, path: str, problems: tuple[str, ...]) -> None:
        super().__init__(path, problems)
        self.path = path
        self.problems = problems

    def __str__(self) -> str:
        shown = "".join(f"\n  {problem}" for problem in self.problems)
        return f"Nothing of `{self.path}` was imported, as it has bad rows:{shown}\nMend them, or import what is good."


class ModelBusyError(RegistryError, TimeoutError):
    """A served model has no room for another request, or was not free in time.

    Attributes:
        model_id: The model.
        reason: What was in the way, a sentence.
        retry_after_s: When to try again, in seconds.
    """

    def __init__(self, model_id: str, reason: str, retry_after_s: int) -> None:
        super().__init__()
        self.args = (model_id, reason, retry_after_s)
        self.model_id = model_id
        self.reason = reason
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return f"`{self.model_id}` is busy: {self.reason} Try again in {self.retry_after_s} s."


class RoleNotFoundError(RegistryError, LookupError):
    """A profile has no model for this role.

    Attributes:
        role: The role that was asked for.
        profile: Name of the profile.
        close_matches: Roles of the profile that look like it, the closest first.
        roles: All roles of the profile.
    """

    def __init__(
        self, role: str, profile: str, close_matches: tuple[str, ...] = (), roles: tuple[str, ...] = ()
    ) -> None:
        super().__init__(role, profile, close_matches, roles)
        self.role = role
        self.profile = profile
        self.close_matches = close_matches
        self.roles = roles

    def __str__(self) -> str:
        listed = ", ".join(f"`{role}`" for role in self.roles)
        choose = f"Choose one of its own: {listed}." if listed else "Add it to a manifest of your own."
        return f"Profile `{self.profile}` has no role `{self.role}`. {_did_you_mean(self.close_matches) or choose}"


class ManifestError(RegistryError, ValueError):
    """A manifest, of profiles or of adapters, cannot be used.

    Attributes:
        source: Its file or address.
        problems: What is wrong, a line each: place in the file, what was expected, what was found.
        stated_in: The setting that names it; empty where the caller does.
    """

    remedy = "Mend it, or leave it out."

    def __init__(self, source: str, problems: tuple[str, ...], stated_in: str = "") -> None:
        super().__init__(source, problems, stated_in)
        self.source = source
        self.problems = problems
        self.stated_in = stated_in

    def __str__(self) -> str:
        origin = f", which {self.stated_in} names," if self.stated_in else ""
        shown = "".join(f"\n  {problem}" for problem in self.problems)
        return f"The manifest `{self.source}`{origin} cannot be used:{shown}\n{self.remedy}"


class ProviderError(RegistryError):
    """A provider has not done what it was asked to: it refused the request, or broke off.

    Attributes:
        provider: Name of the provider.
        model: Name of the model, as the provider knows it; empty where none was concerned.
        problem: What went wrong, a sentence.
        remedy: What to do, a sentence; empty where nothing is known to help.
    """

    def __init__(self, provider: str, model: str, problem: str, remedy: str = "") -> None:
        super().__init__()
        self.args = (provider, model, problem, remedy)
        self.provider = provider
        self.model = model
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        asked = f"`{self.provider}`, asked for `{self.model}`" if self.model else f"`{self.provider}`"
        return f"{asked}: {self.problem} {self.remedy}".rstrip()


class ProviderUnavailableError(ProviderError, ConnectionError):
    """A provider cannot be reached, is being started or overloaded, or its package is not installed."""


class ProviderTimeoutError(ProviderUnavailableError, TimeoutError):
    """A provider has not answered in time."""


class ProviderModelError(ProviderError, LookupError):
    """A provider does not have this model, or cannot load it."""


class StreamBrokenError(ProviderError, ConnectionError):
    """An answer broke off after some of it was given. Nobody else is asked: what was read would not fit the rest.

    Attributes:
        text: What was given of the answer.
    """

    def __init__(self, provider: str, model: str, problem: str, remedy: str = "", text: str = "") -> None:
        super().__init__(provider, model, problem, remedy)
        self.args = (provider, model, problem, remedy, text)
        self.text = text


class NoProviderError(RegistryError, ConnectionError):
    """None of those that could serve a role has done so.

    Attributes:
        role: The role.
        attempts: Who was tried or passed over and why, a line each, in their order.
        remedy: What to do, a sentence.
    """

    def __init__(self, role: str, attempts: tuple[str, ...], remedy: str = "") -> None:
        super().__init__()
        self.role = role
        self.attempts = attempts
        self.remedy = remedy or "Start one of them, or name another model for the role."
        self.args = (role, attempts, self.remedy)

    def __str__(self) -> str:
        tried = "".join(f"\n  {attempt}" for attempt in self.attempts)
        return f"Nobody serves the role `{self.role}`:{tried}\n{self.remedy}"


class AdapterError(RegistryError, ValueError):
    """An adapter of a manifest cannot be used; the one that was in use stays.

    Attributes:
        adapter_id: The adapter.
        version: Its version.
        problem: What is wrong with it, a sentence.
        remedy: What to do, a sentence.
    """

    def __init__(self, adapter_id: str, version: str, problem: str, remedy: str = "") -> None:
        super().__init__(adapter_id, version, problem, remedy)
        self.adapter_id = adapter_id
        self.version = version
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"Adapter `{self.adapter_id}`, version {self.version}: {self.problem} {self.remedy}".rstrip()


class DeploymentError(RegistryError, RuntimeError):
    """No replica of a model could be started on the cluster.

    Attributes:
        model_id: The model.
        reason: What a replica raised when it was started, or what Ray says.
    """

    remedy = "That is what its replica said, on its node: mend it there, and serve again."

    def __init__(self, model_id: str, reason: str) -> None:
        super().__init__(model_id, reason)
        self.model_id = model_id
        self.reason = reason

    def __str__(self) -> str:
        return f"`{self.model_id}` cannot be deployed. {self.reason}\n{self.remedy}"
