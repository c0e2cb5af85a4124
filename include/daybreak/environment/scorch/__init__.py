"""Scorching: emptying every declared data store of one environment, behind the interlocks.

A plan is made first (:func:`plan_scorch`), shown, kept, and then executed (:func:`execute_scorch`). One file
for each kind of store; each has ``find``, which only reads, and ``execute``, which deletes what is planned.
"""

from daybreak.environment.scorch.execute import ScorchFailed, ScorchResult, execute_scorch, plan_scorch
from daybreak.environment.scorch.plan import Item, Kind, ScorchPlan, Spared

__all__ = [
    "Item",
    "Kind",
    "ScorchFailed",
    "ScorchPlan",
    "ScorchResult",
    "Spared",
    "execute_scorch",
    "plan_scorch",
]
