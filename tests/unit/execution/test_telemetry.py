"""Importing the package disables the usage reports of its dependencies. `tests/end_to_end/test_no_network.py` observes it."""

import os
import subprocess
import sys


def test_any_import_of_the_package_disables_reports():
    """Handlers of training import MLflow, and the cluster imports Ray, without the command line."""
    program = (
        "import os, sys, brats_mm\n"
        "assert sys.modules['openvino_telemetry'] is None\n"
        "assert os.environ['MLFLOW_DISABLE_TELEMETRY'] == 'true'\n"
        "assert os.environ['RAY_USAGE_STATS_ENABLED'] == '0'\n"
        "assert 'torch' not in sys.modules\n"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW", "RAY"))}
    subprocess.run([sys.executable, "-c", program], check=True, timeout=600, env=kept)
