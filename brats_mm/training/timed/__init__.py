"""Training within a given number of minutes: packed cases, tensor augmentation, one loop for CPU and GPU."""
