"""Exercises of notebook 02: the adversarial autoencoder."""

from aae_lib.exercises.exercise import Exercise

EXERCISES: dict[str, Exercise] = {}
