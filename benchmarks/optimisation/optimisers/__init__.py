"""One optimiser a file: a class `Optimiser(declaration)` with `tell`, `ask` and `predict`.

`PACKAGES` names what the figures depend on. `predict` returns mean and standard deviation of the
noise-free outcomes, both (n, n_outcomes) as lists, or None.
"""
