"""One module per noun; every route calls one service."""
