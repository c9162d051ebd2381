"""Fixtures of tests that use the services with real servers."""

from __future__ import annotations

from fixtures import backends, cluster, redis_backed

__all__ = ["backends", "cluster", "redis_backed"]
