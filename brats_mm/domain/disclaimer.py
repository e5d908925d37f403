"""The disclaimer of all outputs. In its own module, so that `--help` loads nothing else."""

NOT_FOR_DIAGNOSIS = "Research software. Not a medical device; not for diagnosis or treatment decisions."
