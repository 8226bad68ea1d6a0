import { readdirSync } from 'node:fs';
import { systemClock } from '../base/clock.ts';
import type { CodedError } from '../base/errors.ts';
import { systemTimers } from '../base/system-timers.ts';
import type { NetworkName } from '../bitcoin/network.ts';
import type { Ladder } from '../channel/ladder-file.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { limited } from '../log/limited.ts';
import type { Logger } from '../log/logger.ts';
import { LADDER_ENDING } from '../operator/ladder-files.ts';
import { LadderWriter } from '../settlement/ladder-writer.ts';
import type { ChainPart } from './chain-part.ts';
import { isUnusable } from './unusable-ledger.ts';
import { Watch, type WatchedRow } from './watch.ts';

const READ_MS = 60_000;
const LADDER_WARN_MS = 60_000;

export type ClosingStatus = {
  /** Why no contract is served; null where the ledger is in order. */
  readonly reason: { readonly code: string; readonly detail: string } | null;
  /** Channels that no contract of this program serves. */
  readonly channels: readonly WatchedRow[];
};

export type ClosingDeps = {
  /** True while a contract that is served closes this channel, by this state or a newer one. */
  readonly isServed: (ladder: Ladder) => boolean;
  /** Undefined where the configuration names no bitcoin node: then nothing can be closed. */
  readonly part: ChainPart | undefined;
  readonly log: Logger;
};

/** The writer of a program's files. A disk that fails is said once in a while, not with each of them. */
export function ladderWriter(closeDir: string, log: Logger): LadderWriter {
  const limitedLog = limited(log, LADDER_WARN_MS, systemClock);
  return new LadderWriter(closeDir, { clock: systemClock, timers: systemTimers, log: limitedLog });
}

/** True where a folder has ladder files. */
export function hasLadders(closeDir: string): boolean {
  try {
    return readdirSync(closeDir).some((name) => name.endsWith(LADDER_ENDING));
  } catch {
    return false;
  }
}

/**
 * What closes the channels of a proxy or a maker that its ledger does not: from their files, by the deadline,
 * or at the expiry. That is all that is left to do where the ledger cannot be used; otherwise it is for a
 * contract that the ledger lost, or has in an older state, or that the configuration no longer names.
 */
export class ClosingOnly {
  readonly #watch: Watch | undefined;
  readonly #log: Logger;
  #reason: CodedError | undefined;

  constructor(
    { network, closeDir }: { readonly network: NetworkName; readonly closeDir: string },
    deps: ClosingDeps,
  ) {
    const { isServed, part, log } = deps;
    this.#log = log;
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

  /** Notes that the ledger cannot be used: no contract is served. */
  fail(reason: CodedError): void {
    this.#reason = reason;
    const { code, message: detail, hint } = reason;
    this.#log.error(
      { code, detail, hint },
      'the ledger cannot be used: channels are closed, and nothing else',
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

  /** What a new start can mend: a ledger that is damaged, or of another program, is for a person. */
  faultOf({ stats }: Pick<Ledger, 'stats'>): string | undefined {
    const code = this.#reason?.code ?? (stats.failed ? 'ledger_io' : undefined);
    return code === 'ledger_io' ? code : undefined;
  }

  async stop(): Promise<void> {
    await this.#watch?.close();
  }
}
