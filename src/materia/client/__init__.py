"""Python SDK; depends on mdl and httpx only."""
