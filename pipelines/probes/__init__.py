"""Probes: test examples corrupted on purpose, to see what a model's answers survive.

Each family of corruptions has five severities. Which of them a training recipe has shown the model
before is worked out from its policy (`family.seen`); what counts for a gate is the rest.
"""
