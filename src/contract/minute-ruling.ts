import { larger } from '../base/bigints.ts';
import {
  COURSE_START,
  type CourseEvent,
  type CourseOptions,
  type CourseState,
  courseOptionsOf,
  transition,
} from './delivery-course.ts';
import {
  HEARD_MINUTES,
  type MinuteReport,
  type MinuteRole,
  type MinuteRuling,
  type MinuteWords,
} from './minutes.ts';
import { otherSide } from './sides.ts';
import type { ContractTerms } from './terms.ts';

/**
 * The ruling on delivery by the minute logs of both sides, as whoever has them comes to it: an auditor, or a
 * reader of two exports. A log counts as far as its side signed it.
 */

/** The log of a side as one of both tells it, up to the newest report under the signature of its side. */
export type SignedLog = {
  readonly role: MinuteRole;
  /** Who shows it: its own side, or the other that was given it. */
  readonly teller: MinuteRole;
  readonly reports: readonly MinuteReport[];
};

/** Who is in default; `none` where nobody is, `undecided` where the logs do not say. */
export type LogVerdict = MinuteRole | 'none' | 'undecided';

export type LogRuling = {
  readonly verdict: LogVerdict;
  readonly words: string;
  /** Minutes by ruling, as `CourseState`. */
  readonly minutes: CourseState['minutes'];
  /** Of the newest minutes, oldest first. */
  readonly rulings: readonly { readonly minute: number; readonly ruling: MinuteRuling }[];
  /** Delivery by the rulings, what is undecided owing nothing. */
  readonly delivery: CourseState['delivery'];
  /** The first and the last minute that was judged; undefined where there is none. */
  readonly from: number | undefined;
  readonly to: number | undefined;
  /** Minutes from which on a side signed two logs. */
  readonly forks: Readonly<Partial<Record<MinuteRole, number>>>;
};

export type LogRulingOptions = {
  readonly terms: ContractTerms;
  /** True where evidence shows that the maker credited all good work: then its counts need no other word. */
  readonly isCreditProven: boolean;
};

/** Minutes whose rulings are kept one by one: a day. */
const RULINGS_KEPT = 1440;

/** The log of a side, made of all that was told of it. */
class MergedLog {
  readonly #reports = new Map<number, MinuteReport>();
  /** Heights of the reports from the fork on, the lower of two. */
  readonly #heights = new Map<number, number>();
  /** The first minute of which there are two reports, or one and none. */
  readonly fork: number | undefined;
  readonly first: number | undefined;
  /** The newest minute that some log of this side has. */
  readonly last: number = -1;
  /** The newest minute up to which each side showed it. */
  readonly told: Readonly<Record<MinuteRole, number>>;

  constructor(logs: readonly SignedLog[]) {
    const filled = logs.filter(({ reports }) => reports.length > 0);
    const [one, two] = filled;
    this.fork = one === undefined || two === undefined ? undefined : forkOf(one.reports, two.reports);
    const told = { miner: -1, maker: -1 };
    for (const { teller, reports } of filled) {
      const newest = reports.at(-1)!.minute;
      told[teller] = Math.max(told[teller], newest);
      this.last = Math.max(this.last, newest);
      this.first = Math.min(this.first ?? Infinity, reports[0]!.minute);
      for (const report of reports) this.#add(report);
    }
    this.told = told;
  }

  #add(report: MinuteReport): void {
    const { minute, height } = report;
    if (minute < (this.fork ?? Infinity)) this.#reports.set(minute, report);
    else this.#heights.set(minute, Math.min(height, this.#heights.get(minute) ?? height));
  }

  /** Height that its side said in a minute, in whichever log; undefined where it said none. */
  heightOf(minute: number): number | undefined {
    return this.#reports.get(minute)?.height ?? this.#heights.get(minute);
  }

  /** What it says of a minute: what its side said in two ways, it was down in. */
  of(minute: number): MinuteWords['miner'] {
    return this.last < minute ? 'unheard' : (this.#reports.get(minute) ?? 'down');
  }

  hears(minute: number): boolean {
    for (let later = minute; later <= minute + HEARD_MINUTES; later += 1)
      if ((this.#reports.get(later)?.heard ?? -1) >= minute) return true;
    return false;
  }
}

/** The first minute in which two logs of one side differ, both going on. */
function forkOf(a: readonly MinuteReport[], b: readonly MinuteReport[]): number | undefined {
  for (let at = 0; at < Math.min(a.length, b.length); at += 1)
    if (!isSame(a[at]!, b[at]!)) return Math.min(a[at]!.minute, b[at]!.minute);
  return undefined;
}

function isSame(a: MinuteReport, b: MinuteReport): boolean {
  return (
    a.minute === b.minute &&
    a.height === b.height &&
    a.workHashes === b.workHashes &&
    a.paidHashes === b.paidHashes &&
    a.heard === b.heard &&
    a.says === b.says &&
    a.notice?.fromHeight === b.notice?.fromHeight &&
    a.notice?.blocks === b.notice?.blocks
  );
}

/**
 * Rules on delivery; undefined for terms without rules of it, and without any log. A side is
 * in default by its own log and by what it had of the other's: what it never saw is held against nobody.
 */
export function ruleByLogs(
  { terms, isCreditProven }: LogRulingOptions,
  logs: readonly SignedLog[],
): LogRuling | undefined {
  const [agreed, worst] = [courseOptionsOf(terms, 'agreed'), courseOptionsOf(terms, 'maker')];
  if (agreed === undefined || worst === undefined) return undefined;
  if (logs.every(({ reports }) => reports.length === 0)) return undefined;
  const both = {
    miner: new MergedLog(logs.filter(({ role }) => role === 'miner')),
    maker: new MergedLog(logs.filter(({ role }) => role === 'maker')),
  };
  const judge = new Judge(both, { agreed, claimed: agreed, worst }, isCreditProven);
  judge.run();
  return judge.ruling;
}

type Logs = Readonly<Record<MinuteRole, MergedLog>>;

/**
 * The ways to read the logs: by their rulings; with the work that the miner says it delivered, where that is
 * more; and with all that is undecided held against the miner.
 */
type Reading = 'agreed' | 'claimed' | 'worst';

/** Goes over the minutes of both logs, once for each way to read them. */
class Judge {
  readonly #logs: Logs;
  readonly #options: Readonly<Record<Reading, CourseOptions>>;
  readonly #isCreditProven: boolean;
  readonly #courses: Record<Reading, CourseState> = {
    agreed: COURSE_START,
    claimed: COURSE_START,
    worst: COURSE_START,
  };
  /** The minutes in which each side's default began. */
  readonly #outs: Partial<Record<Reading | 'maker', number>> = {};
  /** Height by both reports, and that at which the maker's silence began, while it lasts. */
  #height = 0;
  #silentFrom: number | undefined;
  /** All that the miner says it delivered, and by how much the maker's counting began above it. */
  #delivered: bigint | undefined;
  #offset: bigint | undefined;
  #isBehind = false;
  readonly #rulings: { readonly minute: number; readonly ruling: MinuteRuling }[] = [];
  #range: { readonly from: number; readonly to: number } | undefined;

  constructor(logs: Logs, options: Readonly<Record<Reading, CourseOptions>>, isCreditProven: boolean) {
    this.#logs = logs;
    this.#options = options;
    this.#isCreditProven = isCreditProven;
  }

  run(): void {
    const { miner, maker } = this.#logs;
    if (miner.first === undefined || maker.first === undefined) return;
    const from = Math.max(miner.first, maker.first);
    const to = Math.min(miner.last, maker.last) - HEARD_MINUTES;
    if (to < from) return;
    this.#range = { from, to };
    for (let minute = from; minute <= to; minute += 1) this.#judge(minute);
  }

  #judge(minute: number): void {
    const { miner, maker } = this.#logs;
    const said = { miner: miner.of(minute), maker: maker.of(minute) };
    const isHeard = { miner: miner.hears(minute), maker: maker.hears(minute) };
    const event = { type: 'minute', minute, ...said, isHeard } as const;
    const ruling = this.#step('agreed', event);
    if (minute > this.#range!.to - RULINGS_KEPT) this.#rulings.push({ minute, ruling });
    this.#step('claimed', { ...event, maker: this.#claimed(said) });
    this.#compare(minute, said.maker);
    this.#step('worst', event);
    this.#followMaker(minute, ruling);
  }

  #step(reading: Reading, event: CourseEvent): MinuteRuling {
    const { state, effects } = transition(
      this.#options[reading],
      this.#courses[reading],
      event,
      lowerHeight(event),
    );
    this.#courses[reading] = state;
    if (state.delivery.status === 'default') this.#outs[reading] ??= event.minute;
    return effects.find((effect) => effect.type === 'ruled')?.ruling;
  }

  /** The maker's report with the work that the miner says it delivered since both reported first. */
  #claimed(said: Pick<MinuteWords, 'miner' | 'maker'>): MinuteWords['maker'] {
    const { miner, maker } = said;
    if (typeof miner !== 'string') this.#delivered = miner.workHashes;
    if (typeof maker === 'string' || this.#delivered === undefined) return maker;
    this.#offset ??= maker.workHashes - this.#delivered;
    return { ...maker, workHashes: larger(maker.workHashes, this.#delivered + this.#offset) };
  }

  /** Looks whether the maker's log lags behind what it had signed for by then. */
  #compare(minute: number, maker: MinuteWords['maker']): void {
    const earlier = this.#logs.miner.of(minute - HEARD_MINUTES);
    if (typeof earlier === 'string' || typeof maker === 'string') return;
    if (maker.workHashes < earlier.paidHashes) this.#isBehind = true;
  }

  /**
   * A maker is in default that did not pay, or was not there, for the time within which a miner would have to
   * make up for what is missing; by heights that both reports have.
   */
  #followMaker(minute: number, ruling: MinuteRuling): void {
    const [miner, maker] = [this.#logs.miner.heightOf(minute), this.#logs.maker.heightOf(minute)];
    const areBoth = miner !== undefined && maker !== undefined;
    if (areBoth) this.#height = Math.max(this.#height, Math.min(miner, maker));
    const { cureBlocks } = this.#options.agreed.delivery;
    const isOut = this.#silentFrom !== undefined && this.#height - this.#silentFrom >= cureBlocks;
    if (areBoth && isOut) this.#outs.maker ??= minute;
    if (ruling === 'maker_silent') this.#silentFrom ??= this.#height;
    else this.#silentFrom = undefined;
  }

  get ruling(): LogRuling {
    const { delivery, minutes } = this.#courses.agreed;
    const forks = Object.entries(this.#logs).flatMap(([role, { fork }]) =>
      fork === undefined ? [] : [[role, fork] as const],
    );
    return {
      ...this.#verdict(),
      ...{ minutes, rulings: this.#rulings, delivery, from: this.#range?.from, to: this.#range?.to },
      forks: Object.fromEntries(forks),
    };
  }

  #verdict(): Pick<LogRuling, 'verdict' | 'words'> {
    const { agreed, claimed, worst, maker } = this.#outs;
    if (this.#range === undefined) return undecided('the logs of both sides have no minute in common');
    if (maker !== undefined && maker < (agreed ?? Infinity)) {
      if (!this.#hasSeen('maker', maker))
        return undecided('the maker has not shown what it had of the log');
      return {
        verdict: 'maker',
        words: `the maker did not pay or was not there: in default by minute ${maker}`,
      };
    }
    if (agreed !== undefined) {
      if ((!this.#isCreditProven || this.#isBehind) && claimed === undefined)
        return undecided('the miner tells of work that the maker did not credit: the shares decide');
      if (!this.#hasSeen('miner', agreed))
        return undecided('the miner has not shown what it had of the log');
      return { verdict: 'miner', words: `too little was delivered: in default by minute ${agreed}` };
    }
    if (worst !== undefined) return undecided('the logs do not say whose fault it was');
    return { verdict: 'none', words: 'nobody is in default' };
  }

  /** True where a side showed the other's log up to a minute: it cannot have been written anew since. */
  #hasSeen(side: MinuteRole, minute: number): boolean {
    const other = otherSide(side);
    return this.#logs[other].fork !== undefined || this.#logs[other].told[side] >= minute;
  }
}

function undecided(words: string): Pick<LogRuling, 'verdict' | 'words'> {
  return { verdict: 'undecided', words };
}

/** The lower height of both reports; 0 where there is none. */
function lowerHeight({ miner, maker }: Pick<MinuteWords, 'miner' | 'maker'>): number {
  const heights = [miner, maker].flatMap((said) => (typeof said === 'string' ? [] : [said.height]));
  return heights.length === 0 ? 0 : Math.min(...heights);
}
