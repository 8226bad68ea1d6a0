import { call } from '../../src/peer/calls.ts';
import type { Result } from '../../src/peer/messages.ts';
import type { RpcPeer } from '../../src/peer/rpc-peer.ts';
import { jobRecordOf } from '../../src/work/evidence.ts';
import { ShareRows } from '../../src/work/share-rows.ts';
import type { World } from './world.ts';

/** Sells so many real shares of a new job over a connection of the test, as a miner does. */
export async function sellOver(
  world: World,
  peer: RpcPeer,
  sold: { readonly contractId: string; readonly firstSeq: number; readonly count: number },
): Promise<Result<'work.batch'>> {
  const { contractId, firstSeq, count } = sold;
  const job = world.job({ stream: contractId });
  await call(peer, 'job.announce', { contractId, job: jobRecordOf(job) });
  const shares = world.find(job, count).map(({ submission }) => {
    const { extranonce, ntime, nonce, version, assigned } = submission;
    const [extranonce1, extranonce2] = [extranonce.slice(0, 4), extranonce.slice(4)];
    return {
      jobId: job.id,
      difficulty: assigned.difficulty,
      extranonce1,
      extranonce2,
      ntime,
      nonce,
      version,
    };
  });
  return call(peer, 'work.batch', { contractId, firstSeq, shares: ShareRows.of(shares), workTotal: 0n });
}
