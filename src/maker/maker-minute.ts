import { MinuteKeeper, type MinuteKeeperDeps, type MinuteView } from '../settlement/minute-keeper.ts';
import type { NoticeBoard } from '../settlement/notice-board.ts';
import type { MakerStore } from './maker-store.ts';

/**
 * What the maker says of a minute at its end.
 * @param isDown whether it gives the jobs, and has none
 */
function makerMinute(store: MakerStore, notices: NoticeBoard, isDown: boolean): MinuteView {
  const { stream, state, delivery } = store;
  if (!stream.opened || stream.status !== 'live') return undefined;
  const own = notices.isPaused('maker') ? 'paused' : 'taking';
  return {
    height: state.tipHeight ?? 0,
    workHashes: delivery.verifiedWorkHashes,
    paidHashes: stream.signed?.workHashes ?? 0n,
    says: state.fault !== undefined ? 'suspended' : isDown ? 'work_down' : own,
  };
}

/** What the log of a contract asks of the maker, and tells it. */
export type MakerMinuteHooks = {
  readonly isDown: () => boolean;
  readonly onMinute: () => void;
  readonly onDefault: () => void;
};

/** Keeps the minute log of a contract; undefined where it is over, or its terms have no rules of delivery. */
export async function makerMinutes(
  store: MakerStore,
  notices: NoticeBoard,
  { isDown, onMinute, onDefault }: MakerMinuteHooks,
  deps: MinuteKeeperDeps,
): Promise<MinuteKeeper | undefined> {
  if (store.isClosed) return undefined;
  const { contractId, terms } = store;
  const view = (): MinuteView => makerMinute(store, notices, isDown());
  const options = { contractId, role: 'maker', terms, view, onMinute, onDefault } as const;
  const keeper = await MinuteKeeper.load(options, deps);
  keeper?.start();
  return keeper;
}
