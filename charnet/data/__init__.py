"""Turns a text into windows of ids: reads, decodes, normalizes, encodes and caches it, and cuts it into streams."""
