"""Fetch studies from a DICOMweb server and store results in it."""
