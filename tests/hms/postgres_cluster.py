"""A PostgreSQL of the test's own: a cluster in a directory of its own, on a Unix socket and on no port."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg


def binaries() -> Path | None:
    """Return where PostgreSQL's programs are, or None where it is not installed."""
    paths = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return paths[-1].parent if paths else Path(on_path).parent if on_path else None


@contextmanager
def cluster() -> Iterator[str]:
    """Give the URL of a running, empty database server, to which a database's name is to be added."""
    programs = binaries()
    assert programs is not None
    # Of its own, and with a short name: PostgreSQL limits the length of a socket's path, and its user must get in.
    directory = Path(tempfile.mkdtemp(prefix="pg-"))
    user = _user()
    if user is not None:
        shutil.chown(directory, user)
    options = f"-c listen_addresses= -c unix_socket_directories={directory} -c fsync=off"
    try:
        _run(user, str(programs / "initdb"), "-D", f"{directory}/data", "-A", "trust", "-U", "hospital", "-E", "UTF8")
        start = ["-D", f"{directory}/data", "-o", options, "-l", f"{directory}/log", "-w", "start"]
        _run(user, str(programs / "pg_ctl"), *start)
        try:
            yield f"postgresql://hospital@/{{}}?host={directory}"
        finally:
            _run(user, str(programs / "pg_ctl"), "-D", f"{directory}/data", "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _user() -> str | None:
    """Return whom to run it as: root may not, anybody else may."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _run(user: str | None, *command: str) -> None:
    prefix = ["runuser", "-u", user, "--"] if user else []
    subprocess.run([*prefix, *command], check=True, capture_output=True, cwd="/")


def created(cluster_url: str, name: str) -> str:
    """Make a database and return its URL."""
    with psycopg.connect(cluster_url.format("postgres"), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return cluster_url.format(name)


SCHEMA = """
CREATE TYPE user_status AS ENUM ('active', 'inactive', 'banned');
CREATE TYPE appointment_status AS ENUM ('scheduled', 'rescheduled', 'canceled', 'completed');
CREATE TABLE users (
  id serial PRIMARY KEY, first_name varchar(100) NOT NULL, last_name varchar(100), email varchar(255) UNIQUE NOT NULL,
  phone varchar(20), password_hash text, profile_picture text, timezone varchar(50), language varchar(10),
  status user_status NOT NULL DEFAULT 'active', {times});
CREATE TABLE user_family (
  id serial PRIMARY KEY, user_id int NOT NULL REFERENCES users ON DELETE CASCADE, name varchar(100),
  relation varchar(20), dob date, {times});
CREATE TABLE clinics (
  id serial PRIMARY KEY, name varchar(255), address text, city varchar(100), state varchar(100), country varchar(100),
  postal_code varchar(20), latitude numeric(10, 7), longitude double precision, phone varchar(20), email varchar(255),
  {times});
CREATE TABLE specialties (
  id serial PRIMARY KEY, clinic_id int NOT NULL REFERENCES clinics ON DELETE CASCADE, name varchar(100), {times});
CREATE TABLE doctors (
  id serial PRIMARY KEY, name varchar(255), specialty_id int REFERENCES specialties, clinic_id int REFERENCES clinics,
  email varchar(255), phone varchar(20), experience_years int, photo text, {times});
CREATE TABLE appointments (
  id uuid PRIMARY KEY, user_id int NOT NULL REFERENCES users ON DELETE CASCADE, doctor_id int REFERENCES doctors,
  clinic_id int REFERENCES clinics, specialty_id int REFERENCES specialties, appointment_date date NOT NULL,
  appointment_time time NOT NULL, status appointment_status NOT NULL, {times});
CREATE TABLE payments (
  id serial PRIMARY KEY, appointment_id uuid NOT NULL REFERENCES appointments ON DELETE CASCADE, amount numeric(10, 2),
  currency char(3), payment_method varchar(20), status varchar(20), transaction_id varchar(255), {times});
CREATE TABLE treatment_plans (
  id serial PRIMARY KEY, appointment_id uuid NOT NULL REFERENCES appointments ON DELETE CASCADE, description text,
  {times});
CREATE TABLE prescriptions (
  id serial PRIMARY KEY, treatment_plan_id int NOT NULL REFERENCES treatment_plans ON DELETE CASCADE,
  medicine_name varchar(255), dosage varchar(100), frequency varchar(100), duration varchar(100), {times});
CREATE TABLE lab_tests (
  id serial PRIMARY KEY, treatment_plan_id int NOT NULL REFERENCES treatment_plans ON DELETE CASCADE,
  test_name varchar(255), result text, status varchar(20), {times});
CREATE TABLE medical_documents (
  id serial PRIMARY KEY, user_id int NOT NULL REFERENCES users ON DELETE CASCADE,
  appointment_id uuid REFERENCES appointments, document_type varchar(20), file_url text, {times});
CREATE TABLE notifications (
  id serial PRIMARY KEY, user_id int NOT NULL REFERENCES users ON DELETE CASCADE, message text, is_read boolean,
  {times});
CREATE TABLE visit_tracking (
  id serial PRIMARY KEY, appointment_id uuid NOT NULL REFERENCES appointments ON DELETE CASCADE,
  check_in_time timestamptz, check_out_time timestamptz, current_wait_time int, status varchar(20), {times});
""".replace("{times}", "created_at timestamptz NOT NULL, updated_at timestamp, deleted_at timestamptz")
"""Thirteen tables with foreign keys, enumerations, and times of both kinds."""
