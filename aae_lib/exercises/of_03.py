"""Exercises of notebook 03: AAE versus VAE."""

from aae_lib.exercises.exercise import Exercise

EXERCISES: dict[str, Exercise] = {}
