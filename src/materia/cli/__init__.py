"""The `materia` command, one file per noun."""
