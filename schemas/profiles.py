"""The profiles of a refresh, from the quickest to the whole one; the command line offers them."""

PROFILES = ("smoke", "demo", "full")
