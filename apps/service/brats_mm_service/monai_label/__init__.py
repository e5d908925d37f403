"""Routes of MONAI Label and MONAIAuto3DSeg."""
