import { readFileSync } from 'node:fs';
import type { Timer, Timers } from '../base/clock.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { replaceFile } from '../channel/durable-file.ts';
import type { ContractTerms } from '../contract/terms.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { RESTORED_KIND } from '../settlement/records.ts';
import type { MakerStore } from './maker-store.ts';

/** How many shares of each contract were judged, kept apart from the ledger: which is behind it is old. */
export type PositionFile = {
  /** Undefined where there is none yet. */
  read(): Readonly<Record<string, number>> | undefined;
  write(positions: Readonly<Record<string, number>>): void;
};

/** Positions in a file, replaced atomically. One that cannot be read says nothing. */
export function positionFile(path: string): PositionFile {
  return {
    read: () => {
      try {
        const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
        if (!isRecord(value)) return undefined;
        const entries = Object.entries(value).filter(([, seq]) => Number.isSafeInteger(seq));
        return Object.fromEntries(entries) as Record<string, number>;
      } catch {
        return undefined;
      }
    },
    write: (positions) => replaceFile(path, `${JSON.stringify(positions)}\n`),
  };
}

export type RestoredLedgerDeps = {
  readonly ledger: Ledger;
  readonly timers: Timers;
  readonly log: Logger;
  readonly positions?: PositionFile;
  /** The ledger turned out to be an old one while it was served. */
  readonly onRestored: () => void;
};

const ID = 'maker';
const WRITE_MS = 10_000;

/**
 * What a maker knows of its ledger having been restored from an older copy. What it paid since that copy is
 * forgotten, so no share on a block up to the tip of that moment is ever credited, under any contract: it may
 * have been paid under another. Found by a signer that is ahead, by the positions that lie beside the ledger,
 * and by a state or contract that a miner proves.
 */
export class RestoredLedger {
  readonly #deps: RestoredLedgerDeps;
  #height = 0;
  #written = '';
  #timer: Timer | undefined;

  constructor(deps: RestoredLedgerDeps) {
    this.#deps = deps;
  }

  /**
   * Compares the ledger with what lies beside it, before anyone is served. Throws `channel_frozen` and the
   * like where it cannot be noted.
   * @param isSignerAhead a signer knows a state whose work the ledger lacks
   * @param height of the tip
   */
  async start(stores: () => readonly MakerStore[], height: number, isSignerAhead: boolean): Promise<void> {
    const { ledger, positions, timers } = this.#deps;
    const stored = await ledger.get(RESTORED_KIND, ID);
    if (stored !== undefined) this.#height = Number(stored);
    const known = new Map(stores().map(({ contractId, delivery }) => [contractId, delivery.nextSeq]));
    const before = Object.entries(positions?.read() ?? {});
    const isBehind = before.some(([contractId, seq]) => (known.get(contractId) ?? 0) < seq);
    if (isSignerAhead || isBehind) await this.#note(height);
    this.#write(stores());
    this.#timer = timers.every(WRITE_MS, () => this.#write(stores()));
  }

  /** A miner proved what this ledger does not have. Resolves once that is on disk. */
  async proven(height: number): Promise<void> {
    if (await this.#note(height)) this.#deps.onRestored();
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /**
   * The height up to which work of a contract is not credited; 0 where all is. Work of a `work` binding fits
   * no other contract, and has a height of its own.
   */
  heightFor(terms: ContractTerms): number {
    return terms.version === 3 && terms.binding.type === 'work' ? 0 : this.#height;
  }

  async #note(height: number): Promise<boolean> {
    if (height <= this.#height) return false;
    await this.#deps.ledger.appendNow([{ type: 'put', kind: RESTORED_KIND, id: ID, body: String(height) }]);
    this.#height = height;
    const fields = { code: 'maker_restored', height };
    this.#deps.log.error(fields, 'this ledger is an older copy: no work on blocks up to the tip is paid');
    return true;
  }

  /** Contracts that are over are left out. */
  #write(stores: readonly MakerStore[]): void {
    const { positions, log } = this.#deps;
    if (positions === undefined) return;
    const open = stores.filter(({ isClosed, delivery }) => !isClosed && delivery.nextSeq > 0);
    const now = Object.fromEntries(open.map(({ contractId, delivery }) => [contractId, delivery.nextSeq]));
    const text = JSON.stringify(now);
    if (text === this.#written) return;
    try {
      positions.write(now);
      this.#written = text;
    } catch (error) {
      const code = error instanceof CodedError ? codeOf(error) : (error as NodeJS.ErrnoException).code;
      log.warn({ code }, 'the positions beside the ledger were not written');
    }
  }
}
