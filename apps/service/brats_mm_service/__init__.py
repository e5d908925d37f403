"""HTTP service for `brats_mm`. It manages jobs and hosts viewers, and leaves all computation to the library."""
