"""Celery: the app, the durable base task and thin task bodies."""
