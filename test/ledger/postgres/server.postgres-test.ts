import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemTimers } from '../../../src/base/system-timers.ts';
import { leaseEntry } from '../../../src/ledger/lease.ts';
import type { PostgresOptions } from '../../../src/ledger/postgres/address.ts';
import { ExtranonceRanges } from '../../../src/ledger/postgres/extranonce-ranges.ts';
import { PostgresInstances } from '../../../src/ledger/postgres/instances.ts';
import { PostgresLeases } from '../../../src/ledger/postgres/leases.ts';
import { migratePostgres } from '../../../src/ledger/postgres/migrate.ts';
import { openPostgresLedger } from '../../../src/ledger/postgres/postgres-ledger.ts';
import { settingsProblem } from '../../../src/ledger/postgres/settings.ts';
import { verifyPostgresLedger } from '../../../src/ledger/postgres/verify.ts';
import { Sealing } from '../../../src/ledger/sealing.ts';
import { type Logger, silentLogger } from '../../../src/log/logger.ts';
import { ManualClock } from '../../base/manual-clock.ts';
import { codeOfRejection, log, put } from '../suite.ts';
import { OWNER, PostgresProcess } from './postgres-server.ts';

const ROLES = new URL('../../../config/postgres/roles.sql', import.meta.url);
const PASSWORD = 'word of the writer';
const root = fs.mkdtempSync(path.join(os.tmpdir(), 'sharestream-server-'));
const DAY_MS = 86_400_000;
let server: PostgresProcess;
let databases = 0;

/** One server alone, which says so, with TLS. */
beforeAll(async () => {
  server = await PostgresProcess.create(path.join(root, 'a'), 'ssl = on');
  certificates(server.folder);
  fs.writeFileSync(
    path.join(server.folder, 'pg_hba.conf'),
    `hostssl all sharestream_writer 127.0.0.1/32 scram-sha-256\nhost all sharestream_writer all reject\nhost all all 127.0.0.1/32 trust\n`,
  );
  await server.start();
});
afterAll(async () => {
  await server.kill();
  fs.rmSync(root, { recursive: true, force: true, maxRetries: 5 });
});

/** A certificate authority, and a certificate of it for 127.0.0.1. */
function certificates(folder: string): void {
  const run = (...words: string[]): void => {
    const { status, stderr } = spawnSync('openssl', words, { encoding: 'utf8', cwd: folder });
    if (status !== 0) throw new Error(stderr);
  };
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  run('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.crt', '-subj', '/CN=ca', '-days', '2');
  run('req', ...key, '-keyout', 'server.key', '-out', 'server.csr', '-subj', '/CN=ledger');
  fs.writeFileSync(path.join(folder, 'names'), 'subjectAltName = IP:127.0.0.1');
  const sign = ['x509', '-req', '-in', 'server.csr', '-CA', 'ca.crt', '-CAkey', 'ca.key', '-days', '2'];
  run(...sign, '-CAcreateserial', '-extfile', 'names', '-out', 'server.crt');
  fs.chmodSync(path.join(folder, 'server.key'), 0o600);
}

async function newDatabase(): Promise<string> {
  databases += 1;
  await server.query(`CREATE DATABASE d${databases}`);
  return `d${databases}`;
}

const at = (database: string, user = OWNER): PostgresOptions => ({
  url: `postgres://${user}@127.0.0.1:${server.port}/${database}`,
  ...{ instance: 'proxy', singleServer: true },
});
const open = (options: PostgresOptions, logger: Logger = silentLogger) =>
  openPostgresLedger(options, { log: logger });

describe('a server', () => {
  const safe = {
    ...{ server_version_num: '150018', server_version: '15.18', synchronous_standby_names: '*' },
    ...{ fsync: 'on', full_page_writes: 'on', zero_damaged_pages: 'off', server_encoding: 'UTF8' },
    synchronous_commit: 'on',
  };

  it.each([
    [{}, undefined],
    [{ synchronous_commit: 'remote_apply' }, undefined],
    [{ server_version_num: '140019' }, 'ledger_version'],
    [{ server_version_num: undefined }, 'ledger_version'],
    [{ fsync: 'off' }, 'ledger_settings'],
    [{ full_page_writes: 'off' }, 'ledger_settings'],
    [{ zero_damaged_pages: 'on' }, 'ledger_settings'],
    [{ server_encoding: 'SQL_ASCII' }, 'ledger_settings'],
    [{ synchronous_commit: 'local' }, 'ledger_settings'],
    [{ synchronous_commit: 'remote_write' }, 'ledger_settings'],
    [{ synchronous_standby_names: ' ' }, 'ledger_settings'],
  ])('with %j is refused with %s', (change, code) => {
    expect(settingsProblem({ ...safe, ...change }, false)?.code).toBe(code);
  });

  it('without a synchronous standby is refused, unless that is said to be meant', async () => {
    const database = await newDatabase();
    const code = await codeOfRejection(open({ ...at(database), singleServer: false }));
    expect(code).toBe('ledger_settings');
    expect(await server.query("SELECT to_regnamespace('sharestream') AS made", { database })).toEqual([
      { made: null },
    ]);
    await (await open(at(database))).close();
  });

  it('that keeps nothing, by its own settings, is refused, too', async () => {
    await server.set({ full_page_writes: 'off' });
    expect(await codeOfRejection(open(at(await newDatabase())))).toBe('ledger_settings');
    await server.set({ full_page_writes: 'on' });
  });

  it('that is not there is told, and what was asked of it', async () => {
    const nowhere = { ...at('none'), url: 'postgres://u@127.0.0.1:1,127.0.0.1:2/none' };
    await expect(open(nowhere)).rejects.toThrow(/ledger_io: 127\.0\.0\.1:1: .*127\.0\.0\.1:2: /);
    await expect(open(at('none'))).rejects.toThrow('database "none" does not exist');
    await expect(verifyPostgresLedger(at(await newDatabase()))).rejects.toThrow('ledger_schema');
  });

  it('follows synchronous_commit of the session, whatever the role was given', async () => {
    const database = await newDatabase();
    await server.query(`ALTER DATABASE ${database} SET synchronous_commit = off`);
    await (await open(at(database))).close();
  });
});

describe('migrations', () => {
  it('are applied once, by however many programs at once', async () => {
    const database = await newDatabase();
    const opened = await Promise.all(
      Array.from({ length: 4 }, (_, index) => open({ ...at(database), instance: `proxy-${index}` })),
    );
    for (const ledger of opened) await ledger.close();
    expect(await server.query('SELECT number, name FROM sharestream.migration', { database })).toHaveLength(
      3,
    );
    const chains = await server.query('SELECT FROM sharestream.chain', { database });
    expect(chains).toHaveLength(4);
  });

  it('bring a database without instances to them, and its leases go on', async () => {
    const database = await newDatabase();
    const leases = new PostgresLeases(at(database));
    const before = await open(at(database));
    await leases.take('channel', 60_000);
    await before.append([leaseEntry({ resource: 'channel', token: 1 }), put('a', '1')]);
    await before.close();
    // As the version before made it.
    await server.query(
      `DROP TABLE sharestream.instance; DROP TABLE sharestream.extranonce_range;
        DROP FUNCTION sharestream.range_token_rises;
        ALTER TABLE sharestream.lease DROP COLUMN wanted, DROP COLUMN wanted_until;
        DELETE FROM sharestream.migration WHERE number > 2`,
      { database },
    );
    const instances = new PostgresInstances(at(database));
    await expect(instances.tell(1, '{}')).rejects.toThrow(/ledger_schema/);
    const ledger = await open(at(database));
    expect(await instances.tell(1, '{}')).toEqual({ isDrained: false, toHandOver: [] });
    expect(await leases.renew({ resource: 'channel', token: 1 }, 60_000)).toBe(true);
    expect(await leases.list()).toMatchObject([
      { token: 1, home: at(database).instance, wanted: undefined },
    ]);
    await ledger.append([leaseEntry({ resource: 'channel', token: 1 }), put('a', '2')]);
    await Promise.all([ledger.close(), leases.close(), instances.close()]);
    expect(await verifyPostgresLedger(at(database))).toMatchObject({ ok: true });
  });

  it('bring an older database, with what is in it, to leases', async () => {
    const database = await newDatabase();
    const before = await open(at(database));
    await before.append([put('a', '1'), log(0, 2)]);
    await before.close();
    // As the version before made it.
    await server.query(
      `DROP TABLE sharestream.instance; DROP TABLE sharestream.extranonce_range;
        DROP FUNCTION sharestream.range_token_rises; DROP TABLE sharestream.lease; DROP FUNCTION sharestream.token_rises;
        DELETE FROM sharestream.migration WHERE number > 1`,
      { database },
    );
    const leases = new PostgresLeases(at(database));
    await expect(leases.take('channel', 60_000)).rejects.toThrow(/ledger_schema/);
    const ledger = await open(at(database));
    expect(await ledger.get('stream', 'a')).toBe('1');
    const answer = await leases.take('channel', 60_000);
    expect(answer).toEqual({ type: 'taken', lease: { resource: 'channel', token: 1 } });
    await ledger.append([leaseEntry({ resource: 'channel', token: 1 }), put('a', '2')]);
    await ledger.close();
    await leases.close();
    expect(await verifyPostgresLedger(at(database))).toMatchObject({ ok: true, rows: 4 });
  });

  it('of another content, or of a newer version, are refused', async () => {
    const database = await newDatabase();
    await (await open(at(database))).close();
    await server.query("INSERT INTO sharestream.migration VALUES (99, 'newer', '', 0)", { database });
    expect(await codeOfRejection(open(at(database)))).toBe('ledger_schema');
    await server.query('DELETE FROM sharestream.migration WHERE number = 99', { database });
    await server.query("UPDATE sharestream.migration SET checksum = ''", { database });
    expect(await codeOfRejection(open(at(database)))).toBe('ledger_schema');
    expect(await codeOfRejection(open({ ...at(database), readOnly: true } as PostgresOptions))).toBe(
      'ledger_schema',
    );
  });
});

describe('with the roles of roles.sql, by TLS and password', () => {
  let database: string;
  let writer: PostgresOptions;
  beforeAll(async () => {
    database = await newDatabase();
    await server.query(fs.readFileSync(ROLES, 'utf8').replaceAll(/^--.*$/gm, ''), { database });
    await server.query(`ALTER ROLE sharestream_writer PASSWORD '${PASSWORD}'`);
    const passwordFile = path.join(root, 'password');
    fs.writeFileSync(passwordFile, `${PASSWORD}\n`, { mode: 0o600 });
    const tlsCaFile = path.join(server.folder, 'ca.crt');
    writer = { ...at(database, 'sharestream_writer'), passwordFile, tlsCaFile };
  });
  const as = (user: string, sql: string) => server.query(sql, { database, user });

  it('a writer may not make the tables, and says who does', async () => {
    await expect(open(writer)).rejects.toThrow(/ledger_schema: .*ledger migrate/);
    expect(await migratePostgres(at(database, 'sharestream_owner'))).toBe(3);
  });

  it('a writer appends, reads, and lets go; no password is logged', async () => {
    const lines: unknown[] = [];
    const say = (fields: object, text: string): void => void lines.push(fields, text);
    const logger: Logger = { ...silentLogger, debug: say, info: say, warn: say, error: say };
    const clock = new ManualClock();
    const ledger = await openPostgresLedger(writer, { log: logger, clock });
    await ledger.append([log(0, 3), put('a', '1')]);
    clock.advance(5 * DAY_MS);
    await ledger.append([log(3, 3), put('b', '1')]);
    const sealing = new Sealing(
      { path: '', keptMs: DAY_MS, evidenceKinds: [] },
      { ledger, clock, timers: systemTimers, log: logger, heldStreams: async () => [] },
    );
    await sealing.run();
    expect(await ledger.logRange('share', 's')).toEqual({ first: 3, end: 6 });
    expect(await ledger.get('stream', 'a')).toBe('1');
    expect(sealing.stats.failures).toBe(0);
    await ledger.close();
    expect(JSON.stringify(lines)).toContain('ledger opened');
    expect(JSON.stringify(lines)).not.toContain(PASSWORD);
    expect(await verifyPostgresLedger(at(database, 'sharestream_reader'))).toMatchObject({ ok: true });
  });

  it('a writer takes a lease, and writes under it; a reader only looks', async () => {
    const leases = new PostgresLeases(writer);
    const answer = await leases.take('channel', 60_000);
    expect(answer).toEqual({ type: 'taken', lease: { resource: 'channel', token: 1 } });
    const ledger = await open(writer);
    await ledger.append([leaseEntry({ resource: 'channel', token: 1 }), put('c', '1')]);
    await ledger.close();
    await leases.close();
    const instances = new PostgresInstances(writer);
    expect(await instances.tell(1, '{}')).toEqual({ isDrained: false, toHandOver: [] });
    await instances.forget(60_000);
    expect(await instances.list()).toMatchObject([{ instance: writer.instance, run: 1, told: '{}' }]);
    const ranges = new ExtranonceRanges(writer, 60_000);
    expect(await ranges.take('', 60_000)).toMatchObject({ type: 'taken', lease: { token: 1 } });
    await Promise.all([instances.close(), ranges.close()]);
    const reader = new PostgresLeases(at(database, 'sharestream_reader'));
    expect(await reader.list()).toMatchObject([{ resource: 'channel', home: writer.instance }]);
    await expect(reader.take('channel', 1)).rejects.toThrow(/permission denied/);
    await reader.close();
  });

  it('nobody but the owner changes or removes what was written', async () => {
    const forbidden = /permission denied|must be owner/;
    const asWriter = (sql: string) => as(OWNER, `SET ROLE sharestream_writer; ${sql}`);
    for (const sql of [
      'UPDATE sharestream.batch SET at_ms = 0',
      'DELETE FROM sharestream.batch',
      'TRUNCATE sharestream.batch',
      'DELETE FROM sharestream.chain',
      'DELETE FROM sharestream.lease',
      'DELETE FROM sharestream.extranonce_range',
      'DROP TABLE sharestream.batch',
      'ALTER TABLE sharestream.batch DISABLE TRIGGER ALL',
      "INSERT INTO sharestream.migration VALUES (9, '', '', 0)",
      'CREATE TABLE sharestream.mine ()',
      'CREATE TABLE public.mine ()',
    ])
      await expect(asWriter(sql), sql).rejects.toThrow(forbidden);
    for (const sql of [
      "INSERT INTO sharestream.let_go_log VALUES (1, 'a', '', 1)",
      "SELECT sharestream.drop_day('2020-01-01')",
    ])
      await expect(as('sharestream_reader', sql), sql).rejects.toThrow(forbidden);
    // A day that a chain still has is not dropped, whoever asks.
    const [day] = await as(
      OWNER,
      'SELECT day::text AS day FROM sharestream.batch ORDER BY day DESC LIMIT 1',
    );
    expect(await asWriter(`SELECT sharestream.drop_day('${String(day?.['day'])}') AS gone`)).toEqual([
      { gone: false },
    ]);
  });

  it('another certificate, or none, is refused; so is a wrong password', async () => {
    const plain = { ...writer, tlsCaFile: undefined };
    await expect(open(plain)).rejects.toThrow(/pg_hba|rejects/);
    await expect(open({ ...writer, tlsCaFile: path.join(server.folder, 'server.crt') })).rejects.toThrow(
      /certificate/,
    );
    const named = { ...writer, url: writer.url.replace('127.0.0.1', 'localhost') };
    await expect(open(named)).rejects.toThrow(/altnames|certificate/);
    const passwordFile = path.join(root, 'wrong');
    fs.writeFileSync(passwordFile, 'another', { mode: 0o600 });
    await expect(open({ ...writer, passwordFile })).rejects.toThrow('password authentication failed');
  });
});
