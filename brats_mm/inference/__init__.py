"""Turn a case into a prediction."""
