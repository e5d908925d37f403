"""What every output and every host says of itself; a file of its own, so that `--help` loads nothing for it."""

NOT_FOR_DIAGNOSIS = "Research software. Not a medical device; not for diagnosis or treatment decisions."
