"""Receive uploads: stream them to disk, recognise their content, and sort them into sequences."""
