"""Event models and the stream they travel on."""
