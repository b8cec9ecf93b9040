"""Room 2: how a dataset comes to be (Beam only in `survey` and `build`)."""
