"""Fixtures of tests that use the services with real servers."""

from __future__ import annotations

from fixtures import backends, cluster, ray_head, redis_backed

__all__ = ["backends", "cluster", "ray_head", "redis_backed"]
