"""The HTTP service around `brats_mm`: jobs in, segmentation, entropy, importance out. A host: it computes nothing."""
