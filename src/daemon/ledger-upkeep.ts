import { dirname } from 'node:path';
import type { Clock, Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { Sealing } from '../ledger/sealing.ts';
import type { MaintainedLedger } from '../ledger/writer-ledger.ts';
import type { Logger } from '../log/logger.ts';
import { CONTRACT_KIND, isUnfinished, loadContract } from '../settlement/records.ts';
import { JOB_KIND } from '../work/evidence.ts';
import { BackupDate } from './backup-date.ts';
import { DiskSpace } from './disk-space.ts';

export type LedgerUpkeepOptions = {
  readonly path: string;
  /** How long sealed evidence is kept. */
  readonly keepMs: number;
};

export type LedgerUpkeepDeps = {
  readonly ledger: MaintainedLedger;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Logger;
};

/**
 * Keeps a ledger from filling its disk: old rows are sealed and let go of, the free space is watched, and the
 * date of its backup.
 */
export class LedgerUpkeep {
  readonly sealing: Sealing;
  readonly disk: DiskSpace;
  readonly backup: BackupDate;

  constructor({ path, keepMs }: LedgerUpkeepOptions, deps: LedgerUpkeepDeps) {
    this.disk = new DiskSpace(dirname(path), deps);
    this.backup = new BackupDate(path, deps);
    this.sealing = new Sealing(
      { path, keptMs: keepMs, evidenceKinds: [JOB_KIND] },
      { ...deps, heldStreams: () => unsettledContracts(deps.ledger) },
    );
  }

  start(): void {
    this.disk.start();
    this.backup.start();
    this.sealing.start();
  }

  /** Before the ledger is closed. */
  async stop(): Promise<void> {
    this.disk.stop();
    this.backup.stop();
    await this.sealing.stop();
  }
}

/** Contracts whose evidence may still be asked for; one that cannot be read is one of them. */
async function unsettledContracts(ledger: Ledger): Promise<string[]> {
  const ids: string[] = [];
  for (const { id } of await ledger.list(CONTRACT_KIND)) {
    try {
      const stored = await loadContract(ledger, id);
      if (stored === undefined || (await isUnfinished(stored, ledger))) ids.push(id);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      ids.push(id);
    }
  }
  return ids;
}
