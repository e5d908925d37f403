"""Data of viewers: cases on the server, uploaded images, sessions, label maps."""
