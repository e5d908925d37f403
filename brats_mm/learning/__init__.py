"""Learn from corrections: corrected labels, which of them to train on, and the versions of the model that result."""
