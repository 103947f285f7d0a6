"""The manifests in docs/fleet.md have the form that Kubernetes and Compose want, and their commands run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from tests.fleet.servers import traffic
from typer.testing import CliRunner

from ragwheel.cli import app

PAGE = Path(__file__).parents[2] / "docs" / "fleet.md"


def manifest(name):
    text = PAGE.read_text("utf-8")
    return yaml.safe_load(re.search(rf"<!-- manifest: {name} -->\n\n```yaml\n(.*?)```", text, re.DOTALL)[1])


def commands():
    pod = manifest("kubernetes")["spec"]["template"]["spec"]
    compose = manifest("compose")["services"]["ship"]["command"]
    return {"kubernetes": pod["initContainers"][0]["command"], "compose": compose}


def test_the_pod_has_a_sidecar_on_the_same_volume_and_database():
    spec = manifest("kubernetes")["spec"]
    pod = spec["template"]["spec"]
    (ship,), (main,) = pod["initContainers"], pod["containers"]
    assert ship["restartPolicy"] == "Always"
    assert ship["env"] == main["env"]
    assert ship["volumeMounts"] == main["volumeMounts"]
    assert {mount["name"] for mount in ship["volumeMounts"]} == {
        claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]
    }
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]


def test_the_services_share_a_volume_and_database():
    file = manifest("compose")
    app_, ship = file["services"]["app"], file["services"]["ship"]
    assert app_["environment"] == ship["environment"]
    assert app_["volumes"] == ship["volumes"]
    assert app_["volumes"][0].partition(":")[0] in file["volumes"]


@pytest.mark.parametrize("where", ["kubernetes", "compose"])
def test_the_command_ships_as_a_plain_process(server, tmp_path, where):
    traffic(server("ragwheel"))
    program, *arguments = commands()[where]
    assert program == "ragwheel"
    arguments = [
        str(tmp_path / "lake") if argument.startswith("s3://") else argument for argument in arguments
    ]
    result = CliRunner().invoke(
        app, [*arguments, "--once"], env={"RAGWHEEL_DB": str(tmp_path / "ragwheel.db")}
    )
    assert result.exit_code == 0, result.output
    assert (tmp_path / "lake" / "_ragwheel.json").is_file()
