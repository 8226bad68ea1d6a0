import { execFileSync } from 'node:child_process';
import {
  closeSync,
  cpSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect, it } from 'vitest';
import { readStatus } from '../../src/daemon/status-client.ts';
import { CrashLife, type Daemon } from './crash-life.ts';
import { until } from './evidence.ts';

const SIZE = '24m';
const directory = mkdtempSync(join(tmpdir(), 'sharestream-small-disk-'));
const cleanups: (() => Promise<unknown>)[] = [
  () => Promise.resolve(rmSync(directory, { recursive: true, force: true })),
];
afterAll(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

/** What a daemon keeps lies on a file system of its own, of a few megabytes. */
function moveToSmallDisk(folder: string): void {
  const aside = mkdtempSync(join(directory, 'aside-'));
  cpSync(folder, aside, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SIZE},mode=700`, 'tmpfs', folder]);
  cleanups.push(() => Promise.resolve(execFileSync('umount', ['-l', folder])));
  for (const name of readdirSync(aside)) cpSync(join(aside, name), join(folder, name), { recursive: true });
}

/** Another file takes all that is free, to the last byte. */
function fill(folder: string): string {
  const path = join(folder, 'other');
  const file = openSync(path, 'w');
  for (let size = 1 << 20; size > 0; size >>= 1) {
    try {
      for (;;) if (writeSync(file, Buffer.alloc(size)) < size) break;
    } catch (error) {
      expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC');
    }
  }
  closeSync(file);
  expect(statfsSync(folder).bfree).toBe(0);
  return path;
}

const isReady = async (life: CrashLife, daemon: Daemon): Promise<boolean> =>
  (await (await fetch(`${life.stage[daemon].metricsUrl}/readyz?verbose`)).text()).includes('[+]ledger ok');
const stateOf = async (life: CrashLife): Promise<number> =>
  (await readStatus(life.stage.proxy.metricsUrl))?.contract?.channel.state_number ?? -1;

it('both daemons go through a full file system and back, each twice, and all that was acked is paid', async () => {
  const life = await CrashLife.start(join(directory, 'life'), (step) => cleanups.push(step));
  for (const daemon of ['proxy', 'maker'] as const) moveToSmallDisk(life.stage[daemon].dataDir);
  await life.strikeAll({ proxy: [], maker: [] });
  await life.earn();
  for (const daemon of ['proxy', 'maker', 'proxy', 'maker'] as const) {
    const path = fill(life.stage[daemon].dataDir);
    await until(`${daemon} says so`, async () => ((await isReady(life, daemon)) ? undefined : true));
    await sleep(300);
    const state = await stateOf(life);
    const log = readFileSync(join(directory, 'life', `${daemon}.log`), 'utf8');
    expect(log).toMatch(/"code":"ledger_io"/);
    // Whoever waits goes on finding shares; nothing is signed for them.
    await sleep(3_000);
    expect(await stateOf(life)).toBe(state);
    rmSync(path);
    await until('a state after it', async () => ((await stateOf(life)) > state ? true : undefined));
    await until(`${daemon} is ready`, async () => ((await isReady(life, daemon)) ? true : undefined));
  }
  const contract = await life.close({ proxy: [], maker: [] });
  await life.check([contract]);
}, 300_000);
