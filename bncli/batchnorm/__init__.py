"""The mathematics of per-pixel batch normalization; knows numpy and nothing else."""
