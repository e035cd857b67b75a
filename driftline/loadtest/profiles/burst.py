"""All instances at once."""

from driftline.loadtest.profile import Shape
from driftline.trace import TraceRow


def rows(shape: Shape) -> list[TraceRow]:
    """Instances that are all due at second 0 and stay."""
    return [TraceRow(line=index, name=str(index), created_s=0.0) for index in range(1, shape.instances + 1)]
