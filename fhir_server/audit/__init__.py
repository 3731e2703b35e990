"""The audit trail's content: what is written down of an access, and the AuditEvent that tells it."""
