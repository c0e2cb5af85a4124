#!/bin/sh
# Secrets as files: what NAME_FILE names becomes NAME, for whatever this image runs. For names of secrets only:
# AWS_CONFIG_FILE, SSL_CERT_FILE and their like are paths, and stay.
set -eu

for name in $(env | sed -n 's/^\([A-Z_][A-Z0-9_]*\)_FILE=.*/\1/p'); do
  case $name in
    AWS_*) continue ;;
    AIRFLOW_CONN_* | DAYBREAK_* | *_PASSWORD | *_SECRET | *_TOKEN | *_KEY | *_CONN | *_CONN_ASYNC | *_BROKER_URL) ;;
    *) continue ;;
  esac
  eval "file=\$${name}_FILE"
  if [ -n "$(printenv "$name" || true)" ]; then
    echo "entrypoint: $name and ${name}_FILE are both set; say one of them" >&2
    exit 64
  fi
  [ -r "$file" ] || { echo "entrypoint: ${name}_FILE: $file cannot be read by user $(id -u)" >&2; exit 66; }
  value=$(cat "$file")
  export "$name=$value"
  unset "${name}_FILE"
done

exec "$@"
