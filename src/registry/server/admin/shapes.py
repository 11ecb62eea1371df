"""What administration is asked and answers: JSON Schemas for its description."""

from __future__ import annotations

from registry.server.schemas import Schema, object_of, reference, success

MOST_ROLES = 100  # in one request
MOST_LETTERS = 200  # of the name of one

_STRING: Schema = {"type": "string"}
_MAYBE_STRING: Schema = {"type": ["string", "null"]}
_COUNT: Schema = {"type": ["integer", "null"], "minimum": 0}
_ANYTHING: Schema = {"type": "object", "description": "By the names of this library."}
_STATE: Schema = {
    "enum": ["unknown", "provisioning", "ready", "skipped", "failed"],
    "description": "`unknown`: nobody has asked for it. `skipped`: its providers cannot be asked, or may not fetch. "
    "`ready`: it was had ready, and stays so whatever a later run comes to.",
}
_OUTCOME = object_of(
    {
        "role": _STRING,
        "model": {**_STRING, "description": "Name of the model, as the role has it."},
        "provider": _STRING,
        "action": {"enum": ["already_present", "downloaded", "pulled", "skipped", "failed"]},
        "seconds": {"type": "number", "minimum": 0},
        "bytes": {**_COUNT, "description": "Bytes that were fetched; `null` where the provider does not tell."},
        "reason": {**_MAYBE_STRING, "description": "Why it was skipped or has failed, and what to do."},
    }
)
_REPORT = object_of(
    {
        "profile": _STRING,
        "ok": {"type": "boolean", "description": "True where every role has a model that is ready."},
        "unserved": {"type": "array", "items": _STRING, "description": "Roles that have no model that is ready."},
        "outcomes": {"type": "array", "items": reference("ProvisioningOutcome")},
    }
)
_ROLE = object_of(
    {
        "role": _STRING,
        "name": {**_STRING, "description": "Id or alias of a record, or a name that the provider knows."},
        "provider": {**_MAYBE_STRING, "description": "As it is stated; `null`: it follows from the name."},
        "auto_download": {"type": ["boolean", "null"], "description": "As it is stated."},
        "parameters": {"type": "object", "description": "As they are stated, by the names of the provider."},
        "description": _MAYBE_STRING,
        "fallback": {"type": "array", "items": _STRING},
        "origin": {
            **_STRING,
            "description": "`compiled`, the manifest that states it, or `given` when the server was started.",
        },
    }
)
_PASSED_OVER = object_of(dict.fromkeys(("provider", "model", "reason", "remedy"), _STRING))
_CANDIDATE = object_of(
    {
        "provider": _STRING,
        "model": _STRING,
        "record": {**_MAYBE_STRING, "description": "Id of the record; `null` where it is none of this registry."},
        "parameters": _ANYTHING,
        "auto_download": {"type": "boolean"},
    }
)
_RESOLUTION = object_of(
    {
        "role": _STRING,
        "profile": _STRING,
        "provider": {**_STRING, "description": "Provider that is asked first."},
        "model": {**_STRING, "description": "Model that is asked for first."},
        "parameters": {**_ANYTHING, "description": "What that one generates with, after all overrides."},
        "candidates": {"type": "array", "items": _CANDIDATE, "description": "All that may serve it, in order."},
        "passed_over": {"type": "array", "items": _PASSED_OVER},
        "why": {"type": "array", "items": _STRING, "description": "How that came about, in sentences."},
    }
)
_ACTIVE_ROLE = object_of(
    {
        **_ROLE["properties"],
        "resolved": {"anyOf": [reference("RoleResolution"), {"type": "null"}]},
        "problem": {**_MAYBE_STRING, "description": "Why it cannot be resolved."},
        "state": _STATE,
        "outcomes": {
            "type": "array",
            "items": reference("ProvisioningOutcome"),
            "description": "What came of the latest provisioning.",
        },
    }
)
_PROFILE = {"name": _STRING, "description": _MAYBE_STRING}
_MODELS = object_of(
    {
        "active": {"anyOf": [reference("ActiveProfile"), {"type": "null"}]},
        "profiles": {"type": "array", "items": reference("ServedProfile")},
    }
)
_READINESS = object_of(
    {
        "status": {"enum": ["ready", "provisioning", "preparing", "failed"]},
        "profile": _MAYBE_STRING,
        "roles": {"type": "object", "additionalProperties": _STATE, "description": "State of each role."},
        "adapters": {
            **object_of(
                {
                    "manifest": {"enum": ["settled", "preparing", "unusable"], "description": "How far its latest is."},
                    "refused": {"type": "array", "items": _STRING, "description": "Ids; the log says why."},
                }
            ),
            "description": "Left out where no manifest is watched.",
        },
    },
    required=["status", "profile", "roles"],
)
_NOT_READY = object_of(
    {
        "success": {"const": False},
        "error": object_of(dict.fromkeys(("code", "message", "hint"), _STRING)),
        "data": reference("Readiness"),
    },
    required=["success", "error"],
)

SCHEMAS: dict[str, Schema] = {
    "ProvisioningRequest": object_of(
        {
            "roles": {
                "type": ["array", "null"],
                "maxItems": MOST_ROLES,
                "items": {"type": "string", "minLength": 1, "maxLength": MOST_LETTERS},
                "description": "Roles of the active profile; left out: all.",
            },
            "force": {
                "type": "boolean",
                "default": False,
                "description": "True to look again at what is ready, and have the providers prove it.",
            },
        },
        required=[],
    ),
    "ProvisioningOutcome": _OUTCOME,
    "ProvisioningReport": _REPORT,
    "ProvisioningAnswer": success(reference("ProvisioningReport")),
    "RoleResolution": _RESOLUTION,
    "ServedProfile": object_of({**_PROFILE, "roles": {"type": "array", "items": _ROLE}}),
    "ActiveProfile": object_of({**_PROFILE, "roles": {"type": "array", "items": _ACTIVE_ROLE}}),
    "ProfilesAnswer": success(_MODELS),
    "Readiness": _READINESS,
    "ReadinessAnswer": success(reference("Readiness")),
    "NotReady": _NOT_READY,
}
