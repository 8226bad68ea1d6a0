import { dirname, join } from 'node:path';
import type { Clock, Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { FleetLook } from '../ledger/postgres/fleet-look.ts';
import { PostgresLeases } from '../ledger/postgres/leases.ts';
import type { Logger } from '../log/logger.ts';
import { SESSION_ID_SIZE } from '../mining/mining.ts';
import { type LedgerPlace, openLedger } from '../operator/ledger-place.ts';
import { DuplicateSet } from '../shares/duplicates.ts';
import { chooseKernelKind, KERNEL_CACHE } from '../shares/kernel/choose-kernel.ts';
import { createKernel } from '../shares/kernel/create-kernel.ts';
import type { ShareKernel } from '../shares/kernel/kernel.ts';
import { jobDocumentId } from '../work/evidence.ts';
import { Meters } from '../work/meters.ts';
import { rememberShares } from '../work/recent-shares.ts';
import type { CrashPoint } from './crash-points.ts';
import { LedgerUpkeep } from './ledger-upkeep.ts';
import { nextRun, nextSharedRun, REMEMBERED_MS } from './startup-state.ts';
import { replaceUnusable } from './unusable-ledger.ts';

/** After as long that opening it waits. */
const OPEN_MS = 5_000;

/** The ledger of a proxy, and what is read from it before the first miner is served. */
export type ProxyMemory = {
  readonly ledger: Ledger;
  /** Number of this run of the program. */
  readonly run: number;
  readonly meters: Meters;
  readonly duplicates: DuplicateSet;
  readonly kernel: ShareKernel;
  /** Undefined where the ledger is not in order. */
  readonly upkeep: LedgerUpkeep | undefined;
  /** Why nothing is sold and channels are only closed; undefined where the ledger is in order. */
  readonly unusable: CodedError | undefined;
  close(): Promise<void>;
};

export type MemoryDeps = {
  readonly crash: CrashPoint;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Logger;
  readonly observeCommit: (seconds: number) => void;
  /** How long sealed evidence is kept. */
  readonly keepMs: number;
  /** Called once, when the ledger has failed. */
  readonly onFailure: () => void;
};

/**
 * Opens the ledger of a proxy. One that cannot be used is replaced by one that keeps nothing, under the same
 * lock: miners are served, and nothing is sold. Throws `ledger_locked` where another program has it.
 */
export async function openMemory(place: LedgerPlace, deps: MemoryDeps): Promise<ProxyMemory> {
  const { path } = place;
  const kernelKind = await chooseKernelKind(join(dirname(path), KERNEL_CACHE), { log: deps.log });
  const kernel = createKernel(LIMITS.batchShares, kernelKind);
  try {
    return await readMemory(place, kernel, deps);
  } catch (error) {
    const { ledger, unusable, close } = replaceUnusable(path, error, deps.log);
    return { ...(await rememberedBy(ledger, deps.timers)), kernel, upkeep: undefined, unusable, close };
  }
}

async function readMemory(place: LedgerPlace, kernel: ShareKernel, deps: MemoryDeps): Promise<ProxyMemory> {
  const { clock, timers, log, observeCommit, onFailure } = deps;
  const opened = await openLedger(place, {
    ...{ log: log.child({ part: 'ledger' }), clock, timers, observeCommit, onFailure },
  });
  try {
    const memory = await rememberedBy(deps.crash.ledger(opened), timers, (ledger) => runOf(ledger, place));
    const { run, remembered } = memory;
    log.info({ run, remembered, kernel: kernel.name, ledger: opened.engine }, 'ledger read');
    const upkeep = new LedgerUpkeep(
      { path: place.path, keepMs: deps.keepMs },
      { ledger: opened, clock, timers, log },
    );
    upkeep.start();
    const close = async (): Promise<void> => {
      await upkeep.stop();
      await opened.close();
    };
    return { ...memory, kernel, upkeep, unusable: undefined, close };
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/** Miners wait no longer for the first write to a ledger that is not to be had. Throws `ledger_io`. */
async function inTime<T>(work: Promise<T>, timers: Timers): Promise<T> {
  const late = Promise.withResolvers<never>();
  const error = new CodedError(
    'ledger_io',
    'another program holds the ledger, or its disk does not answer',
  );
  const timer = timers.after(OPEN_MS, () => late.reject(error));
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    timer.cancel();
    // Closing the ledger refuses it.
    work.catch(() => {});
  }
}

/** Several proxies may be in one database. */
async function runOf(ledger: Ledger, { postgres }: LedgerPlace): Promise<number> {
  if (postgres === undefined) return await nextRun(ledger);
  const leases = new PostgresLeases(postgres);
  const look = new FleetLook(postgres);
  try {
    return await nextSharedRun(ledger, leases, async (kind, id) =>
      (
        await look.ask((reader) => reader.gather({ kind, stream: '' }, [{ kind, id }], new Map(), 1))
      ).flatMap(({ bodies }) => bodies),
    );
  } finally {
    await Promise.all([leases.close(), look.close()]);
  }
}

async function rememberedBy(
  ledger: Ledger,
  timers: Timers,
  runs: (ledger: Ledger) => Promise<number> = nextRun,
) {
  const run = await inTime(runs(ledger), timers);
  const meters = await Meters.load(ledger, { extranonce1Size: SESSION_ID_SIZE });
  const duplicates = new DuplicateSet();
  const { shares: remembered } = await rememberShares(
    ledger,
    // Half of the room is for the shares to come.
    {
      memoryMs: REMEMBERED_MS,
      maxShares: duplicates.maxHashes / 2,
      jobKey: (_stream, jobId) => jobDocumentId(jobId),
    },
    (generation, bytes, hashAt) => duplicates.add(generation, bytes, hashAt),
  );
  return { ledger, run, meters, duplicates, remembered };
}
