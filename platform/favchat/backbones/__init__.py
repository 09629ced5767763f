"""Pretrained backbones: the package's own assets, and what a backbone's name means."""
