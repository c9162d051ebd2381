"""FastAPI: routes, problem details and the WebSocket."""
