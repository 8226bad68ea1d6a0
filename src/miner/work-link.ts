import { CodedError } from '../base/errors.ts';
import { call, handler } from '../peer/calls.ts';
import type { Params } from '../peer/messages.ts';
import type { RpcHandlers, RpcPeer } from '../peer/rpc-peer.ts';
import type { UpstreamShare } from '../upstream/upstream-share.ts';
import type { WorkDestination, WorkLink } from './work-destination.ts';

/** Of which contract and process jobs and solutions are. */
export type Subscription = Params<'work.subscribe'>;

/** A solution as it is sent to the maker. */
export type Solution = Omit<Params<'work.solution'>, 'contractId' | 'instance'>;

/** What the maker calls to give jobs and to withdraw them; nothing where it gives none. */
export function workHandlers(work: WorkDestination | undefined, own: Subscription): RpcHandlers {
  if (work === undefined) return {};
  const assertOwn = ({ contractId, instance }: Subscription): void => {
    if (contractId !== own.contractId || instance !== own.instance) throw new CodedError('unknown_channel');
  };
  return {
    'work.job': handler('work.job', async (asked) => {
      assertOwn(asked);
      work.give(asked);
      return {};
    }),
    'work.gone': handler('work.gone', async (asked) => {
      assertOwn(asked);
      work.withdraw(asked);
      return {};
    }),
  };
}

/** A share as it is sent to the maker. */
export function solutionOf({ job, extranonce2, ntime, nonce, versionBits }: UpstreamShare): Solution {
  const version = ((job.version & ~job.versionMask) | versionBits) >>> 0;
  return { id: job.bought!.jobId, extranonce2, ntime, nonce, version };
}

/** The link of a connection whose channel is open. */
export function workLink(peer: RpcPeer, own: Subscription): WorkLink {
  return {
    subscribe: async () => void (await call(peer, 'work.subscribe', own)),
    solve: (share) => call(peer, 'work.solution', { ...own, ...solutionOf(share) }),
  };
}
