import { LIMITS } from '../../../src/base/limits.ts';
import { codecsOf } from '../../../src/peer/messages.ts';
import type { JobRecord } from '../../../src/work/evidence.ts';
import { ShareRows } from '../../../src/work/share-rows.ts';
import { SHARE } from '../farm.ts';
import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import { alterLines, paid } from './tools.ts';

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

const UNKNOWN_JOB = 999_998;
const UNBOUND_JOB = 999_999;
/** Batches of one share each, every one of which makes the maker write again what it refused before. */
const REWRITES = 64;

/**
 * Sends shares of a job that pays somebody else and of one that nobody announced, in turn: each is a range of
 * its own in what the maker writes with every batch.
 */
async function floodRefusals(stage: Stage): Promise<void> {
  const { world } = stage;
  const { contractId } = world;
  let job: JobRecord | undefined;
  alterLines(world, ({ about, message }) => {
    if (about === 'job.announce' && message.params !== undefined)
      job = codecsOf('job.announce').params.parse(message.params).job;
    return [message];
  });
  await paid(stage, 1);
  const isConnected = world.miner?.status.connected === true;
  if (job === undefined || !isConnected) return stage.liveOut();
  const { time: ntime, version } = job;
  let asked = 0;
  const ask = (method: string, params: unknown): void => {
    asked += 1;
    const line = { jsonrpc: '2.0', id: 70_000 + asked, method, params };
    world.network.inject('miner', JSON.stringify(line));
  };
  const coinb2 = job.coinb2.with(20, job.coinb2[20]! ^ 1);
  const unbound = { ...job, id: UNBOUND_JOB, wireId: 'f423f', coinb2 };
  ask('job.announce', codecsOf('job.announce').params.print({ contractId, job: unbound }));
  const stored = world.disks.maker.documents.get(`delivery ${contractId}`) ?? '{}';
  let { next_seq: firstSeq } = JSON.parse(stored) as { next_seq: number };
  const refuse = (jobIds: readonly number[]): void => {
    const shares = jobIds.map((jobId, nonce) => ({
      ...{ jobId, difficulty: SHARE.difficulty, ntime, nonce, version },
      ...{ extranonce1: new Uint8Array(4), extranonce2: new Uint8Array(8) },
    }));
    ask(
      'work.batch',
      codecsOf('work.batch').params.print({
        contractId,
        firstSeq,
        shares: ShareRows.of(shares),
        workTotal: 0n,
      }),
    );
    firstSeq += shares.length;
  };
  const turns = Array.from({ length: 1000 }, (_, at) => (at % 2 === 0 ? UNBOUND_JOB : UNKNOWN_JOB));
  for (const jobIds of [turns, turns]) refuse(jobIds);
  for (let time = 0; time < REWRITES; time += 1) refuse([UNBOUND_JOB]);
  await stage.rounds(4);
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
  'miner-floods-refusals': {
    what: 'the miner sends shares that are refused in turn for two reasons, which are written again and again',
    row: 'F19',
    hostile,
    play: floodRefusals,
    judge: ({ world }) => {
      const bytes = world.disks.maker.askedBytes.get('refusals') ?? 0;
      // What is over is known when it was written; and what comes back in some minutes.
      const most = (LIMITS.peerRefusedBytes * 3) / 2;
      return bytes > most ? [{ rule: 'a peer fills the journal', seen: `${bytes} bytes` }] : [];
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
