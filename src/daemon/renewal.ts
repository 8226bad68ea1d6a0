import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Timer, Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { oneAtATime } from '../base/one-at-a-time.ts';
import type { LedgerConfig } from '../config/config.ts';
import { isFree } from '../ledger/sqlite-file.ts';
import { type Logger, silentLogger } from '../log/logger.ts';
import {
  LEDGER_NAME,
  type LedgerPlace,
  ledgerPlaceOf,
  openLedgerForReading,
} from '../operator/ledger-place.ts';

const PROBE_MS = 5_000;
/** More than a commit or a checkpoint of a busy ledger needs. */
const PROBE_BYTES = 4 * 1024 * 1024;

export type RenewalDeps = {
  /** The fault of a disk from which only a new start helps; undefined while there is none. */
  readonly fault: () => string | undefined;
  readonly timers: Timers;
  readonly log: Logger;
  /** Whether a new start finds a ledger that it can write to. Default: `canBegin` of a file. */
  readonly probe?: (directory: string) => Promise<boolean>;
};

/**
 * The end of a fault of the disk. After a failed write nobody knows what is on it, so what it suspended goes
 * on from what is read anew: `due` resolves when the disk takes writes again, and the daemon starts anew.
 */
export class Renewal {
  readonly due: Promise<void>;
  readonly #directory: string;
  readonly #deps: RenewalDeps;
  readonly #timer: Timer;
  readonly #resolve: () => void;

  /** @param directory on the disk of the ledger */
  constructor(directory: string, deps: RenewalDeps) {
    this.#directory = directory;
    this.#deps = deps;
    ({ promise: this.due, resolve: this.#resolve } = Promise.withResolvers<void>());
    this.#timer = deps.timers.every(
      PROBE_MS,
      oneAtATime(() => this.#look()),
    );
  }

  stop(): void {
    this.#timer.cancel();
  }

  async #look(): Promise<void> {
    const { fault, probe = canBegin, log } = this.#deps;
    const code = fault();
    if (code === undefined || !(await probe(this.#directory))) return;
    this.stop();
    log.warn({ code }, 'the disk takes writes again');
    this.#resolve();
  }
}

/** True where the disk of a ledger takes writes, and no other program holds the ledger. Never throws. */
async function canBegin(directory: string): Promise<boolean> {
  if (!(await takesWrites(directory))) return false;
  try {
    return isFree(join(directory, LEDGER_NAME));
  } catch (error) {
    // What is wrong with it else is for the new start to say.
    if (!(error instanceof CodedError)) throw error;
    return true;
  }
}

/** That of a daemon, wherever its ledger is. */
export function renewalOf(
  config: { readonly dataDir: string; readonly ledger: LedgerConfig },
  deps: RenewalDeps,
): Renewal {
  return new Renewal(config.dataDir, { ...deps, probe: probeOf(ledgerPlaceOf(config)) });
}

/** `canBegin` of a ledger that may be no file: then its server has to answer. */
function probeOf(place: LedgerPlace): (directory: string) => Promise<boolean> {
  if (place.postgres === undefined) return canBegin;
  return async (directory) => {
    if (!(await takesWrites(directory))) return false;
    try {
      await (await openLedgerForReading(place, { log: silentLogger })).close();
      return true;
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      return error.code !== 'ledger_io';
    }
  };
}

/** True where a folder takes a file of some megabytes, and keeps it. Never throws. */
export async function takesWrites(directory: string): Promise<boolean> {
  const path = join(directory, '.probe');
  try {
    const file = await open(path, 'w', 0o600);
    try {
      await file.write(new Uint8Array(PROBE_BYTES));
      await file.sync();
      return (await file.stat()).size === PROBE_BYTES;
    } finally {
      await file.close();
    }
  } catch {
    return false;
  } finally {
    await rm(path, { force: true }).catch(() => {});
  }
}
