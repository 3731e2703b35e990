"""The `load` command: bundles and NDJSON into a server's database, in parallel, resumable, with a report."""
