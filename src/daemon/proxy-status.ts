import { toHex } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { formatSi } from '../base/units.ts';
import { VERSION } from '../base/version.ts';
import type { TrucPolicy } from '../chain/truc.ts';
import { nodeIdBytes, type SeedSigner } from '../channel/signer.ts';
import type { ProxyConfig } from '../config/config.ts';
import type { LeavingView } from '../contract/incentive.ts';
import type { SessionSnapshot, WorkerSnapshot } from '../downstream/server/snapshot.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { FoundBlocks } from '../miner/found-blocks.ts';
import type { MinerMeterStatus } from '../miner/miner-meter.ts';
import type { WorkStatus } from '../miner/work-destination.ts';
import type { BraidpoolStatus } from '../mining/braidpool-view.ts';
import { type DestinationStatus, destinationStatus } from '../mining/destination-status.ts';
import type { DestinationWork } from '../mining/destination-work.ts';
import type { Mining } from '../mining/mining.ts';
import { withoutContract } from '../mining/work-routes.ts';
import type { UnlikelyWorker, WorkerLuck } from '../mining/worker-luck.ts';
import { isOfWorker } from '../mining/worker-table.ts';
import type { EditWithoutEffect } from '../operator/configured-terms.ts';
import type { ContractReport } from '../operator/contract-report.ts';
import type { AuditorLink, AuditorView } from '../settlement/auditor-link.ts';
import type { DeliveryView } from '../settlement/minute-keeper.ts';
import type { NoticesView } from '../settlement/notice-board.ts';
import type { Hashrate } from '../work/hashrate.ts';
import type { Meters } from '../work/meters.ts';
import { type ChainPart, type ChainStatus, chainStatus } from './chain-part.ts';
import type { ClosingOnly, ClosingStatus } from './closing-only.ts';
import type { ContractRunner } from './contract-runner.ts';
import { EXPIRY_NEAR_BLOCKS } from './contract-state.ts';
import type { Descriptors } from './descriptors.ts';
import type { Durability, DurabilityLevel } from './durability.ts';
import type { FleetMember } from './fleet-member.ts';
import type { LaterPart, WaitingPart } from './later-part.ts';
import { leavingView } from './leaving.ts';
import type { LedgerUpkeep } from './ledger-upkeep.ts';
import type { RunningContracts } from './running-contracts.ts';
import type { SharedStatus } from './shared-contract.ts';

/** Everything the status page and the metrics read; contracts come once they have started. */
export type ProxyParts = {
  readonly config: ProxyConfig;
  readonly mining: Mining;
  readonly meters: Meters;
  readonly hashrate: Hashrate;
  readonly work: DestinationWork;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly signer: SeedSigner;
  readonly contracts: RunningContracts;
  readonly closing: ClosingOnly;
  readonly chain?: ChainPart;
  readonly upkeep: LedgerUpkeep | undefined;
  readonly durability: Durability;
  readonly descriptors: Pick<Descriptors, 'status'>;
  /** Whom the logs of contracts are told. */
  readonly auditor?: AuditorLink;
  /** What it is among the instances of its database; undefined where the ledger is its own. */
  readonly fleet?: FleetMember;
  /** What miners do not wait for. */
  readonly waiting: LaterPart[];
};

export type ProxyStatus = {
  readonly version: string;
  readonly role: 'proxy';
  readonly node_id: string;
  readonly network: string;
  readonly bitcoin_node: { readonly truc: TrucPolicy | 'unknown' };
  readonly sessions: number;
  readonly destination: string;
  readonly hashrate: { readonly text: string; readonly hashes_per_second: number };
  readonly shares: {
    readonly submitted: number;
    readonly accepted: number;
    readonly rejected: Readonly<Record<string, number>>;
  };
  readonly blocks_found: number;
  /** Luck of the workers: those whose solutions are unlikely few or many for their work. */
  readonly luck: { readonly workers: number; readonly unlikely: readonly UnlikelyWorker[] };
  readonly streams: readonly {
    readonly id: string;
    readonly shares: number;
    readonly work_hashes: bigint;
  }[];
  readonly destinations: readonly DestinationStatus[];
  /** Of the destinations that name an RPC; their braids are in `/api/v1/dag`. */
  readonly braidpool: readonly BraidpoolStatus[];
  readonly miners: readonly MinerView[];
  /** The first of `contracts`. */
  readonly contract: ContractStatus | null;
  readonly contracts: readonly ContractStatus[];
  /** The contract without money; null where there is none. */
  readonly metering: MinerMeterStatus | null;
  /** Configured contracts that are over: another `contract.name` is for the next one. */
  readonly finished_contracts: readonly {
    readonly name: string;
    readonly contract_id: string;
    readonly reason: string;
  }[];
  /** Contracts that other proxies on the same ledger serve too. */
  readonly shared_contracts: readonly SharedStatus[];
  /** Work that is delivered and not signed for, over all contracts. */
  readonly exposure_sat: bigint;
  readonly closing_only: ClosingStatus;
  /** `held`: the ledger does not write, shares are refused; `lost`: miners are let go. */
  readonly durability: DurabilityLevel;
  /** Open files and connections; null where the system does not say. */
  readonly descriptors: { readonly open: number; readonly limit: number } | null;
  /** What is not there yet, and is tried again. */
  readonly waiting: readonly WaitingPart[];
  /** Null without a contract. */
  readonly chain: ChainStatus | null;
  /** Today, by the own node. */
  readonly hash_value_msat_per_eh: bigint | null;
  readonly last_peer_error: string | null;
};

/** A contract at the miner's side. */
export type ContractStatus = ContractReport & {
  /** See `ContractConfig`. */
  readonly name: string;
  readonly connected: boolean;
  readonly live: boolean;
  /** Of every share; with binding work the easiest that a job may name. */
  readonly share_difficulty: number;
  /** That is due; null where the terms name none. */
  readonly rate_hashes_per_second: bigint | null;
  /** From then on the own side closes by itself. */
  readonly closes_from_height: number;
  /** The course of delivery; null where the terms have no rules for it. */
  readonly delivery: DeliveryView | null;
  /** What leaving it now would gain and lose each side; null where hashes have no known value. */
  readonly leaving: LeavingView | null;
  /** What the auditor says; null where none is told. */
  readonly auditor: AuditorView | null;
  /** Pauses, notice of the end, and what was given up. */
  readonly notices: NoticesView;
  /** The jobs of the maker; null where they are the miner's own. */
  readonly work: WorkStatus | null;
  /** Why the job of its destination is not mined for it, in words: the market maker would not pay for it. */
  readonly unpaid_job: string | null;
  /** A commitment that the market maker signed and the own shares contradict; `channel export` has it. */
  readonly disputed_commitment: { readonly n: number; readonly why: string } | null;
  /** Blocks that were shown to the market maker, by what its node said; null where it is shown none. */
  readonly blocks: FoundBlocks['counts'] | null;
  /** What the configuration says by now and has no effect: a contract keeps the terms it was signed with. */
  readonly ignored_edits: readonly EditWithoutEffect[];
};

/** The body of `/api/v1/status`. @param minersListed the most that it lists; the rest is only counted */
export async function proxyStatus(facts: ProxyParts, minersListed: number): Promise<ProxyStatus> {
  const { mining, meters, config } = facts;
  const { server } = mining;
  const rate = facts.hashrate.rates().oneMinute;
  const contracts = await contractStatuses(facts);
  return {
    version: VERSION,
    role: 'proxy',
    node_id: toHex(nodeIdBytes(facts.signer)),
    network: config.network,
    bitcoin_node: { truc: facts.chain?.truc.policy ?? 'unknown' },
    sessions: server.sessionCount,
    destination: mining.destination,
    hashrate: { text: formatSi(rate, 'H/s'), hashes_per_second: rate },
    shares: {
      submitted: server.stats.sharesSubmitted,
      accepted: server.stats.sharesAccepted,
      rejected: server.stats.rejected,
    },
    blocks_found: mining.stats.blocksFound,
    luck: { workers: mining.luck.size, unlikely: mining.luck.unlikely() },
    streams: meters.streams().map((id) => {
      const { seq, workHashes } = meters.total(id);
      return { id, shares: seq, work_hashes: workHashes };
    }),
    destinations: destinationStatus(facts),
    braidpool: mining.braidpoolNodes.map(({ status }) => status),
    miners: server.sessions(minersListed).map((session) => minerOf(session, mining)),
    contract: contracts[0] ?? null,
    contracts,
    metering: facts.contracts.metering?.meter.status ?? null,
    finished_contracts: facts.contracts.finished.map(({ name, contractId, reason }) => {
      return { name, contract_id: contractId, reason };
    }),
    shared_contracts: facts.contracts.shared.map(({ status }) => status),
    exposure_sat: facts.contracts.exposureSat,
    closing_only: facts.closing.status,
    durability: facts.durability.level,
    descriptors: facts.descriptors.status,
    waiting: facts.waiting.flatMap((part) => part.waiting ?? []),
    chain: facts.chain === undefined ? null : chainStatus(facts.chain),
    hash_value_msat_per_eh: facts.chain?.value.msatPerEh ?? null,
    last_peer_error: lastPeerError(facts.contracts) ?? null,
  };
}

/** The contracts that run. */
export function contractStatuses(
  facts: Pick<ProxyParts, 'contracts' | 'mining' | 'chain'>,
): Promise<ContractStatus[]> {
  return Promise.all(facts.contracts.all.map((each) => contractStatus(each, facts)));
}

/** All connections of miners. @param worker of this one alone */
export function minerViews(mining: Mining, worker?: string): MinerView[] {
  const all = mining.server.sessions();
  const meant = worker === undefined ? all : all.filter((session) => isOfWorker(session, worker));
  return meant.map((session) => minerOf(session, mining));
}

async function contractStatus(
  runner: ContractRunner,
  { mining, chain }: Pick<ProxyParts, 'mining' | 'chain'>,
): Promise<ContractStatus> {
  const {
    connected,
    live,
    disputed: disputed_commitment = null,
    delivery = null,
    auditor = null,
    notices,
  } = runner.side.status;
  const { name, shareDifficulty: share_difficulty, ignoredEdits: ignored_edits } = runner;
  const work = runner.side.work?.status ?? null;
  const unpaid_job = mining.unpaidReason(runner.contractId) ?? null;
  const blocks = runner.side.blocks?.counts ?? null;
  const leaving = leavingView(runner.leavable, chain);
  const { terms } = runner;
  const rate_hashes_per_second = (terms.version === 3 ? terms.rate?.committed : undefined) ?? null;
  const closes_from_height = Math.max(0, terms.expiryHeight - EXPIRY_NEAR_BLOCKS);
  return {
    ...{ ...(await runner.report()), name, connected, live, share_difficulty, work, blocks },
    ...{ rate_hashes_per_second, closes_from_height },
    ...{ unpaid_job, disputed_commitment, delivery, leaving, auditor, notices, ignored_edits },
  };
}

function lastPeerError({ all, metering }: RunningContracts): string | undefined {
  const parts = [...all.map(({ side }) => side), ...(metering === undefined ? [] : [metering.meter])];
  return parts.map(({ status }) => status.lastError).find((error) => error !== undefined);
}

/** A miner with the name of the destination, or of its own link there, that it mines to. */
export type MinerView = SessionSnapshot & {
  readonly own_pool_reason: string | null;
  readonly workers: readonly (WorkerSnapshot & {
    readonly luck: NonNullable<ReturnType<WorkerLuck['of']>> | null;
  })[];
};

function minerOf({ destination, ...session }: SessionSnapshot, { router, luck }: Mining): MinerView {
  const sharesPerMinute = router.sharesPerMinuteOfSlow(session.id);
  const workers = session.workers.map((worker) => ({ ...worker, luck: luck.of(worker.name) ?? null }));
  const own_pool_reason =
    sharesPerMinute === undefined
      ? null
      : `too slow for the contract: ${sharesPerMinute.toPrecision(2)} of its shares a minute`;
  return { ...session, workers, destination: withoutContract(destination), own_pool_reason };
}
