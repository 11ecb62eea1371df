"""What is deployed, and what each replica takes."""

from typing import Any

import pytest

from registry import MODEL_REGISTRY
from registry.cluster import ClusterOptions, Scaling
from registry.cluster.application import model_deployment
from registry.cluster.plan import plan
from registry.cluster.resources import Resources, resources_of
from registry.errors import InvalidOptionError, ModelNotFoundError, ProfileNotFoundError, RoleNotFoundError
from registry.server.options import ServerOptions

CODER = "qwen2.5-coder-7b-q5_k_m"
MINILM = "all-minilm-l6-v2"


def planned(**options: Any) -> Any:
    return plan(ClusterOptions(**options))


def test_models_of_the_profile_are_deployed_once_each() -> None:
    found = planned(roles=("coding", "embedding"), server=ServerOptions(roles={"fast": CODER}))

    assert [each.record.id for each in found.models] == [CODER, MINILM]
    assert found.roles == {"coding": CODER, "embedding": MINILM, "fast": CODER}


def test_role_of_another_provider_falls_back_on_a_record() -> None:
    assert planned(roles=("general",)).roles == {"general": "llama-3.2-3b-instruct-q4_k_m"}


def test_model_is_deployed_as_it_is_stated_and_others_as_all() -> None:
    own = Scaling(replicas=3)
    found = planned(roles=("coding",), models={MINILM: own}, scaling=Scaling(cpus=4))

    assert [(each.record.id, each.scaling) for each in found.models] == [(CODER, Scaling(cpus=4)), (MINILM, own)]


def test_server_of_a_cluster_writes_nothing_and_provisions_nothing() -> None:
    given = ServerOptions(admin_token="a-token-of-the-tests", provision=True, queue_length=3)
    server = planned(roles=("embedding",), server=given).server

    roles = {"embedding": MINILM}
    assert server == ServerOptions(queue_length=3, catalog_writes=False, profile="default", roles=roles)


def test_profile_that_is_served_has_the_roles_of_the_plan_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    made = planned(roles=("embedding",))
    monkeypatch.setenv("REGISTRY_PROFILE", "no-such")  # where the ingress runs
    profile = made.profiles(MODEL_REGISTRY).get(made.server.profile)

    assert (profile.name, {str(role): model.name for role, model in profile.models.items()}) == (
        "default",
        {"embedding": MINILM},
    )


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"profile": "no-such"}, ProfileNotFoundError),
        ({"roles": ("no-such",)}, RoleNotFoundError),
        ({"models": {"no-such": Scaling()}}, ModelNotFoundError),
        ({"roles": ()}, InvalidOptionError),
        ({"registry": "no.such.module"}, InvalidOptionError),
    ],
)
def test_plan_of_what_does_not_exist_is_refused(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        planned(**options)


def test_deployment_of_a_fixed_number_of_replicas_has_no_autoscaling() -> None:
    (found,) = planned(roles=("coding",), scaling=Scaling(replicas=2, memory_bytes=10)).models

    assert found.serve_options(queue_length=0) == {
        "num_replicas": 2,
        "max_ongoing_requests": 8,
        "max_queued_requests": 1,
        "ray_actor_options": {"num_cpus": 1.0, "memory": 10},
    }


def test_deployment_that_scales_has_its_limits() -> None:
    (found,) = planned(roles=("embedding",), scaling=Scaling(max_replicas=5, memory_bytes=10)).models

    assert found.serve_options(queue_length=32) == {
        "num_replicas": None,
        "autoscaling_config": {"min_replicas": 1, "max_replicas": 5, "target_ongoing_requests": 16.0},
        "max_ongoing_requests": 64,
        "max_queued_requests": 32,
        "ray_actor_options": {"num_cpus": 1.0, "memory": 10},
    }


def test_replica_takes_as_many_requests_as_serve_gives_it() -> None:
    options = ClusterOptions(roles=("embedding",), scaling=Scaling(ongoing_requests=50))
    made = plan(options)

    (served,) = model_deployment(made.models[0], made, options)._bound_deployment.init_args  # type: ignore[attr-defined]

    assert served.server.queue_length == 50


def resources(scaling: Scaling | None = None, gpu_bytes: int | None = None) -> Resources:
    return resources_of(MODEL_REGISTRY.get_model(CODER), scaling or Scaling(), gpu_bytes)


def test_replica_takes_the_memory_of_the_estimate_and_that_of_its_process() -> None:
    found = resources()

    assert found.model_bytes is not None
    assert found == Resources(1.0, 0.0, found.model_bytes + 400 * 2**20, found.model_bytes)


def test_weights_are_in_main_memory_once_however_often_the_model_is_loaded() -> None:
    record = MODEL_REGISTRY.get_model(CODER)
    once, thrice = (resources_of(record, Scaling(), None, loaded).memory_bytes for loaded in (1, 3))

    assert once is not None
    assert thrice is not None
    assert once < thrice < 1.5 * once


def test_longer_context_takes_more() -> None:
    longer, usual = resources(Scaling(context_length=32_768)).memory_bytes, resources().memory_bytes

    assert longer is not None
    assert usual is not None
    assert longer > usual


def test_model_on_a_gpu_takes_a_part_of_it_and_little_main_memory() -> None:
    found, without = resources(gpu_bytes=24 * 10**9), resources()

    assert 0.2 < found.gpus < 0.35
    assert found.memory_bytes is not None
    assert without.memory_bytes is not None
    assert found.memory_bytes < without.memory_bytes / 4


def test_model_that_is_larger_than_a_gpu_takes_whole_ones() -> None:
    assert resources(gpu_bytes=4 * 10**9).gpus == 2


def test_what_is_stated_goes_before_the_estimate() -> None:
    stated = Scaling(cpus=3, gpus=1, memory_bytes=5)

    assert resources(stated, 24 * 10**9)[:3] == (3, 1, 5)
