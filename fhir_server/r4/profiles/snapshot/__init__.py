"""Snapshots: what a profile's differential and its base definition say together, element by element.

`tree` reads lists of elements as trees, `elements` merges one element, `generate` walks both trees.
https://hl7.org/fhir/R4/profiling.html#snapshot
"""

from fhir_server.r4.profiles.snapshot.generate import SnapshotError, Trees, generate_snapshot, snapshot_of

__all__ = ["SnapshotError", "Trees", "generate_snapshot", "snapshot_of"]
