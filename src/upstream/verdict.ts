import { assert } from '../base/assert.ts';
import type { UpstreamJob } from '../jobs/job.ts';
import {
  bitsWithin,
  rolledVersion,
  upstreamVersionBits,
  type VersionReading,
} from '../stratum/version-rolling.ts';

/** A share for the upstream that sent `job`. */
export type UpstreamShare = {
  readonly job: UpstreamJob;
  /** Exactly `job.extranonce2Size` bytes (`upstreamExtranonce2`). */
  readonly extranonce2: Uint8Array;
  readonly ntime: number;
  readonly nonce: number;
  /** The bits of `job.versionMask` as they stand in the hashed version; 0 without version rolling. */
  readonly versionBits: number;
};

export type UpstreamOutcome = 'accepted' | 'refused' | 'timeout' | 'lost';

/**
 * What became of a share. `refused` is every answer but `true`; `timeout` is silence; `lost` is a share
 * that could not be sent or whose connection ended before its answer.
 */
export type UpstreamVerdict = {
  readonly outcome: UpstreamOutcome;
  /** The upstream's error number, where it gave one. */
  readonly code: number | null;
  /** The upstream's words, or ours (a code of the error table); empty when accepted. */
  readonly reason: string;
  /** From send to answer; null without an answer. */
  readonly rttMs: number | null;
};

export type VerdictCallback = (verdict: UpstreamVerdict) => void;

/**
 * The sixth param for an upstream with this reading.
 * @returns u32
 */
export function versionParam(reading: VersionReading, share: UpstreamShare): number {
  const { version, versionMask } = share.job;
  assert(bitsWithin(share.versionBits, versionMask), 'version_bits_within_mask', share.versionBits);
  const hashed = rolledVersion(version, versionMask, share.versionBits);
  return upstreamVersionBits(reading, version, versionMask, hashed);
}

export type SentShare = {
  readonly share: UpstreamShare;
  readonly done: VerdictCallback | null;
  readonly sentAtMs: number;
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
    const given = this.#byId.size >= this.#limit ? this.#shift() : undefined;
    this.#byId.set(id, sent);
    return given;
  }

  take(id: number): SentShare | undefined {
    const sent = this.#byId.get(id);
    this.#byId.delete(id);
    return sent;
  }

  /** Takes everything sent at or before `beforeMs`. */
  takeSentBefore(beforeMs: number): SentShare[] {
    const taken: SentShare[] = [];
    for (const [id, sent] of this.#byId) {
      if (sent.sentAtMs > beforeMs) break;
      this.#byId.delete(id);
      taken.push(sent);
    }
    return taken;
  }

  #shift(): SentShare | undefined {
    for (const id of this.#byId.keys()) return this.take(id);
    return undefined;
  }
}
