"""What a model becomes: input functions, networks, stages, evaluation, export (Keras on TF)."""
