import { expect, it } from 'vitest';
import { makerMinutes } from '../../src/maker/maker-minute.ts';
import type { MakerStore } from '../../src/maker/maker-store.ts';
import type { MinuteKeeper } from '../../src/settlement/minute-keeper.ts';
import type { NoticeBoard } from '../../src/settlement/notice-board.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { recorder } from '../chain/log-recorder.ts';
import { makerSigner } from '../channel/fixtures.ts';
import { CONTRACT_ID, deliveryTerms } from '../contract/minutes-stand.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

/** A contract as its store would have it, at the moment. */
const LIVE = {
  ...{
    opened: true,
    status: 'live',
    paidHashes: 300n as bigint | undefined,
    height: 900 as number | undefined,
  },
  ...{ workHashes: 500n, isFaulty: false, isDown: false, isClosed: false, paused: [] as string[] },
};
type Moment = typeof LIVE;

async function stood(terms = deliveryTerms(12)) {
  const time = new VirtualTime();
  const { clock, timers } = time;
  let now: Moment = LIVE;
  const calls: string[] = [];
  const store = {
    ...{ contractId: CONTRACT_ID, terms },
    get isClosed() {
      return now.isClosed;
    },
    get delivery() {
      return { verifiedWorkHashes: now.workHashes };
    },
    get stream() {
      const signed = now.paidHashes === undefined ? undefined : { workHashes: now.paidHashes };
      return { opened: now.opened, status: now.status, signed };
    },
    get state() {
      const fault = now.isFaulty ? { type: 'suspended', code: 'overload' } : undefined;
      return { tipHeight: now.height, fault };
    },
  } as unknown as MakerStore;
  const notices = { isPaused: (side: string) => now.paused.includes(side) } as unknown as NoticeBoard;
  const hooks = {
    isDown: () => now.isDown,
    onMinute: () => void calls.push('minute'),
    onDefault: () => void calls.push('default'),
  };
  const ledger = new MemoryLedger({}, { clock, timers });
  const deps = { ledger, clock, timers, log: recorder().log, signer: makerSigner };
  const begin = async (changes: Partial<Moment> = {}): Promise<MinuteKeeper | undefined> => {
    now = { ...LIVE, ...changes };
    const made = makerMinutes(store, notices, hooks, deps);
    await time.settle();
    return made;
  };
  /** What is reported of the next minute; undefined where nothing is. */
  const minute = async (keeper: MinuteKeeper, changes: Partial<Moment>): Promise<unknown> => {
    now = { ...LIVE, ...changes };
    const count = calls.length;
    await time.advance(60_000);
    await time.settle();
    if (calls.length === count) return undefined;
    const { reports } = await keeper.answer({ contractId: CONTRACT_ID, next: 0, reports: [] });
    const { height, workHashes, paidHashes, says } = reports.at(-1)!;
    return { height, workHashes, paidHashes, says };
  };
  return { begin, minute, calls };
}

const SAID = { height: 900, workHashes: 500n, paidHashes: 300n, says: 'taking' };

it('a minute is reported while the contract is live: its height, its work, what is paid, and what holds it up', async () => {
  const { begin, minute, calls } = await stood();
  const keeper = (await begin())!;
  // The one in which it began is not over as a whole.
  const first = { paidHashes: undefined, workHashes: 400n, height: undefined };
  await minute(keeper, first);
  expect(await minute(keeper, first)).toEqual({ ...SAID, height: 0, workHashes: 400n, paidHashes: 0n });
  expect(await minute(keeper, {})).toEqual(SAID);
  const says = async (changes: Partial<Moment>): Promise<unknown> =>
    ((await minute(keeper, changes)) as { readonly says: string } | undefined)?.says;
  expect([
    await says({ paused: ['miner'] }),
    await says({ paused: ['maker'] }),
    await says({ paused: ['maker'], isDown: true }),
    await says({ isDown: true }),
    await says({ isFaulty: true, isDown: true, paused: ['maker'] }),
    await says({ isFaulty: true }),
  ]).toEqual(['taking', 'paused', 'work_down', 'work_down', 'suspended', 'suspended']);
  const reported = calls.length;
  expect(calls).toEqual(Array.from({ length: reported }, () => 'minute'));
  // The rest of what the other side said is asked for then: nothing of this side is in it.
  const last = await keeper.answer({ contractId: CONTRACT_ID, next: 0, reports: [] });
  for (const over of [{ opened: false }, { status: 'paused' }, { status: 'ending' }])
    await minute(keeper, over);
  expect(await keeper.answer({ contractId: CONTRACT_ID, next: 0, reports: [] })).toEqual(last);
  await keeper.stop();
});

it('no minutes are kept of a contract that is over, or whose terms have no rules of delivery', async () => {
  const { begin, calls } = await stood();
  expect(await begin({ isClosed: true })).toBe(undefined);
  const without = await stood(makeTermsV3());
  expect([await without.begin(), calls, without.calls]).toEqual([undefined, [], []]);
});
