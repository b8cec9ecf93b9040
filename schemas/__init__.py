"""Room 0: what recipes, examples, manifests and reports look like. No Beam, TF or TFX here."""
