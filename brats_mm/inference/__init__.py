"""Inference: from a case to a prediction."""
