#!/bin/sh
# What the entrypoint of the official image does: it makes the data where there is none, sets the
# superuser's password, makes the database, and becomes the server.
set -eu
sockets=/var/run/postgresql
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  initdb --pgdata="$PGDATA" --username=postgres --pwfile="$POSTGRES_PASSWORD_FILE" \
    --auth-local=trust --auth-host=scram-sha-256 >/dev/null
  echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
  pg_ctl --pgdata="$PGDATA" --options="-c listen_addresses= -k $sockets" --silent --wait start
  createdb --host="$sockets" --username=postgres "$POSTGRES_DB"
  pg_ctl --pgdata="$PGDATA" --silent --wait stop
fi
exec "$@" -k "$sockets" -c listen_addresses='*'
