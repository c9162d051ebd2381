"""Black boxes behind one interface: evaluate(params, seed) gives outcomes and metadata."""
