"""Worker processes that hold the model, and their supervision."""
