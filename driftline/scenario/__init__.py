"""Scenarios: a world and steps in a TOML file, each with what is to come of it, played and explained."""

from driftline.scenario.file import ScenarioError, ScenarioFile, load
from driftline.scenario.play import Ground, Played, play

__all__ = ["Ground", "Played", "ScenarioError", "ScenarioFile", "load", "play"]
