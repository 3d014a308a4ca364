"""Exercises of notebook 07: clustering."""

from aae_lib.exercises.exercise import Exercise

EXERCISES: dict[str, Exercise] = {}
