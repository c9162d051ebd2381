"""`materia up`: the process table, its supervisor and the embedded Redis."""
