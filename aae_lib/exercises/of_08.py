"""Exercises of notebook 08: dimensionality reduction."""

from aae_lib.exercises.exercise import Exercise

EXERCISES: dict[str, Exercise] = {}
