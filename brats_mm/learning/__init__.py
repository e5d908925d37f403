"""Learn from corrections: corrected labels, selection of training cases, and the resulting model versions."""
