"""Exercises of notebook 00: start here."""

from aae_lib.exercises.exercise import Exercise

EXERCISES: dict[str, Exercise] = {}
