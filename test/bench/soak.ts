import { setTimeout as sleep } from 'node:timers/promises';
import { BenchChild, type Usage } from './child.ts';
import type { LoadSample } from './load-process.ts';
import { type Ports, startProxyProcess } from './whole-proxy.ts';

export type SoakRow = {
  readonly minute: number;
  readonly answeredPerSecond: number;
  readonly cpuMicrosPerShare: number;
  readonly residentMiB: number;
};

/** A new block this often: what is kept per block comes and goes many times in a soak. */
const BLOCK_SECONDS = 20;
/** With 1,000 submits in all: some 40,000 a second. */
const PAUSE_MS = 18;
const ROWS_PER_MINUTE = 4;

/**
 * Load at about half of what the proxy answers, for minutes: 500 connections that pause after each answer.
 * Memory must not grow once the first blocks are forgotten.
 */
export async function soak(minutes: number, onRow: (row: SoakRow) => void): Promise<void> {
  const options = { port: 0, branches: 12, difficulty: 2 ** -32, blockSeconds: BLOCK_SECONDS };
  const proxy = startProxyProcess(options);
  const load = BenchChild.start('load-process.ts', []);
  try {
    const { port } = await proxy.ask<Ports>('ports');
    await load.ask('connect', { port, connections: 500, window: 2, pauseMs: PAUSE_MS });
    await load.ask('start');
    let before = await proxy.ask<Usage>('usage');
    for (let row = 1; row <= minutes * ROWS_PER_MINUTE; row += 1) {
      const startedMs = performance.now();
      await sleep(60_000 / ROWS_PER_MINUTE);
      const [after, sample] = await Promise.all([
        proxy.ask<Usage>('usage'),
        load.ask<LoadSample>('sample'),
      ]);
      const answered = sample.accepted + sample.rejected;
      onRow({
        minute: row / ROWS_PER_MINUTE,
        answeredPerSecond: (answered * 1000) / (performance.now() - startedMs),
        cpuMicrosPerShare: (after.cpuMicros - before.cpuMicros) / answered,
        residentMiB: after.residentBytes / 2 ** 20,
      });
      before = after;
    }
    await load.ask('stop');
  } finally {
    await load.stop();
    await proxy.stop();
  }
}
