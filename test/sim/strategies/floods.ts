import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import { paid } from './tools.ts';

const hostile = ['miner'] as const;

/** So many requests at once, each another id, on the connection there is. */
function flood(stage: Stage, method: string, params: unknown, count: number): void {
  for (let at = 0; at < count; at += 1) {
    const id = 9_000 + stage.height * 1_000 + at;
    stage.world.network.inject('miner', JSON.stringify({ jsonrpc: '2.0', id, method, params }));
  }
}

/** Work is paid, then all of this comes, twice, and the contract lives out. */
async function flooded(stage: Stage, method: string, params: unknown, limit: string): Promise<void> {
  await paid(stage, 1 + stage.random.below(2));
  const isConnected = stage.world.miner?.status.connected === true;
  const { contractId } = stage.world;
  for (let time = 0; time < 2; time += 1) {
    flood(stage, method, { contract_id: contractId, ...(params as object) }, 100);
    await stage.rounds(2);
  }
  const hits = stage.world.maker?.stats.limitHits[limit] ?? 0;
  if (isConnected && stage.world.maker !== undefined && hits === 0)
    stage.find('a peer is served without a bound', `${method} 200 times`);
  await stage.liveOut();
}

/** What an authenticated miner sends too much of; `maker/hostile-bounds.test.ts` counts all ways of it. */
export const BY_FLOODS: Readonly<Record<string, Strategy>> = {
  'miner-floods-storage': {
    what: 'the miner has blobs stored in a loop',
    row: 'F3',
    hostile,
    play: (stage) => flooded(stage, 'peer_storage.put', { blob: 'A'.repeat(80_000) }, 'peerBlobsPerMinute'),
    judge: ({ world }) => {
      const bytes = world.disks.maker.askedBytes.get('blob') ?? 0;
      return bytes > 0 ? [{ rule: 'a peer fills the journal', seen: `${bytes} bytes` }] : [];
    },
  },
  'miner-floods-requests': {
    what: 'the miner asks in a loop for what costs signatures, and is cut off',
    row: 'F19',
    hostile,
    play: (stage) =>
      flooded(
        stage,
        'close.sig',
        { n: 1, fee_sat: '500', signature: '11'.repeat(64) },
        'peerCostlyRequests',
      ),
  },
};
