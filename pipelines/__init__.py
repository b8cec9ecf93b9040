"""What turns recipes into datasets: augmentation, dataset building, refresh."""
