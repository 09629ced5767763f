"""The whole road, from videos to a registered model, as one job whose steps are skipped where nothing changed."""
