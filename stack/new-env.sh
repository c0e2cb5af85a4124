#!/bin/sh
# Writes .env with fresh secrets for docker-compose.yaml, for this user's eyes only; never over one that is there.
set -eu
cd "$(dirname "$0")/.."

random() { python3 -c 'import secrets; print(secrets.token_hex(24))'; }
fernet() { python3 -c 'import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())'; }

umask 077
set -o noclobber
cat > .env <<EOF
# Secrets of the stack. Passwords end up in URLs: letters and digits only.
POSTGRES_PASSWORD=$(random)
AIRFLOW_DB_PASSWORD=$(random)
REGISTRY_PASSWORD=$(random)
# Encrypts connections in Airflow's database: without it they are lost.
AIRFLOW_FERNET_KEY=$(fernet)
AIRFLOW_SECRET_KEY=$(random)
AIRFLOW_JWT_SECRET=$(random)
AIRFLOW_ADMIN_PASSWORD=$(random)
AIRFLOW_BOT_PASSWORD=$(random)
EOF
echo "wrote .env; the first login is admin with AIRFLOW_ADMIN_PASSWORD"
