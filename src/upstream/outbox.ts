import { toHex } from '../base/bytes.ts';
import { LIMITS } from '../base/limits.ts';
import { printSubmit } from '../stratum/client-messages.ts';
import type { WireError } from '../stratum/server-messages.ts';
import type { UpstreamStats } from './stats.ts';
import { type SentShare, SentShares, type UpstreamVerdict } from './upstream-share.ts';
import type { VersionReadingTracker } from './version-reading.ts';

/** Bound to an outbox: what it wants done. */
export type OutboxDeps = {
  readonly stats: UpstreamStats;
  readonly send: (line: string) => void;
  readonly resolve: (sent: SentShare, verdict: UpstreamVerdict) => void;
};

/**
 * The shares of one connection that have no verdict: sent and not answered, or waiting for a resume. Each
 * that is put in is resolved once or taken out. Bounded: the oldest makes room for the newest.
 */
export class Outbox {
  readonly #workerJson: string;
  readonly #reading: VersionReadingTracker;
  readonly #deps: OutboxDeps;
  readonly #sent = new SentShares(LIMITS.upstreamSharesInFlight);
  #unsent: SentShare[];

  /** @param unsent of an earlier connection, oldest first */
  constructor(
    options: {
      readonly worker: string;
      readonly reading: VersionReadingTracker;
      readonly unsent: readonly SentShare[];
    },
    deps: OutboxDeps,
  ) {
    this.#workerJson = JSON.stringify(options.worker);
    this.#reading = options.reading;
    this.#unsent = [...options.unsent];
    this.#deps = deps;
  }

  get size(): number {
    return this.#sent.size + this.#unsent.length;
  }

  /**
   * Sends `mining.submit` under a request id. @param grantedMask version bits granted, undefined without
   * rolling
   */
  send(id: number, sent: SentShare, grantedMask: number | undefined): void {
    const { share } = sent;
    const { bits, guess } = this.#reading.param(share, grantedMask ?? 0);
    const evicted = this.#sent.add(id, { ...sent, guess: grantedMask === undefined ? undefined : guess });
    if (evicted !== undefined) this.#giveUp(evicted);
    const fields = {
      jobId: share.job.upstreamJobId,
      extranonce2: toHex(share.extranonce2),
      ntime: share.ntime,
      nonce: share.nonce,
    };
    this.#deps.send(
      printSubmit(id, this.#workerJson, fields, grantedMask === undefined ? undefined : bits),
    );
  }

  /** Holds a share until the session is resumed or not. */
  keep(sent: SentShare): void {
    this.#unsent.push(sent);
    if (this.#unsent.length > LIMITS.upstreamSharesInFlight) this.#giveUp(this.#unsent.shift()!);
  }

  /** Takes out what waits for a resume. */
  takeUnsent(): SentShare[] {
    const unsent = this.#unsent;
    this.#unsent = [];
    return unsent;
  }

  takeAll(): SentShare[] {
    return [...this.takeUnsent(), ...this.#sent.takeSentBefore(Number.POSITIVE_INFINITY)];
  }

  /** @returns the round trip, or undefined when no share was sent under this id */
  resolveReply(
    reply: { readonly id: number; readonly result: unknown; readonly error: WireError | undefined },
    monotonicMs: number,
  ): number | undefined {
    const sent = this.#sent.take(reply.id);
    if (sent === undefined) return undefined;
    const rttMs = monotonicMs - sent.sentAtMs;
    const { result, error } = reply;
    const code = error?.code;
    if (result === true && error === undefined)
      this.#learnAndResolve(sent, { outcome: 'accepted', code, reason: '', rttMs }, monotonicMs);
    else if (sent.isResent && isDuplicate(error)) {
      this.#deps.stats.resentDuplicates += 1;
      this.#resolve(sent, { outcome: 'lost', code, reason: 'upstream_closed', rttMs });
    } else {
      const reason = error?.text || 'refused without a reason';
      this.#learnAndResolve(sent, { outcome: 'refused', code, reason, rttMs }, monotonicMs);
    }
    return rttMs;
  }

  /** Silence is a verdict: shares sent at or before this time have timed out. */
  timeOut(beforeMs: number): void {
    for (const sent of this.#sent.takeSentBefore(beforeMs))
      this.#resolve(sent, {
        outcome: 'timeout',
        code: undefined,
        reason: 'upstream_timeout',
        rttMs: undefined,
      });
  }

  lose(sent: SentShare): void {
    this.#resolve(sent, { outcome: 'lost', code: undefined, reason: 'upstream_closed', rttMs: undefined });
  }

  loseAll(): void {
    for (const sent of this.takeAll()) this.lose(sent);
  }

  #giveUp(sent: SentShare): void {
    this.#deps.stats.evicted += 1;
    this.#resolve(sent, { outcome: 'lost', code: undefined, reason: 'overload', rttMs: undefined });
  }

  /** By the upstream itself: only this tells how it reads version bits. */
  #learnAndResolve(sent: SentShare, verdict: UpstreamVerdict, monotonicMs: number): void {
    if (sent.guess !== undefined && this.#reading.learn(sent.guess, verdict, monotonicMs))
      this.#deps.stats.readingChanges += 1;
    this.#resolve(sent, verdict);
  }

  #resolve(sent: SentShare, verdict: UpstreamVerdict): void {
    this.#deps.stats[verdict.outcome] += 1;
    this.#deps.resolve(sent, verdict);
  }
}

/** "Duplicate" in every dialect: to a share sent again it means that the first copy had arrived. */
function isDuplicate(error: WireError | undefined): boolean {
  return error !== undefined && (error.code === 22 || /duplicate/i.test(error.text));
}
