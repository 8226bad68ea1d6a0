import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  openSync,
  rmSync,
  statfsSync,
  statSync,
  writeSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { systemClock, withTimeout } from '../base/clock.ts';
import { systemTimers } from '../base/system-timers.ts';
import type { MakerConfig, ProxyConfig } from '../config/config.ts';
import { secretFileProblem } from '../config/secrets.ts';
import type { HostPort } from '../config/values.ts';
import { isSafeSqliteVersion } from '../ledger/sqlite-file.ts';
import { descriptorLimit, descriptorsNeeded } from '../operator/config-check.ts';
import type { Diagnosis } from './diagnosis.ts';

export type PortUse = HostPort & { readonly what: string };

const MIB = 2 ** 20;
/** Less than this, and a day of shares may not fit. */
const FREE_BYTES = { warn: 2048 * MIB, fail: 64 * MIB };
/** Of one commit: its time is the delay of every share's answer. */
const SYNC_MS = { warn: 50, fail: 1_000 };
const SYNC_WRITES = 16;
const SYNC_BYTES = Buffer.alloc(4096, 1);
const DAEMON_ANSWER_MS = 2_000;

export function checkMachine(config: ProxyConfig | MakerConfig): Diagnosis[] {
  const sqlite = process.versions['sqlite'] ?? 'none';
  const isSafe = isSafeSqliteVersion(sqlite);
  const found: Diagnosis[] = [
    isSafe
      ? { check: 'sqlite', verdict: 'ok', text: `SQLite ${sqlite} of Node ${process.version}` }
      : {
          ...{
            check: 'sqlite',
            verdict: 'fail',
            code: 'ledger_version',
            text: `SQLite ${sqlite} can corrupt a ledger`,
          },
          hint: 'use the Node that package.json names',
        },
  ];
  const limit = descriptorLimit();
  if (limit === undefined || !('stratum' in config)) return found;
  const needed = descriptorsNeeded(config);
  const text = `${limit} open files are allowed, ${needed} may be needed`;
  const hint = 'raise the limit (LimitNOFILE of the unit, ulimit -n) or lower stratum.max_sessions';
  const isEnough = limit >= needed;
  return [
    ...found,
    { check: 'open files', verdict: isEnough ? 'ok' : 'warn', text, ...(isEnough ? {} : { hint }) },
  ];
}

/** Modes of what is secret, and who may write what is trusted. */
export function checkFiles(
  { keys, dataDir }: Pick<ProxyConfig, 'keys' | 'dataDir'>,
  configFile: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): Diagnosis[] {
  const found: Diagnosis[] = [];
  const { seedFile } = keys;
  if (existsSync(seedFile)) {
    const problem = secretFileProblem(seedFile, env);
    found.push(
      problem === undefined
        ? { check: 'keys', verdict: 'ok', text: `${seedFile} is for its owner alone` }
        : {
            check: 'keys',
            verdict: 'fail',
            code: 'bad_key_file',
            text: problem,
            hint: `chmod 600 ${seedFile}`,
          },
    );
  } else {
    const hint = 'make them with `sharestream keys new`, or the first start does';
    found.push({ check: 'keys', verdict: 'warn', text: `${seedFile} does not exist`, hint });
  }
  const tokenFile = join(dataDir, 'api-token');
  const secrets = existsSync(tokenFile) ? [tokenFile] : [];
  for (const file of secrets) {
    const problem = secretFileProblem(file, env);
    if (problem !== undefined)
      found.push({ check: 'token', verdict: 'fail', text: problem, hint: `chmod 600 ${file}` });
  }
  for (const path of [configFile, dataDir]) {
    if (path === undefined || !existsSync(path)) continue;
    const isOpen = (statSync(path).mode & 0o022) !== 0;
    const text = isOpen ? `others may write to ${path}` : `${path} is written by its owner alone`;
    const hint = { hint: `chmod go-w ${path}: who writes there is paid instead of you` };
    found.push({ check: 'files', verdict: isOpen ? 'fail' : 'ok', text, ...(isOpen ? hint : {}) });
  }
  return found;
}

/** How long a durable write takes where the ledger is, and how much room there is. */
export function checkDisk(dataDir: string): Diagnosis[] {
  const folder = nearestFolder(dataDir);
  const found: Diagnosis[] = [];
  if (folder !== dataDir)
    found.push({
      check: 'disk',
      verdict: 'ok',
      text: `${dataDir} does not exist: the first start makes it`,
    });
  try {
    accessSync(folder, constants.W_OK);
    const [median, worst] = syncTimes(folder);
    const verdict = worst > SYNC_MS.fail ? 'fail' : median > SYNC_MS.warn ? 'warn' : 'ok';
    const text = `a durable write takes ${median.toFixed(1)} ms, at most ${worst.toFixed(1)} ms`;
    const hint = 'each share waits for one: put data_dir on a faster disk';
    found.push({ check: 'fsync', verdict, text, ...(verdict === 'ok' ? {} : { hint }) });
  } catch (error) {
    const { code = String(error) } = error as NodeJS.ErrnoException;
    const hint = 'let the user of the daemon write there, or name another data_dir';
    found.push({
      check: 'fsync',
      verdict: 'fail',
      code: 'file_unusable',
      text: `${folder}: ${code}`,
      hint,
    });
  }
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  const verdict = free < FREE_BYTES.fail ? 'fail' : free < FREE_BYTES.warn ? 'warn' : 'ok';
  const hint = 'a full disk stops the sale of hashrate: make room';
  const text = `${Math.floor(free / MIB)} MiB are free in ${folder}`;
  found.push({ check: 'space', verdict, text, ...(verdict === 'ok' ? {} : { hint }) });
  return found;
}

/** @returns the median and the longest, in ms */
function syncTimes(folder: string): [median: number, worst: number] {
  const path = join(folder, `.doctor-${process.pid}`);
  const file = openSync(path, 'wx', 0o600);
  try {
    const times = Array.from({ length: SYNC_WRITES }, () => {
      const start = systemClock.monotonicMs();
      writeSync(file, SYNC_BYTES);
      fsyncSync(file);
      return systemClock.monotonicMs() - start;
    }).sort((a, b) => a - b);
    return [times[SYNC_WRITES / 2]!, times.at(-1)!];
  } finally {
    closeSync(file);
    rmSync(path, { force: true });
  }
}

function nearestFolder(path: string): string {
  for (let at = path; ; at = dirname(at)) if (existsSync(at) || dirname(at) === at) return at;
}

/** Each port can be listened to, or is by the daemon of this configuration. */
export async function checkPorts(
  ports: readonly PortUse[],
  metrics: HostPort,
  signal: AbortSignal,
): Promise<Diagnosis[]> {
  const running = await runningRole(metrics, signal);
  return Promise.all(ports.map((port) => checkPort(port, running)));
}

async function checkPort({ what, host, port }: PortUse, running: string | undefined): Promise<Diagnosis> {
  const check = `port ${port}`;
  const code = await listenError(host, port);
  if (code === undefined) return { check, verdict: 'ok', text: `${what} ${host}:${port} is free` };
  if (code === 'EADDRINUSE' && running !== undefined)
    return {
      check,
      verdict: 'ok',
      text: `${what} is taken, and a ${running} of ours answers at metrics.listen`,
    };
  if (code === 'EADDRINUSE') {
    const hint = `see who has it (ss -ltnp 'sport = :${port}'), or choose another`;
    const text = `${what} ${host}:${port} is taken by another program`;
    return { check, verdict: 'fail', code: 'address_in_use', text, hint };
  }
  const hint = 'the address must be one of this machine, and ports below 1024 are for root';
  return { check, verdict: 'fail', text: `${what} ${host}:${port}: ${code}`, hint };
}

function listenError(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen(port, host, () => server.close(() => resolve(undefined)));
  });
}

/** The role of the daemon that answers there, if one does. */
async function runningRole({ host, port }: HostPort, signal: AbortSignal): Promise<string | undefined> {
  try {
    const at =
      host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '[::1]' : host.includes(':') ? `[${host}]` : host;
    return await withTimeout(
      systemTimers,
      DAEMON_ANSWER_MS,
      async (late) => {
        const response = await fetch(`http://${at}:${port}/livez`, { signal: late });
        await response.body?.cancel();
        return response.ok ? 'daemon' : undefined;
      },
      signal,
    );
  } catch {
    return undefined;
  }
}
