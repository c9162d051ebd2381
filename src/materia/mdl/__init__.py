"""What the user declares, as frozen models. No behaviour."""
