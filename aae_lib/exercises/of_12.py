"""Exercises of notebook 12: your own images."""

from aae_lib.exercises.exercise import Exercise

EXERCISES: dict[str, Exercise] = {}
