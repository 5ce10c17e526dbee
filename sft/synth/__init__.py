"""Draws samples with known truth."""
