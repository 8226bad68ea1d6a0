import { fromHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { firstHead, headAfter, headDigest, type MinuteReport, type MinuteRole } from './minutes.ts';

/** Whether a BIP340 signature, 64 bytes in hex, of a node is under a digest of 32 bytes. */
export type VerifySchnorr = (digest: Uint8Array, nodeIdHex: string, signatureHex: string) => boolean;

/** Minutes of a log that are read: two years. What is more belongs to no contract. */
const MOST_MINUTES = 2 * 366 * 1440;

/**
 * The log of one side as somebody else shows it, report by report: what is under a signature of that side
 * counts, the tail behind the newest one does not.
 */
export class SignedLogReader {
  readonly #nodeIdHex: string;
  readonly #verify: VerifySchnorr;
  readonly #reports: MinuteReport[] = [];
  #head: Uint8Array;
  #signed = 0;

  constructor(contractId: string, side: { role: MinuteRole; nodeIdHex: string }, verify: VerifySchnorr) {
    this.#head = firstHead(contractId, side.role);
    this.#nodeIdHex = side.nodeIdHex;
    this.#verify = verify;
  }

  /** Reports under a signature of their side. */
  get signed(): readonly MinuteReport[] {
    return this.#reports.slice(0, this.#signed);
  }

  /** Reports in all, and under a signature of their side. */
  get counts(): { readonly told: number; readonly signed: number } {
    return { told: this.#reports.length, signed: this.#signed };
  }

  /** The newest report, signed or not. */
  get newest(): MinuteReport | undefined {
    return this.#reports.at(-1);
  }

  /** The newest minute of any report; -1 where there is none. */
  get lastMinute(): number {
    return this.#reports.at(-1)?.minute ?? -1;
  }

  /** All reports of a minute and later ones, signed or not. */
  from(minute: number): readonly MinuteReport[] {
    const first = this.#reports.findLastIndex((report) => report.minute < minute) + 1;
    return this.#reports.slice(first);
  }

  /** Throws `protocol` for reports that do not follow. */
  check(reports: readonly MinuteReport[]): void {
    let before = this.#reports.at(-1);
    for (const report of reports) {
      const isLater = before === undefined || report.minute > before.minute;
      const isMore = before === undefined || report.workHashes >= before.workHashes;
      if (!isLater || !isMore || this.#reports.length + reports.length > MOST_MINUTES)
        throw new CodedError('protocol', `minute ${report.minute} does not follow`);
      before = report;
    }
  }

  /**
   * Takes reports that follow, and whether a signature is under the head behind them. Throws `protocol` where
   * they do not follow, and takes none of them.
   * @returns true where all are signed now
   */
  take(reports: readonly MinuteReport[], signature: string | undefined): boolean {
    this.check(reports);
    for (const report of reports) this.#head = headAfter(this.#head, report);
    this.#reports.push(...reports);
    const digest = headDigest(this.#head);
    const isSigned = signature !== undefined && this.#verify(digest, this.#nodeIdHex, signature);
    if (isSigned) this.#signed = this.#reports.length;
    return isSigned;
  }
}

/** A verifier made of one for bytes. */
export function verifierOf(
  isSignature: (digest: Uint8Array, publicKey: Uint8Array, signature: Uint8Array) => boolean,
): VerifySchnorr {
  return (digest, nodeIdHex, signatureHex) =>
    isSignature(digest, fromHex(nodeIdHex, 32), fromHex(signatureHex, 64));
}
