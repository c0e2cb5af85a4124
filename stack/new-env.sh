#!/bin/sh
# usage: stack/new-env.sh [demo]
# Writes .env with fresh secrets for docker-compose.yaml, for this user's eyes only; never over one that is there.
# With `demo`: the profile of that name too, and team.env for its stand-ins.
set -eu
cd "$(dirname "$0")/.."

random() { python3 -c 'import secrets; print(secrets.token_hex(24))'; }
fernet() { python3 -c 'import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())'; }

case "${1:-}" in
  "" | demo) ;;
  *) echo "usage: stack/new-env.sh [demo]" >&2; exit 64 ;;
esac
for file in .env team.env; do
  if [ -e "$file" ] && { [ "$file" = .env ] || [ "${1:-}" = demo ]; }; then
    echo "$file is there already; move it away first" >&2
    exit 1
  fi
done

umask 077
set -o noclobber
postgres=$(random)
cat > .env <<EOF
# Secrets of the stack. Passwords end up in URLs: letters and digits only.
POSTGRES_PASSWORD=$postgres
AIRFLOW_DB_PASSWORD=$(random)
REGISTRY_PASSWORD=$(random)
REDIS_PASSWORD=$(random)
# Who knows it may start programs in the service \`host\`.
HOST_TOKEN=$(random)
# Encrypts connections in Airflow's database: without it they are lost.
AIRFLOW_FERNET_KEY=$(fernet)
AIRFLOW_SECRET_KEY=$(random)
AIRFLOW_JWT_SECRET=$(random)
AIRFLOW_ADMIN_PASSWORD=$(random)
AIRFLOW_BOT_PASSWORD=$(random)
EOF
if [ "${1:-}" = demo ]; then
  cat stack/demo/stack.env >> .env
  { cat stack/demo/standins.env; echo "DEV_SQL_PASSWORD=$postgres"; } > team.env
fi
echo "wrote .env; the first login is admin with AIRFLOW_ADMIN_PASSWORD"
