"""Connections, pools, and the link that greenlets share."""
