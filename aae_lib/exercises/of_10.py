"""Exercises of notebook 10: AGE."""

from aae_lib.exercises.exercise import Exercise

EXERCISES: dict[str, Exercise] = {}
