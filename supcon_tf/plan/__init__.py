"""Plans a run: steps, operations, memory, communication and time, with nothing trained, read or written."""

from supcon_tf.plan.fits import Fit, fits
from supcon_tf.plan.make import Plan, make_plan
from supcon_tf.plan.stage import StagePlan, total

__all__ = ["Fit", "Plan", "StagePlan", "fits", "make_plan", "total"]
