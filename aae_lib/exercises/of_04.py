"""Exercises of notebook 04: choosing the prior."""

from aae_lib.exercises.exercise import Exercise

EXERCISES: dict[str, Exercise] = {}
