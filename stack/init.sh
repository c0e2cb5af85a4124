#!/bin/sh
# Makes a new installation ready and brings an older one up to date; runs to its end at every start of the stack.
set -eu

airflow db migrate
daybreak registry migrate

# Only the pools that are missing: what an admin resized stays so.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
airflow pools export "$work/present.json"
python -m daybreak.orchestration.pools --beside "$work/present.json" > "$work/missing.json"
airflow pools import "$work/missing.json"

create() { # NAME ROLE PASSWORD; a user that is there is left as it is
  airflow users create --username "$1" --role "$2" --password "$3" \
    --firstname "$1" --lastname Daybreak --email "$1@daybreak.invalid"
}

# The first password of a person is changed in the UI; the bot's is always that of the environment.
create admin Admin "$AIRFLOW_ADMIN_PASSWORD"
create bot User "$AIRFLOW_BOT_PASSWORD"
airflow users reset-password --username bot --password "$AIRFLOW_BOT_PASSWORD"
