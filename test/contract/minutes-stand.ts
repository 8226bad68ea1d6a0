import type { CourseView } from '../../src/contract/delivery-course.ts';
import { type CourseOptions, courseOptionsOf } from '../../src/contract/delivery-course.ts';
import { type ChainedReport, MinuteChains } from '../../src/contract/minute-chains.ts';
import type { MinuteReport, MinuteRole, MinuteSays } from '../../src/contract/minutes.ts';
import { makeTermsV3 } from './terms-v3-fixtures.ts';

export const CONTRACT_ID = '42'.repeat(32);
/** Expected hashes of a share of the target below: 2^32. */
const SHARE = 2n ** 32n;
const TARGET = `00000000${'f'.repeat(56)}`;

/** Terms by which so many shares a minute are due, over a week. */
export function deliveryTerms(sharesPerMinute: number): ReturnType<typeof makeTermsV3> {
  const dueHps = (SHARE * BigInt(sharesPerMinute)) / 60n;
  return makeTermsV3({
    target: { easiestHex: TARGET, hardestHex: TARGET },
    rate: { committed: dueHps, min: dueHps, max: 2n * dueHps },
    durationBlocks: 1008,
    workTotalHashes: 10n ** 30n,
    maxUnpaidSteps: 3,
    stepHashes: 100n * SHARE,
    delivery: {
      ...{ windowMinutes: 1440, tolerancePpm: 20_000, curtailmentBlocks: 60 },
      ...{ cureBlocks: 24, falseDefaultAlphaPpm: 1000 },
    },
  });
}

export const optionsOf =
  (sharesPerMinute = 12) =>
  (view: CourseView): CourseOptions =>
    courseOptionsOf(deliveryTerms(sharesPerMinute), view)!;

/** What happens in a minute. */
export type Minute = {
  /** Shares that were found, and that reached the maker. */
  readonly shares: number;
  readonly miner?: MinuteSays | 'down';
  readonly maker?: MinuteSays | 'down';
  /** False while nothing passes between them. */
  readonly isLinked?: boolean;
  readonly notice?: MinuteReport['notice'];
};

const FIRST = 28_000_000;
export const FIRST_HEIGHT = 900_000;

/**
 * Two sides with a log each, that hear of each other's reports while the link works, and start anew from
 * what is on the disk when they are told to.
 */
/** Minutes of every kind, at twelve due shares. */
export const MINUTES: readonly Minute[] = [
  { shares: 12 },
  { shares: 6 },
  { shares: 0 },
  { shares: 0, miner: 'idle' },
  { shares: 12, isLinked: false },
  { shares: 0, miner: 'down', isLinked: false },
  { shares: 0, maker: 'down', isLinked: false },
  { shares: 0, miner: 'unpaid' },
  { shares: 0, maker: 'work_down' },
  { shares: 0, maker: 'suspended' },
];

export class TwoLogs {
  readonly sides: Record<MinuteRole, MinuteChains>;
  readonly stored: Record<MinuteRole, Record<MinuteRole, MinuteReport[]>> = {
    miner: { miner: [], maker: [] },
    maker: { miner: [], maker: [] },
  };
  minute = 0;
  paidShares = 0;
  readonly #options;
  #delivered = 0;
  #credited = 0;

  constructor(sharesPerMinute = 12) {
    this.#options = optionsOf(sharesPerMinute);
    this.sides = { miner: this.#fresh('miner'), maker: this.#fresh('maker') };
  }

  #fresh(role: MinuteRole): MinuteChains {
    return new MinuteChains(CONTRACT_ID, role, this.#options);
  }

  get height(): number {
    return FIRST_HEIGHT + Math.floor(this.minute / 10);
  }

  /** One minute, a block each ten. */
  pass({ shares, miner = 'delivering', maker = 'taking', isLinked = true, notice }: Minute): void {
    this.#delivered += shares;
    if (isLinked) this.#credited = this.#delivered;
    const minute = FIRST + this.minute;
    const report = (role: MinuteRole, says: MinuteSays): MinuteReport => ({
      ...{ minute, height: this.height, says },
      workHashes: SHARE * BigInt(role === 'miner' ? this.#delivered : this.#credited),
      paidHashes: SHARE * BigInt(this.paidShares),
      heard: this.sides[role].last(role === 'miner' ? 'maker' : 'miner')?.minute ?? minute - 1,
      ...(notice === undefined || role === 'maker' ? {} : { notice }),
    });
    if (miner !== 'down') this.add('miner', 'miner', [report('miner', miner)]);
    if (maker !== 'down') this.add('maker', 'maker', [report('maker', maker)]);
    this.minute += 1;
    if (isLinked && miner !== 'down' && maker !== 'down') this.exchange();
  }

  /** So many minutes of a kind. */
  run(count: number, of: (minute: number) => Minute): void {
    for (let done = 0; done < count; done += 1) this.pass(of(done));
  }

  add(side: MinuteRole, whose: MinuteRole, reports: readonly MinuteReport[]): void {
    const chained: readonly ChainedReport[] = this.sides[side].follow(whose, reports);
    this.stored[side][whose].push(...reports);
    this.sides[side].add(whose, chained);
  }

  /** Each tells the other what it has not heard. */
  exchange(): void {
    for (const [from, to] of [
      ['miner', 'maker'],
      ['maker', 'miner'],
    ] as const) {
      const next = (this.sides[to].last(from)?.minute ?? 0) + 1;
      const chained = this.sides[from].from(from, next, 1_000_000);
      this.add(
        to,
        from,
        chained.map(({ report }) => report),
      );
    }
  }

  /** A side starts anew from its disk: first the other's reports, or its own. */
  restart(side: MinuteRole): void {
    this.sides[side] = this.#fresh(side);
    const other = side === 'miner' ? 'maker' : 'miner';
    for (const whose of [other, side] as const) {
      const chained = this.sides[side].follow(whose, this.stored[side][whose]);
      this.sides[side].add(whose, chained);
    }
  }

  statusOf(side: MinuteRole): { agreed: string; own: string } {
    const { agreed, own } = this.sides[side];
    return { agreed: agreed.delivery.status, own: own.delivery.status };
  }
}
