import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as net from 'node:net';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import { NodeProcess } from '../../chain-node/node-process.ts';

const SCRIPT = fileURLToPath(new URL('../../../.ci/postgres-from-debian', import.meta.url));
const PROGRAM_TIMEOUT_MS = 5 * 60_000;

/** Who owns a server of the tests. */
export const OWNER = 'owner';

const SETTINGS = `
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
timezone = 'GMT'
log_timezone = 'GMT'
shared_buffers = 32MB
max_connections = 60
jit = off
wal_level = replica
wal_keep_size = 256MB
wal_receiver_timeout = 5s
wal_retrieve_retry_interval = 100ms
wal_sender_timeout = 5s
`;

/** Of a primary, and of what may become one. */
export const COMMITS_WAIT = "synchronous_standby_names = '*'";

let programs: string | undefined;

/** PostgreSQL refuses to run as root: in a namespace of its own it is nobody, with our own files. */
function words(program: string, options: readonly string[]): readonly [string, ...string[]] {
  programs ??= run(SCRIPT, []).trim();
  const line = [path.join(programs, program), ...options] as const;
  if (process.getuid?.() !== 0) return line;
  return ['unshare', '--user', '--map-user=65534', '--map-group=65534', ...line];
}

function run(program: string, options: readonly string[]): string {
  const { status, error, stdout, stderr } = spawnSync(program, options, {
    encoding: 'utf8',
    timeout: PROGRAM_TIMEOUT_MS,
  });
  if (status !== 0) throw new Error(`${program}: ${error === undefined ? stderr : String(error)}`);
  return stdout;
}

function runPostgres(program: string, options: readonly string[]): void {
  const [first, ...rest] = words(program, options);
  run(first, rest);
}

/** Resolves when something that nobody tells of is so. */
export async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 20));
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A PostgreSQL on loopback with a folder of its own, that can be killed, paused and promoted. */
export class PostgresProcess {
  readonly port: number;
  readonly folder: string;
  #process: NodeProcess | undefined;

  private constructor(folder: string, port: number) {
    this.folder = folder;
    this.port = port;
  }

  /** A new primary; not started. */
  static async create(folder: string, settings = ''): Promise<PostgresProcess> {
    const port = await freePort();
    const locale = ['--locale=C', '--encoding=UTF8', '--no-sync'];
    runPostgres('initdb', ['-D', folder, '-U', OWNER, '--auth=trust', ...locale]);
    fs.appendFileSync(path.join(folder, 'postgresql.conf'), `${SETTINGS}port = ${port}\n${settings}\n`);
    return new PostgresProcess(folder, port);
  }

  /** A standby of one that runs; not started. */
  static async follow(primary: PostgresProcess, folder: string): Promise<PostgresProcess> {
    const port = await freePort();
    const from = ['-h', '127.0.0.1', '-p', String(primary.port), '-U', OWNER];
    runPostgres('pg_basebackup', ['-D', folder, ...from, '-R', '-X', 'stream', '-c', 'fast', '--no-sync']);
    fs.appendFileSync(path.join(folder, 'postgresql.auto.conf'), `port = ${port}\n${COMMITS_WAIT}\n`);
    return new PostgresProcess(folder, port);
  }

  async start(): Promise<void> {
    const [program, ...options] = words('postgres', ['-D', this.folder]);
    const ready = /database system is ready to accept (?:read-only )?connections/;
    this.#process = (await NodeProcess.start(program, options, ready)).process;
  }

  /** At once, as when the machine loses its power; its children end by themselves. */
  async kill(): Promise<void> {
    this.#process?.signal('SIGKILL');
    await this.#process?.ended;
  }

  /** Stands still, and is still there for whoever is connected. */
  async pause(): Promise<void> {
    for (const pid of await this.pids()) process.kill(pid, 'SIGSTOP');
  }

  async resume(): Promise<void> {
    for (const pid of await this.pids()) process.kill(pid, 'SIGCONT');
  }

  /** Whoever is connected is let go of. */
  async stop(): Promise<void> {
    await this.#process?.stop('SIGINT');
    this.#process = undefined;
  }

  async promote(): Promise<void> {
    const [row] = await this.query('SELECT pg_promote() AS done');
    if (row?.['done'] !== true) throw new Error('it was not promoted');
  }

  /** As the owner, by a connection of its own. */
  async query(
    text: string,
    { database = 'postgres', user = OWNER }: { readonly database?: string; readonly user?: string } = {},
  ): Promise<readonly Record<string, unknown>[]> {
    const client = new Client({ host: '127.0.0.1', port: this.port, user, database });
    await client.connect();
    try {
      const result: unknown = await client.query(text);
      // Several statements have several results.
      const last = Array.isArray(result) ? (result.at(-1) as unknown) : result;
      return (last as { readonly rows: readonly Record<string, unknown>[] }).rows;
    } finally {
      await client.end();
    }
  }

  /** Changes settings that need no start. */
  async set(settings: Readonly<Record<string, string>>): Promise<void> {
    for (const [name, value] of Object.entries(settings))
      await this.query(`ALTER SYSTEM SET ${name} = ${value}`);
    await this.query('SELECT pg_reload_conf()');
    for (const [name, value] of Object.entries(settings)) {
      const wanted = value.replaceAll("'", '');
      const isSet = async (): Promise<boolean> =>
        (await this.query(`SELECT current_setting('${name}') AS is`))[0]?.['is'] === wanted;
      await until(isSet);
    }
  }

  /** The postmaster and its children. */
  async pids(): Promise<number[]> {
    const main = Number(fs.readFileSync(path.join(this.folder, 'postmaster.pid'), 'utf8').split('\n')[0]);
    const children = fs.readFileSync(`/proc/${main}/task/${main}/children`, 'utf8');
    return [main, ...children.split(' ').filter(Boolean).map(Number)];
  }
}
