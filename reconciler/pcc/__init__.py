"""LG's PCC: the only package that speaks HTTP to it, and the only user of httpx."""
