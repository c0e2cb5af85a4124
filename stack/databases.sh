#!/bin/sh
# Runs once, when the postgres volume is empty: two databases, each with an owner that cannot read the other.
set -eu

database() { # NAME PASSWORD
  psql --username "$POSTGRES_USER" --dbname postgres --set ON_ERROR_STOP=1 --set name="$1" --set password="$2" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
SQL
}

database airflow "$AIRFLOW_DB_PASSWORD"
database daybreak "$REGISTRY_PASSWORD"
