import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readStatus } from '../../src/daemon/status-client.ts';
import { CrashLife, type Daemon } from './crash-life.ts';
import { until } from './evidence.ts';

const directory = mkdtempSync(join(tmpdir(), 'sharestream-disk-full-'));
const cleanups: (() => Promise<unknown>)[] = [
  () => Promise.resolve(rmSync(directory, { recursive: true, force: true })),
];
afterAll(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

/** From now on no file of the process grows beyond what the journal has: its next commit finds no room. */
function fillDisk(life: CrashLife, daemon: Daemon): void {
  const size = statSync(join(life.stage[daemon].dataDir, 'ledger.sqlite-wal')).size;
  execFileSync('prlimit', ['--pid', String(life.pidOf(daemon)), `--fsize=${size}:unlimited`]);
}

/** Of its ledger alone: the other daemon may be away meanwhile. */
async function isReady(life: CrashLife, daemon: Daemon): Promise<boolean> {
  const parts = await (await fetch(`${life.stage[daemon].metricsUrl}/readyz?verbose`)).text();
  return parts.includes('[+]ledger ok');
}

const stateOf = async (life: CrashLife): Promise<number> =>
  (await readStatus(life.stage.proxy.metricsUrl))?.contract?.channel.state_number ?? -1;

describe('a disk without room', () => {
  it('stops acknowledgements and signatures with a coded error, and both go on when there is room', async ({
    skip,
  }) => {
    const hasTool = spawnSync('prlimit', ['--version']).error === undefined;
    skip(!hasTool, 'prlimit is not installed (apt-get install util-linux)');
    const life = await CrashLife.start(join(directory, 'life'), (step) => cleanups.push(step));
    await life.strikeAll({ proxy: [], maker: [] });
    await life.earn();
    for (const daemon of ['proxy', 'maker'] as const) {
      fillDisk(life, daemon);
      await until(`${daemon} says so`, async () => ((await isReady(life, daemon)) ? undefined : true));
      const state = await until('what was answered before has come, and no more', async () => {
        const [state, accepted] = [await stateOf(life), await life.acceptedCount()];
        await until('miners go on finding shares', async () => {
          return (await life.submittedCount()) > accepted + 20 || undefined;
        });
        const isSold = (await stateOf(life)) > state;
        const isAccepted = daemon === 'proxy' && (await life.acceptedCount()) > accepted;
        return isSold || isAccepted ? undefined : state;
      });
      expect(readFileSync(join(directory, 'life', `${daemon}.log`), 'utf8')).toContain(
        '"code":"ledger_io"',
      );
      if (daemon === 'proxy') {
        const accepted = await life.acceptedCount();
        await until('nothing is delivered, and miners are let go', async () => {
          const status = await readStatus(life.stage.proxy.metricsUrl);
          const isGone = status?.durability === 'lost' && status.sessions === 0;
          return (isGone && status.destination === 'own-pool') || undefined;
        });
        expect(await life.acceptedCount()).toBe(accepted);
        const log = readFileSync(join(directory, 'life', 'proxy.log'), 'utf8');
        expect(log.split('shares not committed').length - 1).toBeLessThanOrEqual(3);
      }
      expect(await stateOf(life)).toBe(state);
      execFileSync('prlimit', ['--pid', String(life.pidOf(daemon)), '--fsize=unlimited:unlimited']);
      await until('a state after it', async () => ((await stateOf(life)) > state ? true : undefined));
    }
    const contract = await life.close({ proxy: [], maker: [] });
    await life.check([contract]);
  });
});
