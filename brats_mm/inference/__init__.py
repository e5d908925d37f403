"""Inference: from a case to a prediction."""

from brats_mm.execution.telemetry import disable_usage_reports

disable_usage_reports()  # before any module of this package imports OpenVINO
