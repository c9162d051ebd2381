"""Tables, one repository module per noun, sessions and migrations."""
