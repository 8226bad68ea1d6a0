import { fromHex, toHex } from '../base/bytes.ts';
import type { Clock, Random, Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { readAddress } from '../bitcoin/address.ts';
import type { NetworkName } from '../bitcoin/network.ts';
import { decimalDifficultyOf } from '../bitcoin/target.ts';
import type { ChainClock } from '../chain/chain-clock.ts';
import type { ChainSource } from '../chain/source.ts';
import { TemplateWatch } from '../chain/template-watch.ts';
import { nodeIdBytes } from '../channel/signer.ts';
import type { ContractConfig, PayoutConfig, QuotaConfig } from '../config/config.ts';
import { type ContractTerms, contractIdOf } from '../contract/terms.ts';
import { easiestTarget } from '../contract/terms-access.ts';
import type { UpstreamJob } from '../jobs/job.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { PostgresOptions } from '../ledger/postgres/address.ts';
import type { Logger } from '../log/logger.ts';
import type { ChosenCoins } from '../miner/chosen-coins.ts';
import type { ExposureTotal } from '../miner/exposure-total.ts';
import {
  MinerContract,
  type MinerContractDeps,
  type MinerContractOptions,
} from '../miner/miner-contract.ts';
import { unpaidReason } from '../miner/payout-jobs.ts';
import {
  configuredTerms,
  type EditWithoutEffect,
  editsWithoutEffect,
} from '../operator/configured-terms.ts';
import { type ContractReport, contractReport } from '../operator/contract-report.ts';
import type { connectPeer } from '../peer/transport.ts';
import { committedBinding } from '../settlement/bead-rules.ts';
import type { ExternalSigning } from '../settlement/external-signing.ts';
import type { HashValues } from '../settlement/hash-values.ts';
import type { LadderWriter } from '../settlement/ladder-writer.ts';
import type { SignerTree } from '../settlement/opening.ts';
import type { BlobFiles } from '../settlement/peer-blobs.ts';
import { CONTRACT_KIND, loadContract } from '../settlement/records.ts';
import { healFromMaker } from '../settlement/recovery.ts';
import type { StreamTotal } from '../work/meters.ts';
import { configuredContract, endOf, proposalEntry } from './configured-contract.ts';
import type { LeavableContract } from './leaving.ts';
import type { SoldContract } from './selling.ts';
import { payoutOf, type TakenContract } from './taken-contracts.ts';

/** A state that is due this long without coming: the hashrate goes to the fallback. */
const UNPAID_TIMEOUT_MS = 120_000;
const HEAL_TIMEOUT_MS = 5_000;
/** Templates of the last two minutes: a job is drawn with its first share. */
const TEMPLATE_MS = 4_000;
const TEMPLATES_KEPT = 30;

/** Where several proxies meet, and what this one is among them. */
export type FleetPlace = {
  readonly postgres: PostgresOptions;
  /** Number of this run of the program. */
  readonly run: number;
  /** The durable total of a stream in the own chain. */
  readonly total: (stream: string) => StreamTotal;
  /** Folder of ladder files. */
  readonly closeDir: string;
};

export type ContractRunnerDeps = {
  readonly ledger: Ledger;
  readonly chain: ChainSource;
  readonly signer: SignerTree;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Logger;
  /** See `StakeSettlementDeps`. */
  readonly externalSigning?: ExternalSigning;
  /** See `MinerContractDeps`. */
  readonly auditor?: NonNullable<MinerContractDeps['auditor']>;
  readonly values?: HashValues;
  readonly blobFiles?: BlobFiles;
  readonly exposureTotal?: ExposureTotal;
  /** See `MinerContractDeps`. */
  readonly judgeUpdate?: NonNullable<MinerContractDeps['judgeUpdate']>;
  readonly chosenCoins?: ChosenCoins;
  readonly ladders?: Pick<LadderWriter, 'write' | 'remove'>;
  readonly chainClock?: ChainClock;
  readonly onStatus: (contract: SoldContract) => void;
  /** What a contract that several proxies share depends on; undefined where the ledger is of this one. */
  readonly fleet?: FleetPlace;
  /** See `MinerContractDeps`. */
  readonly observeSolution?: (seconds: number) => void;
  /** See `MinerContractDeps`. */
  readonly sharedWork?: NonNullable<MinerContractDeps['sharedWork']>;
  readonly connect?: typeof connectPeer;
  /** Of the own node, where blocks are shown to the maker. */
  readonly templates?: TemplateWatch;
};

/** A configured contract that is over: it is served no more. */
export type FinishedContract = {
  readonly name: string;
  readonly contractId: string;
  readonly reason: string;
};

/** Where a contract is mined, and by which configuration. */
type ServedAs = {
  readonly name: string;
  readonly destination?: string | undefined;
  readonly quota?: QuotaConfig | undefined;
  readonly configured: ContractConfig | undefined;
};

/**
 * A contract a proxy serves: proposed from the configuration once, then kept over restarts until it is
 * closed, and never proposed again under its name. All its shares have one difficulty: were it not fixed
 * before the hash is known, a share could be sold at the highest target it happens to meet.
 */
export class ContractRunner {
  readonly contractId: string;
  readonly side: MinerContract;
  /** How its maker is reached and the miner is paid. */
  readonly options: MinerContractOptions;
  readonly name: string;
  readonly #deps: Pick<ContractRunnerDeps, 'ledger' | 'chain' | 'templates'>;
  readonly #place: Pick<SoldContract, 'destination' | 'quota'>;

  /** Of every share: that of its terms, whatever the configuration says by now. */
  readonly shareDifficulty: number;
  /** What it was configured with; undefined for one that was taken. */
  readonly #configured: ContractConfig | undefined;

  private constructor(
    options: MinerContractOptions,
    { name, destination, quota, configured }: ServedAs,
    { onStatus, ...deps }: ContractRunnerDeps,
  ) {
    const { terms } = options;
    this.options = options;
    this.contractId = contractIdOf(terms);
    this.name = name;
    this.#configured = configured;
    this.#place = { destination, quota: quotaOf(terms, quota) };
    const difficulty = decimalDifficultyOf(easiestTarget(terms));
    if (difficulty === undefined)
      throw new CodedError('bad_terms', 'no difficulty has the target of the terms');
    this.shareDifficulty = difficulty;
    this.side = new MinerContract(options, { ...deps, onStatus: () => onStatus(this.sold) });
    this.#deps = deps;
  }

  static async start(
    network: NetworkName,
    contract: ContractConfig,
    deps: ContractRunnerDeps,
  ): Promise<ContractRunner | FinishedContract> {
    const terms = await termsOf(network, contract, deps);
    if ('reason' in terms) return terms;
    const options = { terms, ...minerOptionsOf(network, contract) };
    return ContractRunner.#serve(options, { ...contract, configured: contract }, deps);
  }

  /** Serves a contract that was taken at run time, until it is over. */
  static async serve(
    taken: TakenContract,
    deps: ContractRunnerDeps,
  ): Promise<ContractRunner | FinishedContract> {
    const { terms, name } = taken;
    const reason = endOf(await loadContract(deps.ledger, contractIdOf(terms)));
    if (reason !== undefined) return { name, contractId: contractIdOf(terms), reason };
    const options = { terms, ...minerOptionsOf(terms.network, { ...taken, payout: payoutOf(taken) }) };
    return ContractRunner.#serve(options, { ...taken, configured: undefined }, deps);
  }

  static async #serve(
    options: MinerContractOptions,
    as: ServedAs,
    deps: ContractRunnerDeps,
  ): Promise<ContractRunner> {
    const templates = templatesFor(options.terms, deps);
    const runner = new ContractRunner(options, as, templates === undefined ? deps : { ...deps, templates });
    templates?.start();
    await runner.side.start();
    return runner;
  }

  /** The terms in force: with the updates that both signed by now. */
  get terms(): ContractTerms {
    return this.side.terms;
  }

  /** What the configuration says by now and has no effect on it. */
  get ignoredEdits(): readonly EditWithoutEffect[] {
    return this.#configured === undefined ? [] : editsWithoutEffect(this.terms, this.#configured);
  }

  /** See `unpaidReason` of `miner/payout-jobs.ts`. One function for the life of the contract. */
  readonly unpaidReason = (upstream: UpstreamJob): string | undefined =>
    unpaidReason(this.contractId, this.terms, upstream, this.#deps.templates);

  get sold(): SoldContract {
    const { side, terms, shareDifficulty, unpaidReason } = this;
    const sold = {
      ...{ status: side.status, terms, shareDifficulty, unpaidReason, work: side.work },
      ...this.#place,
    };
    return committedBinding(terms) === undefined ? sold : { ...sold, needsMetadata: true };
  }

  get leavable(): LeavableContract {
    const { stream, ownWorkHashes: deliveredHashes, signed } = this.side.status;
    const { terms } = this;
    return { terms, stream, deliveredHashes, signedHashes: signed?.workHashes ?? 0n };
  }

  async stop(): Promise<void> {
    this.#deps.templates?.stop();
    await this.side.stop();
  }

  async report(): Promise<ContractReport> {
    const { status } = this.side;
    return contractReport(this.terms, {
      stored: await loadContract(this.#deps.ledger, this.contractId),
      chain: this.#deps.chain,
      workHashes: status.ownWorkHashes,
      stream: status.stream,
      exposureSat: status.exposureSat,
      exposureHashes: status.exposureHashes,
    });
  }
}

/**
 * The templates by which jobs are judged before they are mined, and from which a drawn one is shown. A node
 * gives out one template for five seconds, so asked in between it tells what a pool on it was told.
 */
function templatesFor(
  { network, binding }: ContractTerms,
  deps: ContractRunnerDeps,
): TemplateWatch | undefined {
  if (binding.type !== 'payout') return undefined;
  const shown = { kept: TEMPLATES_KEPT, pollMs: TEMPLATE_MS };
  return new TemplateWatch({ network, ...(binding.samplePpm === 0 ? { kept: 1 } : shown) }, deps);
}

/** The hashrate of a contract: what its terms commit to, else what was configured. */
export function quotaOf(
  terms: ContractTerms,
  configured: QuotaConfig | undefined,
): QuotaConfig | undefined {
  if (terms.version !== 3 || terms.rate === undefined) return configured;
  const { committed: hashesPerSecond, max: maxHashesPerSecond } = terms.rate;
  return { type: 'rate', hashesPerSecond, maxHashesPerSecond };
}

/** How the maker of a configured contract is reached, and where the miner is paid. */
export function minerOptionsOf(
  network: NetworkName,
  { maker, payout, returnsBonds }: Pick<ContractConfig, 'maker' | 'payout' | 'returnsBonds'>,
): Omit<MinerContractOptions, 'terms'> {
  const { host, port } = maker;
  const payoutScript = payoutScriptOf(payout, network);
  const unpaidTimeoutMs = UNPAID_TIMEOUT_MS;
  return { host, port, payoutScript, returnsBonds, unpaidTimeoutMs, reconnectMaxMs: 15_000 };
}

/** The terms of a configured contract: those it runs by, or new ones, which are proposed. */
export async function termsOf(
  network: NetworkName,
  contract: ContractConfig,
  deps: ContractRunnerDeps,
): Promise<ContractTerms | FinishedContract> {
  const { ledger, chain, log } = deps;
  const { name } = contract;
  const known = await configuredContract(ledger, contract, async () => (await chain.tip()).height);
  if (known.type === 'finished') {
    const { contractId, reason } = known;
    log.warn(
      { contract: contractId, name, reason },
      'finished; set another contract.name for the next one',
    );
    return { name, contractId, reason };
  }
  if (known.type === 'running') {
    const edits = editsWithoutEffect(known.terms, contract);
    if (edits.length > 0) {
      const fields = { contract: contractIdOf(known.terms), name, edits };
      log.warn(fields, 'the configuration changed; the running contract keeps its terms');
    }
    return known.terms;
  }
  if (known.type === 'anew')
    log.info({ contract: contractIdOf(known.terms), name }, 'never opened; proposed anew as configured');
  const restored = known.type === 'unknown' ? await restoredTerms(contract, deps) : undefined;
  return restored ?? (await propose(network, contract, deps));
}

/**
 * A ledger without any contract may be a new one, or one that took the place of a lost one: the maker is
 * asked what it keeps for this seed. One that does not answer is no reason not to mine.
 */
async function restoredTerms(
  contract: ContractConfig,
  deps: ContractRunnerDeps,
): Promise<ContractTerms | undefined> {
  const { maker, makerNodeId } = contract;
  if ((await deps.ledger.list(CONTRACT_KIND)).length > 0) return undefined;
  const target = { ...maker, nodeId: makerNodeId, timeoutMs: HEAL_TIMEOUT_MS };
  try {
    const [terms] = await healFromMaker(target, deps);
    if (terms !== undefined) await deps.ledger.appendNow([proposalEntry(contract, terms)]);
    return terms;
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    deps.log.info({ code: error.code }, 'the maker could not be asked for contracts of an earlier ledger');
    return undefined;
  }
}

async function propose(
  network: NetworkName,
  contract: ContractConfig,
  deps: ContractRunnerDeps,
): Promise<ContractTerms> {
  const terms = configuredTerms(contract, {
    network,
    minerNodeId: toHex(nodeIdBytes(deps.signer)),
    tipHeight: (await deps.chain.tip()).height,
    nonce: deps.random.bytes(16),
  });
  await deps.auditor?.assertNamed(terms);
  await deps.ledger.appendNow([proposalEntry(contract, terms)]);
  return terms;
}

/** The script that a miner is paid to. Throws `config_invalid`. */
export function payoutScriptOf(payout: PayoutConfig, network: NetworkName): Uint8Array {
  if (payout.type === 'script') return fromHex(payout.scriptHex);
  const { script, why } = readAddress(payout.address, network);
  if (script === undefined)
    throw new CodedError('config_invalid', `payout.address ${payout.address} ${why}`);
  return script;
}
