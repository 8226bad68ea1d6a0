import { readdirSync } from 'node:fs';
import type { CodedError } from '../base/errors.ts';
import type { Ladder } from '../channel/ladder-file.ts';
import type { ProxyConfig } from '../config/config.ts';
import type { Logger } from '../log/logger.ts';
import { LADDER_ENDING } from '../operator/ladder-files.ts';
import type { ChainPart } from './chain-part.ts';
import { isUnusable } from './proxy-memory.ts';
import type { RunningContracts } from './running-contracts.ts';
import { Watch, type WatchedRow } from './watch.ts';

const READ_MS = 60_000;

export type ClosingStatus = {
  /** Why nothing is sold; null where the ledger is in order. */
  readonly reason: { readonly code: string; readonly detail: string } | null;
  /** Channels that no contract of this proxy serves. */
  readonly channels: readonly WatchedRow[];
};

export type ClosingDeps = {
  readonly contracts: RunningContracts;
  /** Undefined where the configuration names no bitcoin node: then nothing can be closed. */
  readonly part: ChainPart | undefined;
  readonly log: Logger;
};

/** True where a folder has ladder files. */
export function hasLadders(closeDir: string): boolean {
  try {
    return readdirSync(closeDir).some((name) => name.endsWith(LADDER_ENDING));
  } catch {
    return false;
  }
}

/**
 * What closes the channels of a proxy that its ledger does not: from their ladder files, by the deadline.
 * That is all that is left to do where the ledger cannot be used; otherwise it is for a contract that the
 * ledger lost, or has in an older state, or that the configuration no longer names.
 */
export class ClosingOnly {
  readonly #watch: Watch | undefined;
  readonly #log: Logger;
  #reason: CodedError | undefined;

  constructor({ network, closeDir }: Pick<ProxyConfig, 'network' | 'closeDir'>, deps: ClosingDeps) {
    const { contracts, part, log } = deps;
    this.#log = log;
    const isServed = ({ contractId, n }: Ladder): boolean =>
      (contracts.side(contractId)?.status.signed?.n ?? -1) >= n;
    // A file ages here where nobody writes it any more, which is why it is read here.
    const options = { network, paths: [closeDir], readMs: READ_MS, maxAgeMs: Number.POSITIVE_INFINITY };
    this.#watch = part && new Watch(options, { part, log, isServed });
  }

  /** The error that makes the ledger unusable; undefined where it is in order. */
  get reason(): CodedError | undefined {
    return this.#reason;
  }

  get status(): ClosingStatus {
    const { code, message: detail } = this.#reason ?? {};
    return {
      reason: code === undefined ? null : { code, detail: detail ?? '' },
      channels: this.#watch?.status.channels ?? [],
    };
  }

  get ladderCount(): number {
    return this.#watch?.ladders.length ?? 0;
  }

  /** Notes that the ledger cannot be used: nothing is sold. */
  fail(reason: CodedError): void {
    this.#reason = reason;
    const { code, message: detail, hint } = reason;
    this.#log.error(
      { code, detail, hint },
      'the ledger cannot be used: channels are closed, nothing is sold',
    );
  }

  /** Serves the contracts. Throws as `serve`, except where that shows that the ledger cannot be used. */
  async unless(serve: () => Promise<void>): Promise<void> {
    try {
      await serve();
    } catch (error) {
      if (!isUnusable(error)) throw error;
      this.fail(error);
    }
  }

  /** Watches what no contract serves. Nobody waits for a node that answers late. */
  start(): void {
    void this.#watch?.start().then(() => {
      const channels = this.ladderCount;
      if (channels > 0) this.#log.warn({ channels }, 'channels are closed from their ladder files');
    });
  }

  async stop(): Promise<void> {
    await this.#watch?.close();
  }
}
