#!/bin/sh
# Run once by the Postgres image on an empty volume: the role that the API and the worker use. It owns nothing;
# `postroom-api admin grant` gives it what it needs after the migrations.
set -eu
psql -v ON_ERROR_STOP=1 -v password="$APP_PASSWORD" --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<-'SQL'
	create role postroom_app login password :'password';
SQL
