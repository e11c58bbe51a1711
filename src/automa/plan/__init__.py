"""What a workflow would do, told without running anything."""

from automa.plan.plan import Fate, Plan, PlannedStep, WayBack, plan_of

__all__ = ["Fate", "Plan", "PlannedStep", "WayBack", "plan_of"]
