"""One module per noun. Routes are plain functions: they run in threads and may wait."""
