"""Choosing a model. The estimate is one that can be worked out in the head, but where the shipped data are asked."""

import json
from dataclasses import replace
from typing import Any

import pytest

from registry import MODEL_REGISTRY
from registry.errors import InsufficientMemoryError, InvalidOptionError, InvalidSettingError
from registry.hardware import DeviceEstimate, Estimate, Gpu, Machine, RejectionKind, probe, select, tiers

from .records import GB, MB, TOKEN, Records, chat, dense, estimate


@pytest.fixture(autouse=True)
def _nothing_of_the_user(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REGISTRY_HOME", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "empty"))
    for name in ("REGISTRY_LICENSES", "REGISTRY_RESERVED_MEMORY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.hardware.requirement.estimate", estimate)


def machine(ram: int, *gpus: Gpu) -> Machine:
    return probe(ram_total_bytes=ram, gpus=gpus, disk_free_bytes=0)


def coder(memory: str) -> str:
    return select(memory, family="Qwen2.5-Coder").model.id


# The worked example: Qwen2.5-Coder in the shipped data


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        ("6GB", "qwen2.5-coder-3b-q4_k_m"),
        ("11.99GB", "qwen2.5-coder-3b-q4_k_m"),
        ("12GB", "qwen2.5-coder-7b-q5_k_m"),
        ("19.99GB", "qwen2.5-coder-7b-q5_k_m"),
        ("20GB", "qwen2.5-coder-14b-q5_k_m"),
        ("24GB", "qwen2.5-coder-14b-q5_k_m"),
        ("24.145GB", "qwen2.5-coder-14b-q8_0"),
        ("64GB", "qwen2.5-coder-14b-q8_0"),
    ],
)
def test_select_coder_takes_the_tier_that_users_know(memory: str, expected: str) -> None:
    assert coder(memory) == expected


def test_select_coder_below_the_first_tier_is_refused_with_the_smallest_need() -> None:
    with pytest.raises(InsufficientMemoryError) as raised:
        coder("5.99GB")

    assert (raised.value.model_id, raised.value.needed_bytes, raised.value.available_bytes) == (
        "qwen2.5-coder-3b-q4_k_m",
        4 * GB,
        3_990_000_000,
    )
    assert "`recommended_only=False` lets it in" in str(raised.value)


def test_select_coder_with_a_licence_turns_the_research_one_down() -> None:
    choice = select("16GB", family="Qwen2.5-Coder", license="Apache-2.0")
    rejection = choice.why_not("qwen2.5-coder-3b-q4_k_m")

    assert choice.model.id == "qwen2.5-coder-7b-q5_k_m"
    assert str(rejection) == (
        "`qwen2.5-coder-3b-q4_k_m`: `license`: expected `Apache-2.0`, got LicenseRef-Qwen-Research."
    )


def test_select_says_of_every_other_record_why_it_was_turned_down() -> None:
    choice = select("16GB", family="Qwen2.5-Coder")

    assert {choice.model.id, *(rejection.model_id for rejection in choice.rejected)} == set(MODEL_REGISTRY)
    assert len(choice.rejected) == len(MODEL_REGISTRY) - 1


@pytest.mark.parametrize(
    "asked", [{"family": "Qwen3"}, {"family": "Qwen2.5-Coder"}, {"role": "embedding"}, {"type": "reranker"}]
)
def test_tiers_are_what_select_chooses_at_and_just_below_each(asked: dict[str, Any]) -> None:
    steps = tiers(**asked)
    below = [None, *(step.model.id for step in steps[:-1])]

    assert [select(step.available_bytes, **asked).model.id for step in steps] == [step.model.id for step in steps]
    with pytest.raises(InsufficientMemoryError):
        select(steps[0].available_bytes - 1, **asked)
    assert [select(step.available_bytes - 1, **asked).model.id for step in steps[1:]] == below[1:]


def test_tiers_with_a_misspelt_condition_names_the_right_one() -> None:
    with pytest.raises(TypeError, match=r"^`famly` is no condition\. Did you mean `family`\?$"):
        tiers(famly="Qwen3")  # type: ignore[call-arg]


@pytest.mark.usefixtures("by_hand")
def test_tiers_of_equal_needs_are_one_step_to_the_largest() -> None:
    models = Records(
        chat("few", ram_required_mb=4000),
        chat("many", ram_required_mb=4000, parameter_count=2 * GB),
        chat("least", 500 * MB),
    )

    assert [(tier.available_bytes, tier.model.id) for tier in tiers(registry=models, reserve_bytes=0)] == [
        (500 * MB + 4096 * TOKEN, "least"),
        (4 * GB, "many"),
    ]


# Which is the largest


@pytest.mark.usefixtures("by_hand")
def test_select_takes_more_parameters_before_larger_weights() -> None:
    few = chat("few", 5 * GB, parameter_count=3 * GB)
    many = chat("many", 4 * GB, parameter_count=7 * GB)

    assert select("16GB", registry=Records(few, many)).model is many


@pytest.mark.usefixtures("by_hand")
def test_select_of_equal_parameters_takes_the_larger_weights() -> None:
    models = Records(chat("q4", 4 * GB), chat("q8", 8 * GB), chat("q5", 5 * GB))

    assert select("16GB", registry=models).model.id == "q8"


@pytest.mark.usefixtures("by_hand")
def test_select_says_by_what_the_others_are_smaller() -> None:
    models = Records(chat("q8", 8 * GB), chat("q4", 4 * GB), chat("same", 8 * GB))

    assert [rejection.reason for rejection in select("16GB", registry=models).rejected] == [
        "It fits with 8.41 GB (estimated), and `q8`, which is as large, comes first.",
        "It fits with 4.41 GB (estimated), and `q8` has as many parameters in larger weights: 8 GB against 4 GB.",
    ]


@pytest.mark.usefixtures("by_hand")
def test_select_with_recommended_records_takes_no_other() -> None:
    models = Records(chat("large", 4 * GB), chat("small", 1 * GB, recommended=True))

    choice = select("16GB", registry=models)

    assert choice.model.id == "small"
    assert [(rejection.model_id, rejection.kind) for rejection in choice.rejected] == [
        ("large", RejectionKind.NOT_RECOMMENDED)
    ]


@pytest.mark.usefixtures("by_hand")
def test_select_recommended_only_false_takes_the_largest_of_all() -> None:
    models = Records(chat("large", 4 * GB), chat("small", 1 * GB, recommended=True))

    assert select("16GB", registry=models, recommended_only=False).model.id == "large"


@pytest.mark.usefixtures("by_hand")
def test_select_recommended_only_without_a_recommended_record_names_the_option() -> None:
    with pytest.raises(InvalidOptionError, match="`recommended_only`: expected False, or conditions that"):
        select("16GB", registry=Records(chat("plain")), recommended_only=True)


@pytest.mark.usefixtures("by_hand")
def test_select_with_a_recommended_record_of_unknown_need_takes_another() -> None:
    models = Records(chat("riddle", None, recommended=True), chat("plain"))

    choice = select("16GB", registry=models)

    assert choice.model.id == "plain"
    assert str(choice.rejected[0]) == "`riddle`: What it needs cannot be told: not known are size_bytes."


# What a model needs


@pytest.mark.usefixtures("by_hand")
def test_select_takes_what_the_record_states_over_the_estimate() -> None:
    models = Records(chat("asks-much", 1 * GB, ram_required_mb=9000, parameter_count=2 * GB), chat("plain"))

    assert select("10GB", registry=models).model.id == "plain"
    assert select("11GB", registry=models).need.to_dict() == {
        "total_bytes": 9 * GB,
        "source": "record",
        "context_length": 4096,
        "missing": [],
    }


@pytest.mark.usefixtures("by_hand")
def test_select_by_estimate_ignores_what_the_record_states() -> None:
    models = Records(chat("asks-much", 1 * GB, ram_required_mb=9000))

    need = select("4GB", registry=models, basis="estimate").need

    assert (need.total_bytes, need.source) == (1 * GB + 4096 * TOKEN, "estimate")


@pytest.mark.usefixtures("by_hand")
def test_select_for_a_longer_context_needs_at_least_the_estimate() -> None:
    models = Records(chat("states-little", 1 * GB, ram_required_mb=1500))

    assert select("8GB", registry=models).need.total_bytes == 1500 * MB
    assert select("8GB", registry=models, context_length=8192).need.total_bytes == 1 * GB + 8192 * TOKEN


@pytest.mark.usefixtures("by_hand")
def test_select_for_a_longer_context_keeps_to_a_stated_need_that_is_more() -> None:
    models = Records(chat("states-much", 1 * GB, ram_required_mb=5000))

    need = select("8GB", registry=models, context_length=8192).need

    assert (need.total_bytes, need.source, need.context_length) == (5 * GB, "record", 8192)


@pytest.mark.usefixtures("by_hand")
def test_select_leaves_the_reserve_to_the_system() -> None:
    models = Records(chat("exact", ram_required_mb=4000))

    assert select(6 * GB, registry=models).budget_bytes == 4 * GB
    with pytest.raises(InsufficientMemoryError):
        select(6 * GB - 1, registry=models)
    assert select(4 * GB, registry=models, reserve_bytes=0).reserved_bytes == 0


@pytest.mark.usefixtures("by_hand")
def test_select_takes_the_reserve_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_RESERVED_MEMORY", "3GB")

    assert select("8GB", registry=Records(chat("plain"))).budget_bytes == 5 * GB


@pytest.mark.usefixtures("by_hand")
def test_select_of_nothing_but_unknown_needs_says_what_is_missing() -> None:
    with pytest.raises(InsufficientMemoryError) as raised:
        select("64GB", registry=Records(chat("riddle", None), chat("puzzle", None)))

    assert str(raised.value) == (
        "Not enough memory for `riddle`. What it needs cannot be told: not known are size_bytes. The same holds for 1 "
        "more that match. Fetch its file, whose header says it, or state `ram_required_mb` in its record."
    )
    assert raised.value.needed_bytes is None


@pytest.mark.usefixtures("by_hand")
def test_select_where_nothing_fits_says_what_there_is_and_what_to_do() -> None:
    models = Records(chat("large", ram_required_mb=9000), chat("small", ram_required_mb=5000))

    with pytest.raises(InsufficientMemoryError) as raised:
        select("6GB", registry=models)

    assert str(raised.value) == (
        "Not enough memory for `small`. It needs 5 GB (stated), least of the 2 models in question; there are 4 GB for "
        "it: 6 GB of memory, with 2 GB left to the system. Free memory, or ask for less: other conditions, a shorter "
        "`context_length`."
    )


@pytest.mark.usefixtures("by_hand")
def test_select_where_nothing_fits_counts_those_it_cannot_tell_of() -> None:
    models = Records(chat("large", ram_required_mb=9000), chat("riddle", None))

    with pytest.raises(
        InsufficientMemoryError, match=r"left to the system\. Of 1 more it cannot be told what they need"
    ):
        select("6GB", registry=models)


@pytest.mark.usefixtures("by_hand")
def test_select_gives_reasons_for_the_largest_first_and_for_the_unfit_last() -> None:
    models = Records(dense("other"), chat("small", 1 * GB), chat("large", 9 * GB), chat("middle", 3 * GB))

    choice = select("6GB", registry=models)

    assert [(rejection.model_id, rejection.kind) for rejection in choice.rejected] == [
        ("large", "memory"),
        ("small", "smaller"),
        ("other", "type"),
    ]


@pytest.mark.usefixtures("by_hand")
def test_select_of_a_few_bytes_says_how_sizes_are_written() -> None:
    with pytest.raises(InsufficientMemoryError, match=r"Sizes are in bytes: write 16 GB as `16 \* 10\*\*9`"):
        select(16, registry=Records(chat("plain")))


@pytest.mark.parametrize("given", ["much", -1, float("nan"), float("inf"), True, [1]])
def test_select_with_a_wrong_amount_names_the_option(given: Any) -> None:
    with pytest.raises(InvalidOptionError, match="`available_ram`: expected bytes, or a size such as `16GB`"):
        select(given, registry=Records(chat("plain")))


def test_select_with_a_wrong_basis_names_the_option() -> None:
    with pytest.raises(InvalidOptionError, match="`basis`: expected one of record, estimate, got 'guess'"):
        select("8GB", basis="guess")  # type: ignore[arg-type]


# What it finds out about the chosen one


@pytest.mark.usefixtures("by_hand")
def test_select_gives_the_longest_context_that_fits_to_the_token() -> None:
    models = Records(chat("plain", 1 * GB, context_length=100_000))

    choice = select(3 * GB + 50_000 * TOKEN + TOKEN - 1, registry=models)

    assert choice.max_context_length == 50_000


@pytest.mark.usefixtures("by_hand")
def test_select_gives_no_longer_context_than_the_model_has() -> None:
    assert select("64GB", registry=Records(chat("plain"))).max_context_length == 8192


@pytest.mark.usefixtures("by_hand")
def test_select_of_a_model_with_unknown_maximum_gives_no_context() -> None:
    assert select("64GB", registry=Records(chat("plain", context_length=None))).max_context_length is None


@pytest.mark.usefixtures("by_hand")
def test_select_of_a_stated_need_without_an_estimate_gives_the_context_that_it_is_stated_for() -> None:
    models = Records(chat("plain", None, ram_required_mb=4000, context_length=8192))

    assert select("64GB", registry=models).max_context_length == 4096


@pytest.mark.usefixtures("by_hand")
@pytest.mark.parametrize(("free", "layers"), [(10 * GB, 10), (2**30 + 700 * MB, 4), (2**30, 0)])
def test_select_gives_the_layers_that_fit_on_the_gpu(free: int, layers: int) -> None:
    # 1 GB of weights and 0.41 GB of cache on 9 layers and the output: 141 MB each; 1 GiB is left free
    gpu = Gpu(0, "a GPU", 24 * GB, free)

    choice = select(machine=machine(16 * GB, gpu), registry=Records(chat("plain", 1 * GB)))

    assert choice.gpu_layers == layers
    assert choice.estimate.gpu_bytes == layers * 140_960_000


@pytest.mark.usefixtures("by_hand")
def test_select_with_a_gpu_that_does_not_tell_its_memory_gives_no_layers() -> None:
    known, silent = Gpu(0, "a GPU", 24 * GB, 24 * GB), Gpu(1, "another", None, None)

    choice = select(machine=machine(16 * GB, known, silent), registry=Records(chat("plain", 1 * GB)))

    assert (choice.gpu_layers, choice.estimate.gpu_bytes) == (None, 0)


@pytest.mark.usefixtures("by_hand")
def test_select_with_shared_memory_places_all_layers_on_the_gpu() -> None:
    gpu = Gpu(0, "a GPU", 16 * GB, 16 * GB, unified=True)

    assert select(machine=machine(16 * GB, gpu), registry=Records(chat("plain", 1 * GB))).gpu_layers == 10


def test_select_with_shared_memory_counts_what_a_gpu_takes_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def costly(model: Any, *, gpu_layers: int, machine: Any, **options: Any) -> Estimate:
        found = estimate(model, gpu_layers=gpu_layers, **options)
        more = DeviceEstimate.of("gpu:0", 0, overhead=100 * MB * gpu_layers)
        return replace(found, devices=(*found.devices, more))

    monkeypatch.setattr("registry.hardware.requirement.estimate", costly)
    gpu = Gpu(0, "a GPU", 4 * GB, 4 * GB, unified=True)

    assert select(machine=machine(3_850_000_000, gpu), registry=Records(chat("plain", 1 * GB))).gpu_layers == 4


@pytest.mark.usefixtures("by_hand")
def test_select_without_a_machine_says_nothing_about_gpus() -> None:
    assert select("16GB", registry=Records(chat("plain"))).gpu_layers is None


@pytest.mark.usefixtures("by_hand")
def test_select_of_an_encoder_says_nothing_about_layers() -> None:
    gpu = Gpu(0, "a GPU", 24 * GB, 24 * GB)

    assert select(machine=machine(16 * GB, gpu), registry=Records(dense("plain"))).gpu_layers is None


@pytest.mark.usefixtures("by_hand")
def test_select_left_to_itself_takes_what_this_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.hardware._probe.probe", lambda: machine(7 * GB))

    assert select(registry=Records(chat("plain"))).available_bytes == 7 * GB


def test_select_where_the_machine_does_not_tell_its_memory_asks_for_it() -> None:
    silent = replace(machine(7 * GB), ram_available_bytes=None)

    with pytest.raises(InvalidOptionError, match=r"`available_ram`: .* This machine does not tell"):
        select(machine=silent, registry=Records(chat("plain")))


@pytest.mark.usefixtures("by_hand")
def test_selection_to_dict_is_json_with_every_reason() -> None:
    choice = select(
        "8GB", registry=Records(chat("large", 5 * GB, parameter_count=7 * GB), chat("small"), dense("other"))
    )

    found = json.loads(json.dumps(choice.to_dict()))

    assert found["rejected"][0] == {
        "model_id": "small",
        "kind": "smaller",
        "reason": "It fits with 1.41 GB (estimated), and `large` has more parameters: about 7000000000 against about "
        "1000000000.",
        "needed_bytes": 1_409_600_000,
        "available_bytes": 6 * GB,
    }
    assert (found["model"], found["estimate"]["total_bytes"]) == ("large", 5_409_600_000)


# Conditions


@pytest.mark.usefixtures("by_hand")
@pytest.mark.parametrize(
    ("asked", "value", "kind"),
    [
        ({"family": "Acme"}, {"family": "Acme"}, "family"),
        ({"type": "dense"}, {}, "type"),
        ({"tags": ("a", "b")}, {"tags": ("b", "c", "a")}, "tags"),
        ({"tags": "a"}, {"tags": ("a",)}, "tags"),
        ({"languages": ["de"]}, {"languages": ("en", "de")}, "languages"),
        ({"license": ["MIT", "Apache-2.0"]}, {"license": "Apache-2.0"}, "license"),
        ({"context_length": 512}, {"context_length": 512}, "context_length"),
        ({"min_parameters": "90M"}, {"parameter_count": 90_000_000}, "min_parameters"),
        ({"max_parameters": 100_000_000}, {"parameter_count": 100_000_000}, "max_parameters"),
        ({"quantization": "int8"}, {"quantizations": ("fp32", "int8")}, "quantization"),
        ({"role": "embedding"}, {"capabilities": ("embedding", "retrieval")}, "role"),
        ({}, {"deprecated": False}, "deprecated"),
    ],
)
def test_select_takes_what_meets_a_condition_and_names_it_where_it_does_not(
    asked: dict[str, Any], value: dict[str, Any], kind: str
) -> None:
    unknown: dict[str, Any] = {
        "model_type": "sparse",
        "context_length": None,
        "parameter_count": None,
        "capabilities": (),
        "deprecated": True,
    }
    if kind != "type":
        unknown["model_type"] = "dense"
    if kind != "deprecated":
        unknown["deprecated"] = False
    models = Records(replace(dense("unknown"), **unknown), dense("fits", **value))

    choice = select("8GB", registry=models, **asked)

    assert choice.model.id == "fits"
    assert choice.rejected[0].kind == kind


@pytest.mark.usefixtures("by_hand")
def test_select_deprecated_takes_deprecated_records_too() -> None:
    models = Records(chat("old", 2 * GB, deprecated=True), chat("new"))

    assert select("8GB", registry=models).model.id == "new"
    assert select("8GB", registry=models, deprecated=True).model.id == "old"


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (
            (chat("old", deprecated=True),),
            "`deprecated`: expected True, as every one of the models is deprecated, got False.",
        ),
        ((), "`registry`: expected a registry with at least one model, got <registry of 0 models: records>."),
    ],
)
def test_select_from_nothing_current_says_so(models: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InvalidOptionError, match=f"^{message}$"):
        select("8GB", registry=Records(*models))


@pytest.mark.usefixtures("by_hand")
def test_select_keeps_to_the_licences_that_the_user_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_LICENSES", "MIT, Apache-2.0")
    models = Records(chat("strange", 3 * GB, license="LicenseRef-X"), chat("free", license="MIT"))

    choice = select("8GB", registry=models)

    assert choice.model.id == "free"
    assert (choice.rejected[0].kind, choice.rejected[0].reason) == (
        RejectionKind.POLICY,
        "`REGISTRY_LICENSES`: expected `MIT` or `Apache-2.0`, got LicenseRef-X.",
    )


def test_select_with_a_broken_setting_says_where_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_RESERVED_MEMORY", "some")

    with pytest.raises(InvalidSettingError, match="REGISTRY_RESERVED_MEMORY"):
        select("8GB", registry=Records(chat("plain")))


@pytest.mark.usefixtures("by_hand")
def test_select_without_type_and_role_keeps_to_chat_models() -> None:
    models = Records(dense("encoder", parameter_count=2 * GB), chat("talker"))

    choice = select("16GB", registry=models)

    assert choice.model.id == "talker"
    assert choice.rejected[0].kind == RejectionKind.TYPE


@pytest.mark.usefixtures("by_hand")
def test_select_of_conditions_that_only_encoders_meet_takes_an_encoder() -> None:
    models = Records(dense("encoder", family="Acme"), chat("talker"))

    assert select("16GB", registry=models, family="Acme").model.id == "encoder"


@pytest.mark.usefixtures("by_hand")
@pytest.mark.parametrize(("maximum", "expected"), [(8192, 512), (256, 256)])
def test_select_takes_texts_for_encoders_to_be_of_a_usual_length(maximum: int, expected: int) -> None:
    choice = select("8GB", registry=Records(dense("plain", context_length=maximum)))

    assert (choice.need.context_length, choice.estimate.context_length) == (expected, expected)
    assert choice.max_context_length == maximum


@pytest.mark.usefixtures("by_hand")
def test_select_of_encoders_without_a_parameter_count_compares_their_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def weigh(model: Any, **options: Any) -> Estimate:
        part = DeviceEstimate.of("cpu", 2 * GB if model.parameter_count is None else model.parameter_count * 4)
        return Estimate(model.id, (part,), part.total_bytes, part.total_bytes, 0, "by hand", "record", 512)

    monkeypatch.setattr("registry.hardware.requirement.estimate", weigh)
    models = Records(dense("stated", parameter_count=400 * MB), dense("heavy", parameter_count=None))

    assert select("16GB", type="dense", registry=models).model.id == "heavy"


@pytest.mark.usefixtures("by_hand")
def test_select_for_coding_and_for_general_use_takes_other_models() -> None:
    models = Records(chat("coder", capabilities=("chat", "code")), chat("talker", capabilities=("chat",)))

    assert select("8GB", role="coding", registry=models).model.id == "coder"
    assert select("8GB", role="general", registry=models).model.id == "talker"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"family": "Qwen2.5-Codr"},
            r"`family`: expected what one of the models has: .*, got 'Qwen2.5-Codr'. Did you mean `Qwen2.5-Coder`\?",
        ),
        (
            {"family": "Qwen2.5-Coder", "license": "MIT"},
            (
                "`license`: expected what one of the 14 models that match `family='Qwen2.5-Coder'` has: "
                "Apache-2.0, LicenseRef-Qwen-Research, got 'MIT'."
            ),
        ),
        (
            {"type": "dense", "min_parameters": "900B"},
            (
                "`min_parameters`: expected what one of the 77 models that match `type='dense'` has, 8000000 to "
                "9200000000, got '900B'."
            ),
        ),
        (
            {"family": "Qwen2.5-Coder", "languages": "de"},
            (
                "`languages`: expected what one of the 14 models that match `family='Qwen2.5-Coder'` is known to have, "
                "got 'de'. Leave it out."
            ),
        ),
        ({"role": "poet"}, "`role`: expected one of general, coding, reasoning, embedding, reranking, got 'poet'."),
        ({"context_length": 0}, "`context_length`: expected an integer of at least 1, got 0."),
        ({"license": ()}, r"`license`: expected a word, or several, got \(\). Leave it out to allow all."),
        ({"tags": [1]}, r"`tags`: expected a word, or several, got \[1\]."),
        ({"min_parameters": "big"}, "`min_parameters`: expected a number of parameters, such as `7B`, got 'big'."),
    ],
)
def test_select_that_nothing_can_meet_names_the_condition(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOptionError, match=f"^{message}$"):
        select("64GB", **asked)


def test_select_under_a_policy_that_leaves_nothing_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_LICENSES", "0BSD")

    with pytest.raises(InvalidOptionError, match=r"^`REGISTRY_LICENSES`: expected what one of the 2.. models"):
        select("64GB")


def test_examples_in_the_docstrings_show_what_happens() -> None:
    import doctest

    from registry.hardware import _fit, _select

    assert [doctest.testmod(module).failed for module in (_select, _fit)] == [0, 0]
