"""HTTP service for `brats_mm`. It manages jobs and serves viewers. The library does all computation."""
