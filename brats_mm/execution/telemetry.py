"""Disable usage reports of dependencies, to prevent connections that the user did not request.

`import brats_mm` calls `disable_usage_reports`, because it must precede the import of such a dependency. It changes the
environment, which child processes inherit.
"""

import os
import sys

_OFF = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_REPORT_URL": "http://127.0.0.1:9/",  # Ray also reports that its reports are disabled
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "FASTAPI_OTEL_AUTO_CONFIGURE": "false",
    "DO_NOT_TRACK": "true",
}
"""Environment variables that disable the usage reports of Ray, MLflow, Hugging Face and FastAPI."""


def disable_usage_reports() -> None:
    """Switch off the reports of OpenVINO, Ray, MLflow, Hugging Face and FastAPI in this process and its children.

    OpenVINO has no such variable. It uses a stub if its telemetry package cannot be imported.
    """
    os.environ.update(_OFF)
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # (None makes a module not importable)
