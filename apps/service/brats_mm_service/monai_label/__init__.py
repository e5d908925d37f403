"""The routes of MONAI Label and of MONAIAuto3DSeg."""
