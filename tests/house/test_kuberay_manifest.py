"""docker/kuberay.yaml is a valid RayJob with valid pods and a valid command.

Pods are checked against Kubernetes' own schema. KubeRay's part is checked against the fields of its API reference
(ray.io/v1), as far as the manifest uses them, because no package contains the operator's schema.
"""

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
JOB = yaml.safe_load((ROOT / "docker" / "kuberay.yaml").read_text())

AMOUNT = {"type": "integer", "minimum": 0}
GROUP = {
    "rayStartParams": {"type": "object", "additionalProperties": {"type": "string"}},
    "template": {"type": "object"},
}


def closed(required: list[str], properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


RAY_JOB = closed(
    ["apiVersion", "kind", "metadata", "spec"],
    {
        "apiVersion": {"const": "ray.io/v1"},
        "kind": {"const": "RayJob"},
        "metadata": {"type": "object"},
        "spec": closed(
            ["entrypoint", "rayClusterSpec"],
            {
                "entrypoint": {"type": "string"},
                "shutdownAfterJobFinishes": {"type": "boolean"},
                "ttlSecondsAfterFinished": AMOUNT,
                "backoffLimit": AMOUNT,
                "rayClusterSpec": closed(
                    ["headGroupSpec"],
                    {
                        "rayVersion": {"type": "string"},
                        "authOptions": closed(["mode"], {"mode": {"enum": ["disabled", "token"]}}),
                        "enableInTreeAutoscaling": {"type": "boolean"},
                        "autoscalerOptions": closed([], {"idleTimeoutSeconds": AMOUNT}),
                        "headGroupSpec": closed(["template"], GROUP),
                        "workerGroupSpecs": {
                            "type": "array",
                            "items": closed(
                                ["groupName", "template"],
                                {
                                    **GROUP,
                                    "groupName": {"type": "string"},
                                    "replicas": AMOUNT,
                                    "minReplicas": AMOUNT,
                                    "maxReplicas": AMOUNT,
                                },
                            ),
                        },
                    },
                ),
            },
        ),
    },
)
CLUSTER = JOB["spec"]["rayClusterSpec"]
GROUPS = [CLUSTER["headGroupSpec"], *CLUSTER["workerGroupSpecs"]]


def test_manifest_is_a_valid_ray_job():
    import jsonschema

    jsonschema.validate(JOB, RAY_JOB)


@pytest.mark.parametrize("group", GROUPS, ids=["head", *(group["groupName"] for group in GROUPS[1:])])
def test_pods_match_kubernetes_schema(group):
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, **group["template"]}
    validate.validate(pod, "1.34", strict=True)
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True


def test_callers_need_token():
    assert CLUSTER["authOptions"] == {"mode": "token"}


def test_head_node_runs_no_workers():
    assert CLUSTER["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_command_parses():
    from brats_mm.cli.parser import make_parser

    words = shlex.split(JOB["spec"]["entrypoint"])
    options = make_parser().parse_args(words[1:])
    assert (words[0], options.command, options.ray) == ("brats-mm", "cohort", "auto")
