"""Models that are served: versions with their promotion bundles, history, signatures, roll-back."""
