"""Faster HTTP/1.x: heads of requests and responses, and the streams that carry them."""
