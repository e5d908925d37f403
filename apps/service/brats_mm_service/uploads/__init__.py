"""Receive uploads: stream them to disk, tell what they are, and sort them into sequences."""
