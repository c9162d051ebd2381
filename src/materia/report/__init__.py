"""Plots and a self-contained report of a campaign, from plain data."""
