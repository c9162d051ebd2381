"""HTTP and WebSocket: each route unpacks, calls one service, and packs the answer."""
