"""Use cases, plain functions, one verb each."""
