.DEFAULT_GOAL := help
.PHONY: demo test check setup clean help
# A stack is many interpreters; each would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

demo: setup ## run a real campaign on a stack of its own, live in the terminal (KEEP=1 leaves it up)
	@.venv/bin/python examples/demo.py

test: setup ## run every check and the whole test suite, real servers included
	@scripts/test

check: setup ## format, lint, types, direction of imports
	@scripts/check

setup: ## make .venv with everything in it; does nothing when it is up to date
	@scripts/setup

clean: ## remove caches and what demo runs left (neither .venv nor materia-data)
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist build \
	  demo-output demo-data
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10
