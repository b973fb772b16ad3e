"""The HTTP surface: status page, metrics, health and the JSON API."""
