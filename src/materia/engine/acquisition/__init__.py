"""What a candidate is worth under the posterior."""
