"""What a model's name means (directory, hub name, registered model, the package's own), and loading it."""
