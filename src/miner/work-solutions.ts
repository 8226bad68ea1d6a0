import type { Clock, Timer, Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { TokenBucket } from '../base/token-bucket.ts';
import type { Result } from '../peer/messages.ts';
import { countSolution, isLatePause, LATE_PAUSE_MS, NO_SOLUTIONS } from '../settlement/late-solutions.ts';
import type {
  UpstreamOutcome,
  UpstreamShare,
  UpstreamVerdict,
  VerdictCallback,
} from '../upstream/upstream-share.ts';

/** Sends a solution; throws `CodedError` as `RpcPeer.request`. */
export type SendSolution<Share> = (share: Share) => Promise<Result<'work.solution'>>;

export type WorkSolutionsOptions = {
  /** Solutions that the maker passes on; blocks always. */
  readonly perMinute: number;
  /** Part of them that the maker may first hear of by a batch. */
  readonly latePpm: number;
};

export type WorkSolutionsDeps<Share> = {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly onVerdict: (verdict: UpstreamVerdict, share: Share) => void;
  /** From the solution to the verdict of the maker's pool. */
  readonly onRtt: (rttMs: number) => void;
};

/** How long an unanswered solution is kept while the maker is away. */
const KEEP_MS = 60_000;
/** Unanswered ones, of all requests that a connection may have in flight; the rest is for blocks. */
const IN_FLIGHT = LIMITS.peerRequestsInFlight / 2;
/** Latencies that percentiles are made of. */
const LATENCIES = 1024;

type Waiting<Share> = {
  readonly share: Share;
  readonly done: VerdictCallback | undefined;
  readonly atMs: number;
  /** The maker has to hear of it at once, and has not, as far as is known here. */
  isDue: boolean;
};

/**
 * The solutions of one contract: each sent to the maker at once, again after a lost link, and given exactly
 * one verdict.
 */
export class WorkSolutions<Share extends Pick<UpstreamShare, 'isBlock'> = UpstreamShare> {
  readonly counts: Record<UpstreamOutcome, number> = { accepted: 0, refused: 0, timeout: 0, lost: 0 };
  readonly #deps: WorkSolutionsDeps<Share>;
  readonly #latePpm: number;
  readonly #rate: TokenBucket;
  readonly #waiting = new Set<Waiting<Share>>();
  readonly #latenciesMs: number[] = [];
  #answered = 0;
  #late = NO_SOLUTIONS;
  #send: SendSolution<Share> | undefined;
  #timer: Timer | undefined;

  constructor({ perMinute, latePpm }: WorkSolutionsOptions, deps: WorkSolutionsDeps<Share>) {
    this.#deps = deps;
    this.#latePpm = latePpm;
    this.#rate = new TokenBucket({ perSecond: perMinute / 60, burst: perMinute }, deps.clock.monotonicMs());
  }

  get inFlight(): number {
    return this.#waiting.size;
  }

  /** True where the maker may pause credit, since it first heard of too many by a batch. */
  get isLate(): boolean {
    return isLatePause(this.#late, this.#deps.clock.monotonicMs(), LATE_PAUSE_MS);
  }

  /** Latency in ms below which so many of a hundred stayed lately; undefined before the first verdict. */
  latencyMs(percent: number): number | undefined {
    const sorted = [...this.#latenciesMs].sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))];
  }

  /** See `Destination.submit`. */
  submit(share: Share, done?: VerdictCallback): void {
    const { clock } = this.#deps;
    const waiting: Waiting<Share> = { share, done, atMs: clock.monotonicMs(), isDue: true };
    const isBlock = share.isBlock === true;
    const isBeyond = !this.#rate.take(clock.monotonicMs()) && !isBlock;
    const isFull = this.#waiting.size >= (isBlock ? 2 * IN_FLIGHT : IN_FLIGHT);
    this.#waiting.add(waiting);
    if (isBeyond) waiting.isDue = false;
    if (isBeyond) this.#later(waiting, 'beyond solutions_per_minute');
    else if (isFull) this.#later(waiting, 'overload');
    else if (this.#send !== undefined) this.#deliver(waiting, this.#send);
    else this.#keep();
  }

  /** The maker takes solutions from now on; those it did not answer are sent again. */
  connected(send: SendSolution<Share>): void {
    this.#send = send;
    this.#expire();
    for (const waiting of this.#waiting) this.#deliver(waiting, send);
  }

  /** The link is lost: what is unanswered waits for the next. */
  disconnected(): void {
    this.#send = undefined;
    this.#keep();
  }

  stop(): void {
    this.#timer?.cancel();
    for (const waiting of this.#waiting) this.#settle(waiting, lost('peer_closed'));
  }

  #deliver(waiting: Waiting<Share>, send: SendSolution<Share>): void {
    const { clock } = this.#deps;
    const startedMs = clock.monotonicMs();
    send(waiting.share).then(
      ({ outcome, code, reason = '', rttMs }) => {
        if (!this.#waiting.has(waiting)) return;
        const tookMs = clock.monotonicMs() - startedMs;
        waiting.isDue = false;
        if (outcome === 'accepted' || outcome === 'refused') this.#took(tookMs);
        this.#settle(waiting, { outcome, code, reason, rttMs: rttMs === undefined ? undefined : tookMs });
      },
      (error: unknown) => {
        if (!(error instanceof CodedError)) throw error;
        const isLinkLost = error.code === 'peer_closed' || error.code === 'peer_timeout';
        // It is sent again over the next link.
        if (isLinkLost || this.#send !== send || !this.#waiting.has(waiting)) return;
        const isUntaken = error.code === 'overload' || error.code === 'too_often';
        waiting.isDue = isUntaken;
        const outcome = isUntaken ? 'lost' : 'refused';
        this.#settle(waiting, { outcome, code: undefined, reason: error.code, rttMs: undefined });
      },
    );
  }

  #took(ms: number): void {
    this.#latenciesMs[this.#answered % LATENCIES] = ms;
    this.#answered += 1;
    this.#deps.onRtt(ms);
  }

  /** Not from within `submit`. */
  #later(waiting: Waiting<Share>, reason: string): void {
    this.#deps.timers.afterCall(() => this.#settle(waiting, lost(reason)));
  }

  #keep(): void {
    this.#timer?.cancel();
    this.#timer = this.#deps.timers.after(KEEP_MS, () => this.#expire());
  }

  #expire(): void {
    const beforeMs = this.#deps.clock.monotonicMs() - KEEP_MS;
    for (const waiting of this.#waiting)
      if (waiting.atMs <= beforeMs) this.#settle(waiting, lost('peer_closed'));
    if (this.#send === undefined && this.#waiting.size > 0) this.#keep();
  }

  #settle(waiting: Waiting<Share>, verdict: UpstreamVerdict): void {
    if (!this.#waiting.delete(waiting)) return;
    this.counts[verdict.outcome] += 1;
    const monotonicMs = this.#deps.clock.monotonicMs();
    this.#late = countSolution(this.#latePpm, this.#late, waiting.isDue, monotonicMs);
    this.#deps.onVerdict(verdict, waiting.share);
    waiting.done?.(verdict);
  }
}

function lost(reason: string): UpstreamVerdict {
  return { outcome: 'lost', code: undefined, reason, rttMs: undefined };
}
