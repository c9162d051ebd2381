"""A Ray cluster: where it is, what its nodes say, and a map over it. Only the driver loads Ray."""
