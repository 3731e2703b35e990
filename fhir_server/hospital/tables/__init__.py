"""The hospital's own tables, in and out: `import-hms` and `export-hms`, from and to CSV files or PostgreSQL."""
