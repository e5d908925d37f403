"""The DICOMweb server that studies are fetched from and results stored in."""
