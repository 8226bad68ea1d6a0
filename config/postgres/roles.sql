-- Roles for a ledger on PostgreSQL, each with what it needs and no more. Once, as a superuser, in the database of the ledger:
--
--   createdb sharestream && psql -v ON_ERROR_STOP=1 -d sharestream -f roles.sql
--
-- Then `sharestream ledger migrate` as sharestream_owner makes the tables and grants what is below; daemons come as sharestream_writer.
-- Passwords are given with \password, or by certificates: none stands here.

BEGIN;

-- Owns the tables; for migrations alone.
CREATE ROLE sharestream_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;
-- Daemons: append rows, move heads, keep documents. They cannot change a row that was written, nor drop a day that a chain still has.
CREATE ROLE sharestream_writer LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;
-- Looks: `ledger verify`, `streams`, `evidence`.
CREATE ROLE sharestream_reader LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;

DO $body$ BEGIN
  EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO sharestream_owner, sharestream_writer, sharestream_reader', current_database());
END $body$;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
CREATE SCHEMA sharestream AUTHORIZATION sharestream_owner;
GRANT USAGE ON SCHEMA sharestream TO sharestream_writer, sharestream_reader;

COMMIT;
