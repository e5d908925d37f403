"""Workers: the processes that hold the model, and what starts, watches and stops them."""
