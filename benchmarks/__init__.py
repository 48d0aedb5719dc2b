"""Measurements: each prints its hardware, its versions and its date beside its numbers."""
