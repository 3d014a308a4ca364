"""Exercises of notebook 13: AGE in color."""

from aae_lib.exercises.exercise import Exercise

EXERCISES: dict[str, Exercise] = {}
