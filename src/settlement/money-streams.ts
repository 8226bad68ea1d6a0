import { CodedError } from '../base/errors.ts';
import { canonicalJson } from '../base/json.ts';
import { type MoneyStream, moneyStreamOf } from '../contract/money-stream.ts';
import { call, handler } from '../peer/calls.ts';
import type { RpcHandlers, RpcPeer } from '../peer/rpc-peer.ts';
import { moneyStreamCodec } from '../peer/stream-codecs.ts';
import type { ContractStore } from './contract-store.ts';

/** A contract as a money stream, by the newest state that this side has. */
export function streamOf({ contractId, terms, last }: ContractStore): MoneyStream {
  return moneyStreamOf(contractId, terms, last);
}

/** What the other side may ask of a contract. @param storeOf throws where it may not */
export function streamHandlers(storeOf: (contractId: string) => ContractStore): RpcHandlers {
  return {
    'contract.stream': handler('contract.stream', async ({ contractId }) => ({
      stream: streamOf(storeOf(contractId)),
    })),
  };
}

/** Both sides of a contract as a money stream. */
export type ComparedStreams = {
  readonly own: MoneyStream;
  readonly other: MoneyStream;
  /** What is not the same at both; undefined where they are at different states. */
  readonly differences: readonly string[] | undefined;
};

/**
 * Asks the other side how it has a contract. Throws `peer_closed` while it is away, `unsupported` where it
 * does not know the question.
 */
export async function compareStreams(
  store: ContractStore,
  peer: RpcPeer | undefined,
): Promise<ComparedStreams> {
  if (peer === undefined) throw new CodedError('peer_closed', 'the other side is not connected');
  if (!peer.features.has('money_stream'))
    throw new CodedError('unsupported', 'the other side does not say how it has a stream');
  const { contractId } = store;
  const { stream: other } = await call(peer, 'contract.stream', { contractId });
  const own = streamOf(store);
  return { own, other, differences: own.n === other.n ? differencesOf(own, other) : undefined };
}

function differencesOf(own: MoneyStream, other: MoneyStream): readonly string[] {
  const [mine, theirs] = [moneyStreamCodec.print(own), moneyStreamCodec.print(other)] as Record<
    string,
    Parameters<typeof canonicalJson>[0]
  >[];
  return Object.keys(mine!).filter((name) => canonicalJson(mine![name]!) !== canonicalJson(theirs![name]!));
}
