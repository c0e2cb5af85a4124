"""Lock files: the third-party distributions that are really installed for a resource.

A lock serves many resources, and one bump in it changes few of them. So a lock is read as a graph, and what
a resource reaches in it (its closure) is hashed: name, version, source, hashes, markers, extras. What a
resolver writes besides (sizes, times of upload, comments, order) is not in a closure.
"""

from daybreak.change.locks.formats import read
from daybreak.change.locks.resolved import Closure, Lock, LockError, Node, difference

__all__ = ["Closure", "Lock", "LockError", "Node", "difference", "read"]
