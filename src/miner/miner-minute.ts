import type { MinuteSays } from '../contract/minutes.ts';
import { exposureRoom } from '../contract/stream.ts';
import { MinuteKeeper, type MinuteKeeperDeps, type MinuteView } from '../settlement/minute-keeper.ts';
import type { NoticeBoard } from '../settlement/notice-board.ts';
import type { MinerStore } from './miner-store.ts';

/** What the log of a contract asks of the miner, and tells it. */
export type MinerMinuteHooks = {
  /** Whether the maker's jobs, where it gives them, can be mined. */
  readonly hasWork: () => boolean;
  readonly onMinute: () => void;
};

/** What the miner says of a minute at its end. */
function minerMinute(store: MinerStore, notices: NoticeBoard, hasWork: boolean): MinuteView {
  const { stream, state, own, last } = store;
  if (!stream.opened || (stream.status !== 'live' && stream.status !== 'paused')) return undefined;
  return {
    height: state.tipHeight ?? 0,
    workHashes: own.workHashes,
    paidHashes: last?.workHashes ?? 0n,
    says: state.fault !== undefined ? 'idle' : saidOf(store, notices, hasWork),
    ...notices.takeUntold(),
  };
}

function saidOf({ stream, terms }: MinerStore, notices: NoticeBoard, hasWork: boolean): MinuteSays {
  if (notices.isPaused('miner')) return 'paused';
  if (stream.exposureLimited || exposureRoom(terms, stream) <= 0n) return 'unpaid';
  return hasWork && !notices.isPaused('maker') ? 'delivering' : 'no_work';
}

/** Keeps the minute log of a contract; undefined where its terms have no rules of delivery. */
export function minerMinutes(
  store: MinerStore,
  notices: NoticeBoard,
  { hasWork, onMinute }: MinerMinuteHooks,
  deps: MinuteKeeperDeps,
): Promise<MinuteKeeper | undefined> {
  const { contractId, terms } = store;
  const view = (): MinuteView => minerMinute(store, notices, hasWork());
  const onDefault = (): void => store.apply({ type: 'defaulted' });
  return MinuteKeeper.load({ contractId, role: 'miner', terms, view, onMinute, onDefault }, deps);
}
