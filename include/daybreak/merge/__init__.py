"""How a change reaches main: the queue, its attempts, and the landing of exactly what was tested."""
