"""Exercises of notebook 09: likelihood."""

from aae_lib.exercises.exercise import Exercise

EXERCISES: dict[str, Exercise] = {}
