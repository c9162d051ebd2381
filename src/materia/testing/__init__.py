"""Checks that every implementation of an interface passes, ours and those of other packages."""
