"""Reads records and checkpoints, draws: TensorBoard events and PNG."""
