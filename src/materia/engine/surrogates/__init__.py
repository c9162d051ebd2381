"""Models of the objectives: fit(X, Y), then posterior(X) gives mean and std."""
