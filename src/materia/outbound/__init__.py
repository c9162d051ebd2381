"""What leaves for an address that somebody configured, and what keeps it from going elsewhere."""
