"""How the next experiments are chosen. Pure numerics: numbers in, numbers out."""
