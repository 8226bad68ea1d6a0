import { formatSi } from '../base/units.ts';
import type { DestinationConfig } from '../config/config.ts';
import type { Destination } from '../upstream/destination.ts';
import { isServing } from '../upstream/failover.ts';
import type { SplitAccount } from '../upstream/split.ts';
import type { VerdictMatrix } from '../upstream/verdict-matrix.ts';
import type { DestinationWork } from './destination-work.ts';
import type { Mining } from './mining.ts';
import { type DestinationSetup, destinationOfRoute } from './work-routes.ts';

export type DestinationStatus = {
  readonly name: string;
  readonly role: DestinationConfig['role'];
  readonly up: boolean;
  readonly tls: boolean;
  readonly job_age_ms: number | null;
  readonly reject_ratio: number;
  readonly rtt_ms: number | null;
  /** Forwarded to it, by its verdict. */
  readonly shares: Readonly<Record<'accepted' | 'refused' | 'timeout' | 'lost', number>>;
  /** The same by both verdicts, `we_accepted_they_rejected` and so on. */
  readonly combinations: Readonly<Record<string, number>>;
  readonly last_refusal: string | null;
  readonly last_failure: string | null;
  /** Requests to connect to another host that were not followed. */
  readonly redirects_refused: number;
  /** Lines of it that made no sense. */
  readonly dropped_lines: number;
  /** How it reads version bits; under `auto`, as far as it is known; null where none are sent. */
  readonly version_reading: {
    readonly option: string;
    readonly guess: string;
    readonly confirmed: boolean;
  } | null;
  readonly sessions: number;
  /** Connections of single miners and spare ones; null where one connection serves all. */
  readonly links: { readonly attached: number; readonly spare: number; readonly refused: number } | null;
  readonly hashrate: { readonly text: string; readonly hashes_per_second: number };
  /** Credited since the ledger was made: the sum of its streams of evidence. */
  readonly credited: { readonly shares: number; readonly work_hashes: bigint };
  /** Null unless the hashrate is split by weight or rate. */
  readonly split: {
    readonly weight: number | null;
    readonly rate_hashes_per_second: bigint | null;
    readonly wanted_hashes_per_second: bigint;
    readonly assigned_hashes_per_second: bigint;
    readonly missing_hashes: bigint;
  } | null;
};

type Facts = { readonly mining: Mining; readonly work: DestinationWork };

/** Every destination, best first. */
export function destinationStatus({ mining, work }: Facts): DestinationStatus[] {
  const sessions = sessionsByDestination(mining);
  return mining.routes.destinations.map(({ setup, destination }) => {
    const { name, health, figures } = destination;
    const { connection } = figures;
    const rate = work.rates(name)?.oneMinute ?? 0;
    const { seq, workHashes } = work.total(name);
    return {
      ...{ name, role: setup.role, up: isServing(health), tls: connection?.isTls === true },
      job_age_ms: health.jobAgeMs ?? null,
      reject_ratio: health.rejectRatio,
      rtt_ms: health.rttMs ?? null,
      shares: figures.shares,
      combinations: verdictMatrixCounts(figures),
      last_refusal: figures.lastRefusal ?? null,
      last_failure: connection?.lastFailure ?? null,
      redirects_refused: connection?.redirectsRefused ?? 0,
      dropped_lines: connection?.droppedLines ?? 0,
      version_reading: connection?.versionReading ?? null,
      sessions: sessions[name] ?? 0,
      links: linksStatus(destination),
      hashrate: { text: formatSi(rate, 'H/s'), hashes_per_second: rate },
      credited: { shares: seq, work_hashes: workHashes },
      split: splitStatus(setup, mining),
    };
  });
}

function linksStatus({ mode, figures }: Destination): DestinationStatus['links'] {
  return mode === 'per_session' ? (figures.links ?? null) : null;
}

/** Of the last round of the split, by destination: sums over its routes. */
export function splitAccounts({ router }: Mining): readonly Omit<SplitAccount, 'sessions'>[] {
  const sums = new Map<string, Omit<SplitAccount, 'sessions'>>();
  for (const account of router.accounts) {
    const name = destinationOfRoute(account.name);
    const sum = sums.get(name);
    sums.set(name, {
      name,
      targetHashesPerSecond: account.targetHashesPerSecond + (sum?.targetHashesPerSecond ?? 0n),
      assignedHashesPerSecond: account.assignedHashesPerSecond + (sum?.assignedHashesPerSecond ?? 0n),
      missingHashes: account.missingHashes + (sum?.missingHashes ?? 0n),
    });
  }
  return [...sums.values()];
}

function splitStatus({ name, quota }: DestinationSetup, mining: Mining): DestinationStatus['split'] {
  const accounts = splitAccounts(mining);
  if (accounts.length === 0) return null;
  const account = accounts.find((candidate) => candidate.name === name);
  return {
    weight: quota?.type === 'weight' ? quota.weight : null,
    rate_hashes_per_second: quota?.type === 'rate' ? quota.hashesPerSecond : null,
    wanted_hashes_per_second: account?.targetHashesPerSecond ?? 0n,
    assigned_hashes_per_second: account?.assignedHashesPerSecond ?? 0n,
    missing_hashes: account?.missingHashes ?? 0n,
  };
}

const COMBINATIONS: Readonly<Record<keyof VerdictMatrix, string>> = {
  weAcceptedTheyAccepted: 'we_accepted_they_accepted',
  weAcceptedTheyRejected: 'we_accepted_they_rejected',
  weAcceptedTheySilent: 'we_accepted_they_silent',
  weRejectedTheyAccepted: 'we_rejected_they_accepted',
  weRejectedTheyRejected: 'we_rejected_they_rejected',
  weRejectedTheySilent: 'we_rejected_they_silent',
  incomplete: 'incomplete',
};

/** Forwarded shares by both verdicts, by the name of the combination. */
export function verdictMatrixCounts({
  verdicts,
}: {
  readonly verdicts: Readonly<VerdictMatrix>;
}): Readonly<Record<string, number>> {
  return Object.fromEntries(
    Object.entries(COMBINATIONS).map(([key, name]) => [name, verdicts[key as keyof VerdictMatrix]]),
  );
}

/** Sessions that have a destination, by its name. */
export function sessionsByDestination({ server, destinations }: Mining): Readonly<Record<string, number>> {
  const counts = new Map(destinations.map(({ name }) => [name, 0]));
  for (const { destination } of server.sessions()) {
    const name = destinationOfRoute(destination);
    const count = counts.get(name);
    if (count !== undefined) counts.set(name, count + 1);
  }
  return Object.fromEntries(counts);
}
