import { CodedError } from '../base/errors.ts';
import {
  COURSE_START,
  type CourseEffect,
  type CourseOptions,
  type CourseState,
  type CourseView,
  transition,
} from './delivery-course.ts';
import {
  firstHead,
  HEARD_MINUTES,
  headAfter,
  type MinuteReport,
  type MinuteRole,
  type MinuteWords,
} from './minutes.ts';

/** A report, and the head of its side's chain with it. */
export type ChainedReport = { readonly report: MinuteReport; readonly head: Uint8Array };

/** What came of a minute, and in which course. */
export type ViewedEffect = CourseEffect & { readonly course: 'agreed' | 'own' };

/** Reports of a side that are kept in memory once they are judged: a day. What is older is on the disk. */
const KEPT_REPORTS = 1440;

/** The chain of one side, as far as it is kept. */
class Chain {
  readonly reports: ChainedReport[] = [];
  #head: Uint8Array;

  constructor(contractId: string, role: MinuteRole) {
    this.#head = firstHead(contractId, role);
  }

  get head(): Uint8Array {
    return this.#head;
  }

  get last(): MinuteReport | undefined {
    return this.reports.at(-1)?.report;
  }

  /** The chain with more reports, not yet added. Throws `protocol` where they do not follow. */
  follow(reports: readonly MinuteReport[]): readonly ChainedReport[] {
    let head = this.#head;
    let before = this.last;
    return reports.map((report) => {
      const isLater = before === undefined || report.minute > before.minute;
      const isMore = before === undefined || report.workHashes >= before.workHashes;
      if (!isLater || !isMore) throw new CodedError('protocol', `minute ${report.minute} does not follow`);
      head = headAfter(head, report);
      before = report;
      return { report, head };
    });
  }

  add(chained: readonly ChainedReport[]): void {
    this.reports.push(...chained);
    this.#head = chained.at(-1)?.head ?? this.#head;
  }

  /** Drops what is before a minute, once it is much. */
  trim(minute: number): void {
    if (this.reports.length < 2 * KEPT_REPORTS) return;
    const first = this.#at(minute - KEPT_REPORTS);
    this.reports.splice(0, Math.min(first, this.reports.length - 1));
  }

  /** What this side said of a minute, as far as it is known. */
  of(minute: number): MinuteWords['miner'] {
    const { last } = this;
    if (last === undefined || last.minute < minute) return 'unheard';
    const { report } = this.reports[this.#at(minute)]!;
    return report.minute === minute ? report : 'down';
  }

  /** True where a report of this minute or soon after shows that the other's of this minute was there. */
  hears(minute: number): boolean {
    for (let at = this.#at(minute); at < this.reports.length; at += 1) {
      const { report } = this.reports[at]!;
      if (report.minute > minute + HEARD_MINUTES) return false;
      if (report.heard >= minute) return true;
    }
    return false;
  }

  /** Index of the first report of a minute or a later one. */
  #at(minute: number): number {
    let [low, high] = [0, this.reports.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.reports[middle]!.report.minute < minute) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Reports of a minute or later ones. */
  from(minute: number, most: number): readonly ChainedReport[] {
    const first = this.#at(minute);
    return this.reports.slice(first, first + most);
  }
}

function heightOf(said: Readonly<Record<MinuteRole, MinuteWords['miner']>>): number {
  const heights = Object.values(said).flatMap((each) => (typeof each === 'string' ? [] : [each.height]));
  return heights.length === 0 ? 0 : Math.min(...heights);
}

/**
 * The minute logs of both sides of a contract, and the course of delivery by them: as both agree, and in
 * the own view. Fed with the same reports in any order of the two sides, it comes to the same agreed course.
 */
export class MinuteChains {
  readonly #chains: Readonly<Record<MinuteRole, Chain>>;
  readonly #options: Readonly<Record<'agreed' | 'own', CourseOptions>>;
  readonly #role: MinuteRole;
  #courses: Record<'agreed' | 'own', CourseState> = { agreed: COURSE_START, own: COURSE_START };
  /** The next minute of each course; undefined until there is a first one. */
  readonly #next: { agreed: number | undefined; own: number | undefined } = {
    agreed: undefined,
    own: undefined,
  };

  constructor(contractId: string, role: MinuteRole, options: (view: CourseView) => CourseOptions) {
    this.#role = role;
    this.#chains = { miner: new Chain(contractId, 'miner'), maker: new Chain(contractId, 'maker') };
    this.#options = { agreed: options('agreed'), own: options(role) };
  }

  get agreed(): CourseState {
    return this.#courses.agreed;
  }

  get own(): CourseState {
    return this.#courses.own;
  }

  /** The newest report of a side. */
  last(role: MinuteRole): MinuteReport | undefined {
    return this.#chains[role].last;
  }

  head(role: MinuteRole): Uint8Array {
    return this.#chains[role].head;
  }

  /** Reports of a side from a minute on, as far as they are in memory. */
  from(role: MinuteRole, minute: number, most: number): readonly ChainedReport[] {
    return this.#chains[role].from(minute, most);
  }

  /** What a side's chain becomes with more reports. Throws `protocol` where they do not follow. */
  follow(role: MinuteRole, reports: readonly MinuteReport[]): readonly ChainedReport[] {
    return this.#chains[role].follow(reports);
  }

  /** Takes reports that follow, and judges what can be judged by then. */
  add(role: MinuteRole, chained: readonly ChainedReport[]): readonly ViewedEffect[] {
    this.#chains[role].add(chained);
    const { miner, maker } = { miner: this.last('miner'), maker: this.last('maker') };
    const both = miner === undefined || maker === undefined ? -1 : Math.min(miner.minute, maker.minute);
    const own = this.last(this.#role)?.minute ?? -1;
    const agreed = this.#judge('agreed', both - HEARD_MINUTES);
    const effects = [...agreed, ...this.#judge('own', own - HEARD_MINUTES)];
    const judged = this.#next.agreed ?? 0;
    // The other side may be back after days: what it has not heard yet is still to be told.
    this.#chains.miner.trim(Math.min(judged, maker?.heard ?? 0));
    this.#chains.maker.trim(Math.min(judged, miner?.heard ?? 0));
    return effects;
  }

  /** Judges minutes up to one. */
  #judge(course: 'agreed' | 'own', until: number): readonly ViewedEffect[] {
    const effects: ViewedEffect[] = [];
    const start = this.#next[course] ?? this.#firstMinute(course);
    if (start === undefined) return effects;
    let minute = start;
    for (; minute <= until; minute += 1) {
      const { miner, maker } = this.#chains;
      const isHeard = { miner: miner.hears(minute), maker: maker.hears(minute) };
      const said = { miner: miner.of(minute), maker: maker.of(minute) };
      const event = { type: 'minute', minute, ...said, isHeard } as const;
      const step = transition(this.#options[course], this.#courses[course], event, heightOf(said));
      this.#courses = { ...this.#courses, [course]: step.state };
      effects.push(...step.effects.map((effect) => ({ ...effect, course })));
    }
    this.#next[course] = Math.max(minute, start);
    return effects;
  }

  /** The first minute of which both have a report; in the own view, the own first one. */
  #firstMinute(course: 'agreed' | 'own'): number | undefined {
    const [miner, maker] = [this.#chains.miner.reports[0], this.#chains.maker.reports[0]];
    const own = this.#chains[this.#role].reports[0]?.report.minute;
    if (course === 'own') return own;
    if (miner === undefined || maker === undefined) return undefined;
    return Math.max(miner.report.minute, maker.report.minute);
  }
}
