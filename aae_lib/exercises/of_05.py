"""Exercises of notebook 05: style and content."""

from aae_lib.exercises.exercise import Exercise

EXERCISES: dict[str, Exercise] = {}
