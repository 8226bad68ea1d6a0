import { larger } from '../base/bigints.ts';
import { workOfTarget } from '../bitcoin/target.ts';
import {
  DELIVERY_START,
  type DeliveryEffect,
  type DeliveryOptions,
  type DeliveryState,
  transition as deliver,
  type FaultOwner,
  isCurtailed,
} from './delivery-state.ts';
import { type MinuteReport, type MinuteRuling, type MinuteWords, ownerOf } from './minutes.ts';
import type { ContractTerms } from './terms.ts';
import { hardestTarget } from './terms-access.ts';

/**
 * The course of a contract's delivery by the minute logs of both sides. `agreed` goes by what both signed
 * alone, so that both and an auditor come to the same; minutes that the logs leave undecided owe nothing.
 * `maker` and `miner` are each side's own view, by which it acts where the other is silent: to the maker
 * such a minute was the miner's fault, to the miner the maker's.
 */
export type CourseView = 'agreed' | 'miner' | 'maker';

export type CourseOptions = {
  readonly view: CourseView;
  readonly delivery: DeliveryOptions;
  /** See `MinuteWords`. */
  readonly unpaidHashes: bigint;
};

export type CourseState = {
  readonly delivery: DeliveryState;
  /** The newest report of the maker that was judged: work is credited from it on. */
  readonly creditedHashes: bigint | undefined;
  /** Height of the newest minute that had one. */
  readonly height: number;
  /** Minutes by ruling; without fault: `none`. */
  readonly minutes: Readonly<Partial<Record<NonNullable<MinuteRuling> | 'none', number>>>;
};

export const COURSE_START: CourseState = {
  delivery: DELIVERY_START,
  creditedHashes: undefined,
  height: 0,
  minutes: {},
};

/** What is known of a minute. */
export type CourseEvent = { readonly type: 'minute' } & Pick<
  MinuteWords,
  'minute' | 'miner' | 'maker' | 'isHeard'
>;

export type CourseEffect =
  | DeliveryEffect
  | { readonly type: 'ruled'; readonly minute: number; readonly ruling: MinuteRuling };

/** What is judged, from terms that have rules of delivery. */
export function courseOptionsOf(terms: ContractTerms, view: CourseView): CourseOptions | undefined {
  if (terms.version !== 3 || terms.delivery === undefined || terms.rate === undefined) return undefined;
  const { delivery, rate, durationBlocks, maxUnpaidSteps, stepHashes } = terms;
  const dueHashes = rate.committed * 60n;
  const byWork = Number(terms.workTotalHashes / dueHashes) + 1;
  const byBlocks = durationBlocks === undefined ? byWork : durationBlocks * 10;
  return {
    view,
    unpaidHashes: larger(BigInt(maxUnpaidSteps) - 1n, 1n) * stepHashes,
    delivery: {
      dueHashes,
      shareHashes: workOfTarget(hardestTarget(terms)),
      tolerancePpm: delivery.tolerancePpm,
      cureBlocks: delivery.cureBlocks,
      curtailmentBlocks: delivery.curtailmentBlocks,
      shortfall: {
        alpha: delivery.falseDefaultAlphaPpm / 1_000_000,
        tolerance: delivery.tolerancePpm / 1_000_000,
        windowMinutes: delivery.windowMinutes,
        expectedMinutes: Math.min(byWork, byBlocks),
      },
    },
  };
}

export type CourseStep = { readonly state: CourseState; readonly effects: readonly CourseEffect[] };

/**
 * The course after one more minute of the contract, in order.
 * @param height the lower of both reports', so that neither hastens the end of a cure; 0 where there is none
 */
export function transition(
  options: CourseOptions,
  state: CourseState,
  event: CourseEvent,
  height: number,
): CourseStep {
  const { minute, miner, maker, isHeard } = event;
  const work = isReport(maker) ? maker.workHashes : state.creditedHashes;
  // The first report of the maker is where counting begins. One that shows two logs from there on was down.
  const isFirst = state.creditedHashes === undefined && maker !== 'down';
  const creditedHashes = larger((work ?? 0n) - (state.creditedHashes ?? work ?? 0n), 0n);
  const tip = Math.max(state.height, height);
  const before = { ...state, height: tip, creditedHashes: work };
  const noticed = withNotice(options, before, event);
  if (isFirst) return noticed;
  const { dueHashes, shareHashes } = options.delivery;
  const { unpaidHashes } = options;
  const words = { minute, miner, maker, isHeard, creditedHashes, dueHashes, shareHashes, unpaidHashes };
  const fault = ownerOf(words);
  const isExcused = fault !== undefined && isCurtailed(noticed.state.delivery, tip);
  const ruling = isExcused ? 'agreed_pause' : fault;
  const owner = ownerIn(options.view, ruling, creditedHashes);
  const ruled = { type: 'minute', creditedHashes, owner } as const;
  const judged = deliver(options.delivery, noticed.state.delivery, ruled, tip);
  const minutes = {
    ...noticed.state.minutes,
    [ruling ?? 'none']: (noticed.state.minutes[ruling ?? 'none'] ?? 0) + 1,
  };
  return {
    state: { ...noticed.state, delivery: judged.state, minutes },
    effects: [...noticed.effects, { type: 'ruled', minute, ruling }, ...judged.effects],
  };
}

function isReport(report: MinuteWords['miner']): report is MinuteReport {
  return typeof report !== 'string';
}

/** A notice counts where both sides' reports show that it was heard in time. */
function withNotice(
  options: CourseOptions,
  state: CourseState,
  { miner, maker, isHeard }: CourseEvent,
): CourseStep {
  if (!isReport(miner) || miner.notice === undefined || !isReport(maker)) return { state, effects: [] };
  if (!isHeard.miner || !isHeard.maker) return { state, effects: [] };
  const event = { type: 'curtailment', ...miner.notice } as const;
  const noticed = deliver(options.delivery, state.delivery, event, state.height);
  return { state: { ...state, delivery: noticed.state }, effects: noticed.effects };
}

/** To whom a view gives a minute; what nobody owes is given to the network. */
function ownerIn(view: CourseView, ruling: MinuteRuling, creditedHashes: bigint): FaultOwner | undefined {
  if (ruling !== 'undecided') return ruling;
  if (view === 'agreed') return 'network';
  if (view === 'miner') return 'maker_silent';
  return creditedHashes === 0n ? 'miner_offline' : 'miner_slow';
}
