"""Watching models in production: metrics for Prometheus."""
