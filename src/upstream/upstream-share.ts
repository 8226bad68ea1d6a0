import type { UpstreamJob } from '../jobs/job.ts';

/** A share for the upstream that sent `job`. */
export type UpstreamShare = {
  readonly job: UpstreamJob;
  /** Exactly `job.extranonce2Size` bytes (`upstreamExtranonce2`). */
  readonly extranonce2: Uint8Array;
  readonly ntime: number;
  readonly nonce: number;
  /** The bits of `job.versionMask` as they stand in the hashed version; 0 without version rolling. */
  readonly versionBits: number;
  /** It solves a block: it is sent whatever bound there is. */
  readonly isBlock?: boolean;
};

export type UpstreamOutcome = 'accepted' | 'refused' | 'timeout' | 'lost';

/**
 * What became of a share. `refused` is every answer but `true`; `timeout` is silence; `lost` is a share
 * that could not be sent or whose connection ended before its answer.
 */
export type UpstreamVerdict = {
  readonly outcome: UpstreamOutcome;
  /** The upstream's error number, where it gave one. */
  readonly code: number | undefined;
  /** The upstream's words, or ours (a code of the error table); empty when accepted. */
  readonly reason: string;
  /** From send to answer; undefined without an answer. */
  readonly rttMs: number | undefined;
};

export type VerdictCallback = (verdict: UpstreamVerdict) => void;

/**
 * What `auto` can tell apart. `kept`: the sixth param repeats the job's own bits, which is right for an
 * upstream that replaces and for one that ORs; these two differ only when a bit of the job is cleared, and
 * under `auto` none is. `xor`: the sixth param is the difference to the job's version.
 */
export type ReadingGuess = 'kept' | 'xor';

export type SentShare = {
  readonly share: UpstreamShare;
  readonly done: VerdictCallback | undefined;
  readonly sentAtMs: number;
  /** The reading of version bits its sixth param was made under, when its verdict tells about that. */
  readonly guess: ReadingGuess | undefined;
  /** Sent on an earlier connection too, or held while there was none. */
  readonly isResent: boolean;
};

/** Shares sent and not answered, oldest first. Bounded: the oldest makes room for the newest. */
export class SentShares {
  readonly #limit: number;
  readonly #byId = new Map<number, SentShare>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#byId.size;
  }

  /** @returns the share given up for this one, if the limit was hit */
  add(id: number, sent: SentShare): SentShare | undefined {
    const evicted = this.#byId.size >= this.#limit ? this.#shift() : undefined;
    this.#byId.set(id, sent);
    return evicted;
  }

  take(id: number): SentShare | undefined {
    const sent = this.#byId.get(id);
    this.#byId.delete(id);
    return sent;
  }

  /** Takes everything sent at or before `beforeMs`. */
  takeSentBefore(beforeMs: number): SentShare[] {
    const expired: SentShare[] = [];
    for (const [id, sent] of this.#byId) {
      if (sent.sentAtMs > beforeMs) break;
      this.#byId.delete(id);
      expired.push(sent);
    }
    return expired;
  }

  #shift(): SentShare | undefined {
    for (const id of this.#byId.keys()) return this.take(id);
    return undefined;
  }
}
