"""Exercises of notebook 11: generators compared."""

from aae_lib.exercises.exercise import Exercise

EXERCISES: dict[str, Exercise] = {}
