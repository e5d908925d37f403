"""Jobs: records, files, states, and the order in which they run."""
