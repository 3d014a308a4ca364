"""Adversarial autoencoders, reproduced: models, one training loop, measures, figures and an explorer."""

__version__ = "0.1.0"
