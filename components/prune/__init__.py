"""Structured pruning: whole channels leave, so that every file and every step gets smaller."""
