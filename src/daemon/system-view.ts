import { toHex } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { COMMIT, VERSION } from '../base/version.ts';
import { displayHash } from '../bitcoin/header.ts';
import { difficultyOfTarget } from '../bitcoin/target.ts';
import type { ExplainedOption } from '../config/load.ts';
import type { ReadyCheck } from '../http/server.ts';
import type { Job } from '../jobs/job.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { RootLogger } from '../log/pino-logger.ts';
import { destinationOfRoute } from '../mining/work-routes.ts';
import type { LedgerUpkeep } from './ledger-upkeep.ts';

export type SystemParts = {
  readonly checks: Readonly<Record<string, ReadyCheck>>;
  readonly listeners: () => readonly { readonly name: string; readonly at: string }[];
  readonly explain: (() => readonly ExplainedOption[]) | undefined;
  readonly ledger: Pick<Ledger, 'engine' | 'stats'>;
  readonly upkeep: Pick<LedgerUpkeep, 'disk' | 'backup'> | undefined;
  readonly job?: () => Job | undefined;
  readonly log: { readonly stats?: RootLogger['stats'] };
  readonly clock: Clock;
};

/** What a daemon runs on and with, and how it is. */
export function systemView(parts: SystemParts): () => Promise<SystemView> {
  const { clock, log } = parts;
  const started_at_ms = clock.nowMs();
  // What changes while it runs is told by the commands that change it.
  const config = (parts.explain?.() ?? []).map(({ path, value, source }) => {
    return { option: path, value: value ?? null, source };
  });
  return async () => {
    const job = parts.job?.();
    return {
      ...{ version: VERSION, commit: COMMIT, node: process.version, started_at_ms },
      checks: await checksOf(parts.checks),
      ...{ listeners: parts.listeners(), config, ledger: ledgerView(parts) },
      job: job === undefined ? null : jobView(job, clock.monotonicMs()),
      warnings: (log.stats?.recent ?? []).toReversed(),
    };
  };
}

type SystemView = {
  readonly version: string;
  readonly commit: string;
  readonly node: string;
  readonly started_at_ms: number;
  readonly checks: readonly { readonly name: string; readonly ok: boolean; readonly says: string | null }[];
  readonly listeners: readonly { readonly name: string; readonly at: string }[];
  readonly config: readonly {
    readonly option: string;
    readonly value: string | null;
    readonly source: string;
  }[];
  readonly ledger: ReturnType<typeof ledgerView>;
  readonly job: ReturnType<typeof jobView> | null;
  readonly warnings: RootLogger['stats']['recent'];
};

function checksOf(checks: SystemParts['checks']): Promise<SystemView['checks']> {
  return Promise.all(
    Object.entries(checks).map(async ([name, check]) => {
      const said = await check();
      return { name, ok: said === true, says: said === true ? null : said };
    }),
  );
}

function ledgerView({ ledger: { engine, stats }, upkeep }: Pick<SystemParts, 'ledger' | 'upkeep'>) {
  const seconds = upkeep?.backup.seconds;
  return {
    ...{ engine, failed: stats.failed, commits: stats.commits, rows: stats.rows },
    queued_writes: stats.queuedWrites,
    last_commit_at_ms: stats.lastCommitAtMs > 0 ? stats.lastCommitAtMs : null,
    disk_free_bytes: upkeep?.disk.freeBytes ?? null,
    disk_full_in_seconds: upkeep?.disk.secondsToFull ?? null,
    backup_at_ms: seconds === undefined ? null : seconds * 1000,
  };
}

function jobView(job: Job, monotonicMs: number) {
  const { coinb1, coinb2, extranonceSize, branches, bits, version, time, clean, prevHash } = job;
  const zeros = '00'.repeat(extranonceSize);
  return {
    ...{
      destination: destinationOfRoute(job.destination),
      height: heightIn(coinb1),
      previous_block: displayHash(prevHash),
    },
    ...{ version: hex32(version), bits: hex32(bits), time, clean },
    difficulty: difficultyOfTarget(job.networkTarget),
    upstream_difficulty: difficultyOfTarget(job.upstreamTarget),
    coinbase_hex: `${toHex(coinb1)}${zeros}${toHex(coinb2)}`,
    branches: branches.map((branch) => toHex(branch)),
    age_ms: monotonicMs - job.createdAtMonotonicMs,
  };
}

/** Version, count of inputs, and the outpoint that a coinbase spends: its script comes after. */
const SCRIPT_AT = 4 + 1 + 36;

/** The height that a coinbase script begins with (BIP34); null where it begins with something else. */
function heightIn(coinb1: Uint8Array): number | null {
  const size = coinb1[SCRIPT_AT + 1] ?? 0;
  const bytes = coinb1.subarray(SCRIPT_AT + 2, SCRIPT_AT + 2 + size);
  if (size > 0x50 && size <= 0x60) return size - 0x50;
  if (size === 0 || size > 4 || bytes.length < size) return null;
  return bytes.reduceRight((sum, byte) => sum * 256 + byte, 0);
}

function hex32(value: number): string {
  return (value >>> 0).toString(16).padStart(8, '0');
}
