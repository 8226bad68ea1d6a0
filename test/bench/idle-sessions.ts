import { setTimeout as sleep } from 'node:timers/promises';
import { BenchChild, type Usage } from './child.ts';
import { type Ports, startProxyProcess } from './whole-proxy.ts';

export type IdleResult = {
  readonly sessions: number;
  readonly residentBytesEach: number;
  /**
   * From the upstream's write of a new block's job to its arrival at the last miner: each of a few blocks.
   */
  readonly lastNotifiedMs: readonly number[];
  readonly fanoutCpuMs: number;
};

const BLOCKS = 4;
const SETTLE_MS = 1500;

/** Sessions that do nothing but wait for work, on a proxy of their own. */
export async function measureIdle(sessions: number): Promise<IdleResult> {
  const options = { port: 0, branches: 12, difficulty: 1, blockSeconds: 0 };
  const proxy = startProxyProcess(options);
  const load = BenchChild.start('load-process.ts', []);
  try {
    const { port } = await proxy.ask<Ports>('ports');
    const empty = await proxy.ask<Usage>('usage');
    await load.ask('connect', { port, connections: sessions, window: 0 });
    await sleep(SETTLE_MS);
    const full = await proxy.ask<Usage>('usage');
    const lastNotifiedMs: number[] = [];
    for (let block = 0; block < BLOCKS; block += 1) {
      const arrived = load.ask<number>('notified', { count: sessions });
      const leftAtMs = await proxy.ask<number>('newBlock');
      lastNotifiedMs.push((await arrived) - leftAtMs);
      await sleep(SETTLE_MS / 3);
    }
    const after = await proxy.ask<Usage>('usage');
    return {
      sessions,
      residentBytesEach: (full.residentBytes - empty.residentBytes) / sessions,
      lastNotifiedMs,
      fanoutCpuMs: (after.cpuMicros - full.cpuMicros) / 1000 / BLOCKS,
    };
  } finally {
    await load.stop();
    await proxy.stop();
  }
}
