"""The disclaimer of all outputs. It has a separate module so that `--help` imports nothing else."""

NOT_FOR_DIAGNOSIS = "Research software. Not a medical device; not for diagnosis or treatment decisions."
