"""Inference: from a case to a prediction."""

from brats_mm.execution.telemetry import switch_off

switch_off()  # before any module of this package imports OpenVINO
