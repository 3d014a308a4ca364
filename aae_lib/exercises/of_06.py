"""Exercises of notebook 06: semi-supervised classification."""

from aae_lib.exercises.exercise import Exercise

EXERCISES: dict[str, Exercise] = {}
