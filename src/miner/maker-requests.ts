import { assert } from '../base/assert.ts';
import { CodedError } from '../base/errors.ts';
import type { SerialQueue } from '../base/serial-queue.ts';
import { signAck } from '../channel/states.ts';
import { handler } from '../peer/calls.ts';
import type { FeatureSet } from '../peer/features.ts';
import type { RpcHandlers } from '../peer/rpc-peer.ts';
import { answerForBond, type BondSide } from '../settlement/bond-release.ts';
import { type ContractUpdates, updateHandlers } from '../settlement/contract-updates.ts';
import { streamHandlers } from '../settlement/money-streams.ts';
import { type NoticeBoard, noticeHandlers } from '../settlement/notice-board.ts';
import type { PeerBlobs } from '../settlement/peer-blobs.ts';
import type { FoundBlocks } from './found-blocks.ts';
import type { MinerContractDeps } from './miner-options.ts';
import { giveClaim } from './miner-seal.ts';
import type { MinerStore } from './miner-store.ts';
import { nameTransactions, showTransactions } from './template-answers.ts';
import type { WorkDestination } from './work-destination.ts';
import { type Subscription, workHandlers } from './work-link.ts';

/** What the requests of a maker are answered from. */
export type RequestParts = {
  readonly store: MinerStore;
  /** Of the connection. */
  readonly features: FeatureSet;
  readonly notices: NoticeBoard;
  /** Queue of all that changes the channel. */
  readonly serial: SerialQueue;
  readonly work: WorkDestination | undefined;
  readonly blocks: FoundBlocks | undefined;
  readonly subscription: Subscription;
  readonly blobs: PeerBlobs;
  readonly updates: ContractUpdates;
  /** Ends the connection. */
  readonly drop: (error: CodedError) => void;
  readonly bondSide: BondSide;
  /** Called with each state that came, taken or not. */
  readonly onStateSeen: () => void;
  readonly onStateTaken: () => void;
  readonly onReady: () => void;
  readonly requestClose: () => void;
};

/** What the maker of one contract may ask its miner. */
export function makerRequests(parts: RequestParts, deps: MinerContractDeps): RpcHandlers {
  const { store, serial, blocks } = parts;
  const shown = { ...deps, jobOf: (jobId: number) => blocks?.jobOf(jobId) };
  const assertOwn = (contractId: string): void => {
    if (store.contractId !== contractId || store.last === undefined)
      throw new CodedError('unknown_channel');
  };
  return {
    ping: async () => ({}),
    ...workHandlers(parts.work, parts.subscription),
    ...stateRequests(parts, assertOwn, deps),
    ...noticeHandlers((contractId) => {
      assertOwn(contractId);
      return parts.notices;
    }),
    ...streamHandlers((contractId) => {
      assertOwn(contractId);
      return store;
    }),
    ...updateHandlers(
      (contractId) => {
        assertOwn(contractId);
        return parts.updates;
      },
      (_contractId, error) => parts.drop(error),
    ),
    'work.template': handler('work.template', async (asked) => {
      assertOwn(asked.contractId);
      return nameTransactions(asked, shown);
    }),
    'work.transactions': handler('work.transactions', async (asked) => {
      assertOwn(asked.contractId);
      return showTransactions(asked, shown);
    }),
    'seal.claim': handler('seal.claim', (asked) =>
      serial.run(async () => {
        assertOwn(asked.contractId);
        return { claim: await giveClaim(store, asked, deps) };
      }),
    ),
    'bond.release': handler('bond.release', (asked) =>
      serial.run(() => {
        assertOwn(asked.contractId);
        return answerForBond(asked, parts.bondSide, deps);
      }),
    ),
    'peer_storage.put': handler('peer_storage.put', async ({ contractId, blob }) => {
      assertOwn(contractId);
      await parts.blobs.put(contractId, blob);
      return {};
    }),
  };
}

/** What moves the channel: a newer state, its start and its end. */
function stateRequests(
  { store, features, serial, onStateSeen, onStateTaken, onReady, requestClose }: RequestParts,
  assertOwn: (contractId: string) => void,
  { signer }: MinerContractDeps,
): RpcHandlers {
  return {
    'state.sign': handler('state.sign', ({ contractId, state, commitment }) =>
      serial.run(async () => {
        assertOwn(contractId);
        assert(store.assembled !== undefined, 'miner_channel_before_state');
        // What it throws may be a reason to close.
        await store.takeState(state).finally(onStateSeen);
        onStateTaken();
        const signature = commitment && (await store.countersign(commitment, state, features, signer));
        const ackSignature = signAck(store.assembled.params, state, signer);
        const committed = signature === undefined ? {} : { commitmentSignature: signature };
        return { n: state.n, ackSignature, ...committed };
      }),
    ),
    'channel.ready': handler('channel.ready', async ({ contractId, txid }) => {
      assertOwn(contractId);
      if (store.channel?.fundingTxid !== txid) throw new CodedError('bad_funding');
      store.assertOpenable();
      await serial.run(() => store.commit({ type: 'peer_ready' }));
      onReady();
      return {};
    }),
    'channel.shutdown': handler('channel.shutdown', async ({ contractId }) => {
      assertOwn(contractId);
      requestClose();
      return { n: store.last?.n ?? 0 };
    }),
  };
}
