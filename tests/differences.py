"""What differs from redis-py on purpose, with the reason. docs/migrating.md tells the same to users."""

from __future__ import annotations

# Methods whose words may differ.
DIFFERENT_WORDS = {
    "hscan": "no_values=False is as good as None: redis-py sends NOVALUES for it",
    "hscan_iter": "as hscan",
}
# Methods whose replies may differ.
DIFFERENT_REPLIES = {
    "slowlog_get": "its words are never decoded: arguments may be any bytes, and redis-py fails on them",
}
# Public names of redis-py's Redis that are not there.
MISSING = {
    "himport_registry": "internal to redis-py's HIMPORT; here the pool has `fieldsets`",
    "himport_prepare_internal": "internal to redis-py's HIMPORT",
    "himport_discard_internal": "internal to redis-py's HIMPORT",
    "himport_discard_all_internal": "internal to redis-py's HIMPORT",
}
