"""What `/metrics` shows of this process: numbers by kinds of things, never by whose or which.

A label's values come from a list of ours (interactions, endpoints, commands, jobs), so there are never many of them and
none is an id. https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_PREFIX = "fhir_server"
_LATENCIES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LAGS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

REQUESTS = Counter(f"{_PREFIX}_requests", "Requests that were answered.", ("service", "interaction", "status"))
REQUEST_SECONDS = Histogram(
    f"{_PREFIX}_request_seconds",
    "Time until the answer of a request began.",
    ("service", "interaction"),
    buckets=_LATENCIES,
)
IN_PROGRESS = Gauge(f"{_PREFIX}_requests_in_progress", "Requests under way.", multiprocess_mode="livesum")
SIGN_INS = Counter(f"{_PREFIX}_sign_ins", "Sign-ins and requests for tokens.", ("event", "outcome"))
STREAMS = Gauge(f"{_PREFIX}_notification_streams", "Open notification streams.", multiprocess_mode="livesum")

COMMAND_SECONDS = Histogram(
    f"{_PREFIX}_database_command_seconds",
    "Time that commands took in the database.",
    ("command",),
    buckets=_LATENCIES,
)
COMMAND_FAILURES = Counter(
    f"{_PREFIX}_database_command_failures", "Commands that the database refused, or that got no answer.", ("command",)
)
CONNECTIONS = Gauge(
    f"{_PREFIX}_database_connections", "Connections to the database.", ("state",), multiprocess_mode="livesum"
)
CONNECTION_WAIT_SECONDS = Histogram(
    f"{_PREFIX}_database_connection_wait_seconds", "Time that commands waited for a connection.", buckets=_LAGS
)
SLOW_COMMANDS = Counter(f"{_PREFIX}_database_slow_commands", "Commands that took longer than SLOW_QUERY_MS.")

LOOP_LAG_SECONDS = Histogram(
    f"{_PREFIX}_event_loop_lag_seconds", "How much later than wanted the event loop came to a timer.", buckets=_LAGS
)
MEMORY_BYTES = Gauge(f"{_PREFIX}_memory_bytes", "Resident memory of each worker.", multiprocess_mode="liveall")

NOTIFICATIONS = Counter(
    f"{_PREFIX}_subscription_notifications", "Notifications of subscriptions that were tried.", ("channel", "outcome")
)

JOB_RUNNING = Gauge(
    f"{_PREFIX}_job_running", "Whether a worker is at the job.", ("job",), multiprocess_mode="livemostrecent"
)
JOB_LAG_SECONDS = Gauge(
    f"{_PREFIX}_job_lag_seconds",
    "For how long the job has been due while no worker took it.",
    ("job",),
    multiprocess_mode="livemostrecent",
)
JOB_FAILED = Gauge(
    f"{_PREFIX}_job_failed", "Whether the job failed the last time.", ("job",), multiprocess_mode="livemostrecent"
)
QUEUE_WAITING = Gauge(
    f"{_PREFIX}_queue_waiting", "What waits in a queue.", ("queue",), multiprocess_mode="livemostrecent"
)
QUEUE_OLDEST_SECONDS = Gauge(
    f"{_PREFIX}_queue_oldest_seconds",
    "For how long the oldest in a queue has been waiting.",
    ("queue",),
    multiprocess_mode="livemostrecent",
)
AUDIT_BACKLOG_BYTES = Gauge(
    f"{_PREFIX}_audit_backlog_bytes",
    "Accesses in the journal of this machine that are not in the database yet.",
    multiprocess_mode="livemostrecent",
)
BACKUP_AGE_SECONDS = Gauge(
    f"{_PREFIX}_backup_age_seconds", "Age of the newest backup in BACKUP_DIR.", multiprocess_mode="livemostrecent"
)
DISK_FREE_BYTES = Gauge(
    f"{_PREFIX}_disk_free_bytes", "Free bytes of the disk of DATA_DIR.", multiprocess_mode="livemostrecent"
)
