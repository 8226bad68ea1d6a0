import { toHex } from '../../base/bytes.ts';
import { CodedError } from '../../base/errors.ts';
import { sha256 } from '../../base/hash.ts';
import type { Migration } from '../schema.ts';
import { type Session, sqlStateOf } from './session.ts';

/** Two numbers that stand for the migrations of this program among the advisory locks of a database. */
const MIGRATION_LOCK = '1397248852, 1';
/** SQLSTATE of a missing privilege. */
const INSUFFICIENT_PRIVILEGE = '42501';

/**
 * Numbered from 1 by position. A migration that was released is never edited: its checksum is stored. All of
 * it lies in the schema `sharestream`; roles are in `config/postgres/roles.sql`.
 */
export const POSTGRES_MIGRATIONS: readonly Migration[] = [
  {
    name: 'chains, batches by day, documents',
    sql: `
      CREATE TABLE sharestream.chain (
        number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        instance text NOT NULL UNIQUE,
        seq bigint NOT NULL,
        at_ms bigint NOT NULL,
        hash bytea NOT NULL CHECK (length(hash) = 32),
        owner bytea NOT NULL,
        epoch bigint NOT NULL,
        let_go_seq bigint NOT NULL,
        let_go_at_ms bigint NOT NULL,
        let_go_hash bytea NOT NULL CHECK (length(let_go_hash) = 32)
      );
      CREATE TABLE sharestream.batch (
        chain integer NOT NULL,
        day date NOT NULL,
        first_seq bigint NOT NULL,
        last_seq bigint NOT NULL CHECK (last_seq >= first_seq),
        at_ms bigint NOT NULL,
        end_hash bytea NOT NULL CHECK (length(end_hash) = 32),
        rows bytea NOT NULL,
        PRIMARY KEY (chain, first_seq, day)
      ) PARTITION BY RANGE (day);
      CREATE INDEX batch_time ON sharestream.batch (chain, at_ms, first_seq);
      CREATE TABLE sharestream.batch_log (
        chain integer NOT NULL,
        day date NOT NULL,
        kind text COLLATE "C" NOT NULL,
        key bytea NOT NULL,
        first bigint NOT NULL,
        next bigint NOT NULL CHECK (next > first),
        batch bigint NOT NULL,
        PRIMARY KEY (chain, kind, key, first, day)
      ) PARTITION BY RANGE (day);
      CREATE TABLE sharestream.let_go_log (
        chain integer NOT NULL,
        kind text COLLATE "C" NOT NULL,
        key bytea NOT NULL,
        next bigint NOT NULL,
        PRIMARY KEY (chain, kind, key)
      );
      CREATE TABLE sharestream.document (
        chain integer NOT NULL,
        kind text COLLATE "C" NOT NULL,
        id bytea NOT NULL,
        seq bigint NOT NULL,
        op smallint NOT NULL CHECK (op IN (2, 3)),
        body bytea NOT NULL,
        PRIMARY KEY (chain, kind, id)
      );
      CREATE FUNCTION sharestream.refuse() RETURNS trigger LANGUAGE plpgsql AS
        $body$ BEGIN RAISE EXCEPTION 'the journal is append-only'; END $body$;
      CREATE TRIGGER batch_is_append_only BEFORE UPDATE OR DELETE ON sharestream.batch
        FOR EACH ROW EXECUTE FUNCTION sharestream.refuse();
      CREATE TRIGGER batch_log_is_append_only BEFORE UPDATE OR DELETE ON sharestream.batch_log
        FOR EACH ROW EXECUTE FUNCTION sharestream.refuse();

      -- Attached instead of made in place: that waits for nobody who reads or writes.
      CREATE FUNCTION sharestream.make_day(d date) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s' AS $body$
        DECLARE parent text; part text;
        BEGIN
          PERFORM pg_advisory_xact_lock(1397248852, 2);
          FOREACH parent IN ARRAY ARRAY['batch', 'batch_log'] LOOP
            part := parent || '_' || to_char(d, 'YYYYMMDD');
            CONTINUE WHEN to_regclass(format('sharestream.%I', part)) IS NOT NULL;
            EXECUTE format('CREATE TABLE sharestream.%I (LIKE sharestream.%I INCLUDING ALL)', part, parent);
            EXECUTE format('ALTER TABLE sharestream.%I ATTACH PARTITION sharestream.%I FOR VALUES FROM (%L) TO (%L)',
              parent, part, d, d + 1);
          END LOOP;
        END $body$;

      -- A day of which every chain has let go. It waits for nobody: commits would wait behind it.
      CREATE FUNCTION sharestream.drop_day(d date) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $body$
        DECLARE parent text; part text := 'batch_' || to_char(d, 'YYYYMMDD');
        BEGIN
          PERFORM pg_advisory_xact_lock(1397248852, 2);
          IF to_regclass(format('sharestream.%I', part)) IS NULL THEN RETURN true; END IF;
          EXECUTE format('LOCK TABLE sharestream.%I', part);
          IF EXISTS (SELECT FROM sharestream.chain AS c, LATERAL (SELECT last_seq FROM sharestream.batch
              WHERE chain = c.number AND day = d ORDER BY first_seq DESC LIMIT 1) AS b
            WHERE b.last_seq > c.let_go_seq) THEN RETURN false; END IF;
          FOREACH parent IN ARRAY ARRAY['batch', 'batch_log'] LOOP
            EXECUTE format('DROP TABLE IF EXISTS sharestream.%I', parent || '_' || to_char(d, 'YYYYMMDD'));
          END LOOP;
          RETURN true;
        EXCEPTION WHEN lock_not_available THEN RETURN false;
        END $body$;
      REVOKE ALL ON FUNCTION sharestream.make_day(date), sharestream.drop_day(date) FROM PUBLIC;

      DO $body$ BEGIN
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'sharestream_reader') THEN
          GRANT SELECT ON ALL TABLES IN SCHEMA sharestream TO sharestream_reader;
        END IF;
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'sharestream_writer') THEN
          GRANT SELECT ON ALL TABLES IN SCHEMA sharestream TO sharestream_writer;
          GRANT INSERT ON ALL TABLES IN SCHEMA sharestream TO sharestream_writer;
          GRANT UPDATE ON sharestream.chain, sharestream.document, sharestream.let_go_log TO sharestream_writer;
          GRANT DELETE ON sharestream.document TO sharestream_writer;
          REVOKE INSERT ON sharestream.migration FROM sharestream_writer;
          GRANT EXECUTE ON FUNCTION sharestream.make_day(date), sharestream.drop_day(date) TO sharestream_writer;
        END IF;
      END $body$;
    `,
  },
  {
    name: 'leases',
    sql: `
      CREATE TABLE sharestream.lease (
        resource bytea PRIMARY KEY,
        owner text NOT NULL,
        token bigint NOT NULL CHECK (token > 0),
        until timestamptz NOT NULL,
        -- Of who wrote last under it: where what belongs to the resource is.
        chain integer
      ) WITH (fillfactor = 50);
      CREATE FUNCTION sharestream.token_rises() RETURNS trigger LANGUAGE plpgsql AS
        $body$ BEGIN
          IF TG_OP = 'DELETE' OR NEW.token < OLD.token OR NEW.resource <> OLD.resource
              OR (NEW.token = OLD.token AND NEW.owner <> OLD.owner)
            THEN RAISE EXCEPTION 'the token of a lease only rises, and each has one owner'; END IF;
          RETURN NEW;
        END $body$;
      CREATE TRIGGER lease_token_rises BEFORE UPDATE OR DELETE ON sharestream.lease
        FOR EACH ROW EXECUTE FUNCTION sharestream.token_rises();
      DO $body$ BEGIN
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'sharestream_reader') THEN
          GRANT SELECT ON sharestream.lease TO sharestream_reader;
        END IF;
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'sharestream_writer') THEN
          GRANT SELECT, INSERT, UPDATE ON sharestream.lease TO sharestream_writer;
        END IF;
      END $body$;
    `,
  },
  {
    name: 'instances, leases to hand over, ranges of extranonces',
    sql: `
      CREATE TABLE sharestream.instance (
        instance text PRIMARY KEY,
        run bigint NOT NULL,
        told bytea NOT NULL CHECK (length(told) <= 16384),
        seen timestamptz NOT NULL,
        -- The run of it that is to let go of its miners and its leases.
        drained_run bigint
      ) WITH (fillfactor = 50);
      ALTER TABLE sharestream.lease ADD COLUMN wanted text, ADD COLUMN wanted_until timestamptz;
      CREATE TABLE sharestream.extranonce_range (
        number integer PRIMARY KEY,
        owner text,
        token bigint NOT NULL DEFAULT 0,
        until timestamptz NOT NULL DEFAULT '-infinity'
      ) WITH (fillfactor = 50);
      INSERT INTO sharestream.extranonce_range (number) SELECT generate_series(0, 2047);
      CREATE FUNCTION sharestream.range_token_rises() RETURNS trigger LANGUAGE plpgsql AS
        $body$ BEGIN
          IF TG_OP = 'DELETE' OR NEW.token < OLD.token OR NEW.number <> OLD.number
              OR (NEW.token = OLD.token AND NEW.owner IS DISTINCT FROM OLD.owner)
            THEN RAISE EXCEPTION 'the token of a range only rises, and each has one owner'; END IF;
          RETURN NEW;
        END $body$;
      CREATE TRIGGER range_token_rises BEFORE UPDATE OR DELETE ON sharestream.extranonce_range
        FOR EACH ROW EXECUTE FUNCTION sharestream.range_token_rises();
      DO $body$ BEGIN
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'sharestream_reader') THEN
          GRANT SELECT ON sharestream.instance, sharestream.extranonce_range TO sharestream_reader;
        END IF;
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'sharestream_writer') THEN
          GRANT SELECT, INSERT, UPDATE, DELETE ON sharestream.instance TO sharestream_writer;
          GRANT SELECT, UPDATE ON sharestream.extranonce_range TO sharestream_writer;
        END IF;
      END $body$;
    `,
  },
];

/**
 * Applies what is missing, one program at a time. Throws `ledger_schema` where the database is newer than
 * this program, was migrated with another content, or where what is missing is for its owner to apply.
 */
export async function migrate(
  session: Session,
  nowMs: number,
  migrations: readonly Migration[] = POSTGRES_MIGRATIONS,
): Promise<void> {
  if ((await appliedOf(session, migrations)) === migrations.length) return;
  try {
    await session.query('BEGIN');
    await session.query(`SELECT pg_advisory_xact_lock(${MIGRATION_LOCK})`);
    const [schema] = await session.query("SELECT to_regnamespace('sharestream') IS NOT NULL AS there");
    if (schema?.['there'] !== true) await session.query('CREATE SCHEMA sharestream');
    await session.query(`CREATE TABLE IF NOT EXISTS sharestream.migration (
      number integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, at_ms bigint NOT NULL)`);
    // Another program may have been faster.
    for (let number = await appliedOf(session, migrations); number < migrations.length; number += 1) {
      const { name, sql } = migrations[number]!;
      await session.query(sql);
      const row = [number + 1, name, checksumOf(sql), nowMs];
      await session.query('INSERT INTO sharestream.migration VALUES ($1, $2, $3, $4)', row);
    }
    await session.query('COMMIT');
  } catch (error) {
    if (sqlStateOf(error) !== INSUFFICIENT_PRIVILEGE) throw error;
    throw new CodedError(
      'ledger_schema',
      'the database lacks tables of this version, and this role may not make them: `sharestream ledger migrate` as its owner does',
      {},
      { cause: error },
    );
  }
}

/** How many are applied. Throws `ledger_schema` where they are not those of this program. */
export async function appliedOf(
  session: Session,
  migrations: readonly Migration[] = POSTGRES_MIGRATIONS,
): Promise<number> {
  const [table] = await session.query("SELECT to_regclass('sharestream.migration') IS NOT NULL AS there");
  if (table?.['there'] !== true) return 0;
  const applied = await session.query('SELECT number, checksum FROM sharestream.migration ORDER BY number');
  if (applied.length > migrations.length)
    throw new CodedError('ledger_schema', `schema ${applied.length} is newer than ${migrations.length}`);
  applied.forEach((row, index) => {
    if (row['number'] !== index + 1 || row['checksum'] !== checksumOf(migrations[index]!.sql))
      throw new CodedError('ledger_schema', `migration ${index + 1} was applied with another content`);
  });
  return applied.length;
}

function checksumOf(sql: string): string {
  return toHex(sha256(new TextEncoder().encode(sql)));
}
