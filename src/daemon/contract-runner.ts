import { address as addresses } from 'bitcoinjs-lib';
import { fromHex, toHex } from '../base/bytes.ts';
import type { Clock, Random, Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { NETWORKS, type NetworkName } from '../bitcoin/network.ts';
import { targetOfDifficulty, targetToHex } from '../bitcoin/target.ts';
import type { ChainClock } from '../chain/chain-clock.ts';
import type { ChainSource } from '../chain/source.ts';
import { nodeIdBytes, type SeedSigner } from '../channel/signer.ts';
import type { ContractConfig, PayoutConfig } from '../config/config.ts';
import {
  type ContractTerms,
  contractIdOf,
  DEFAULT_FEE_LADDER_SAT_PER_KVB,
  parseTerms,
  type TermsV1or2,
  termsToJson,
} from '../contract/terms.ts';
import { easiestTarget } from '../contract/terms-access.ts';
import { TERMS_DEFAULTS } from '../contract/terms-defaults.ts';
import { termsV3From } from '../contract/terms-upgrade.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import type { ExposureTotal } from '../miner/exposure-total.ts';
import { MinerContract, type MinerContractOptions, type MinerStatus } from '../miner/miner-contract.ts';
import { type ContractReport, contractReport } from '../operator/contract-report.ts';
import type { connectPeer } from '../peer/transport.ts';
import type { ExternalSigning } from '../settlement/external-signing.ts';
import type { LadderWriter } from '../settlement/ladder-writer.ts';
import type { BlobFiles } from '../settlement/peer-blobs.ts';
import { CONTRACT_KIND, loadContract } from '../settlement/records.ts';
import { healFromMaker } from '../settlement/recovery.ts';
import { configuredContract, proposalEntry } from './configured-contract.ts';

/** A state that is due this long without coming: the hashrate goes to the fallback. */
const UNPAID_TIMEOUT_MS = 120_000;
const HEAL_TIMEOUT_MS = 5_000;

export type ContractRunnerDeps = {
  readonly ledger: Ledger;
  readonly chain: ChainSource;
  readonly signer: SeedSigner;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Logger;
  /** See `StakeSettlementDeps`. */
  readonly externalSigning?: ExternalSigning;
  /** See `MinerContractDeps`. */
  readonly blobFiles?: BlobFiles;
  readonly exposureTotal?: ExposureTotal;
  readonly ladders?: LadderWriter;
  readonly chainClock?: ChainClock;
  readonly onStatus: (status: MinerStatus) => void;
  readonly connect?: typeof connectPeer;
};

/** A configured contract that is over: it is served no more. */
export type FinishedContract = {
  readonly name: string;
  readonly contractId: string;
  readonly reason: string;
};

/**
 * The contract a proxy serves: proposed from the configuration once, then kept over restarts until it is
 * closed, and never proposed again under its name. All its shares have one difficulty: were it not fixed
 * before the hash is known, a share could be sold at the highest target it happens to meet.
 */
export class ContractRunner {
  readonly terms: ContractTerms;
  readonly contractId: string;
  readonly side: MinerContract;
  /** How its maker is reached and the miner is paid. */
  readonly options: MinerContractOptions;
  readonly #deps: ContractRunnerDeps;

  private constructor(options: MinerContractOptions, deps: ContractRunnerDeps) {
    this.options = options;
    this.terms = options.terms;
    this.contractId = contractIdOf(options.terms);
    this.side = new MinerContract(options, deps);
    this.#deps = deps;
  }

  static async start(
    network: NetworkName,
    contract: ContractConfig,
    deps: ContractRunnerDeps,
  ): Promise<ContractRunner | FinishedContract> {
    const terms = await termsOf(network, contract, deps);
    if ('reason' in terms) return terms;
    if (targetOfDifficulty(contract.shareDifficulty) !== easiestTarget(terms)) {
      throw new CodedError(
        'config_invalid',
        'contract.share_difficulty is not that of the running contract',
      );
    }
    const runner = new ContractRunner({ terms, ...minerOptionsOf(network, contract) }, deps);
    await runner.side.start();
    return runner;
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

/** How the maker of a configured contract is reached, and where the miner is paid. */
export function minerOptionsOf(
  network: NetworkName,
  { maker, payout, returnsBonds }: ContractConfig,
): Omit<MinerContractOptions, 'terms'> {
  const { host, port } = maker;
  const payoutScript = payoutScriptOf(payout, network);
  const unpaidTimeoutMs = UNPAID_TIMEOUT_MS;
  return { host, port, payoutScript, returnsBonds, unpaidTimeoutMs, reconnectMaxMs: 15_000 };
}

/** The terms of a configured contract: those it runs by, or new ones, which are proposed. */
async function termsOf(
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
    const fields = { contract: contractIdOf(known.terms), name };
    if (known.isChanged)
      log.warn(fields, 'the configuration changed; the running contract keeps its terms');
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
  const tip = await deps.chain.tip();
  const older: TermsV1or2 = {
    network,
    minerNodeId: toHex(nodeIdBytes(deps.signer)),
    makerNodeId: contract.makerNodeId,
    priceMsatPerEh: contract.priceMsatPerEh,
    workTotalHashes: contract.workTotalHashes,
    stepHashes: contract.stepHashes,
    maxUnpaidSteps: contract.maxUnpaidSteps,
    budgetSat: contract.budgetSat,
    reserveSat: contract.reserveSat,
    minerReserveSat: contract.minerReserveSat,
    expiryHeight: tip.height + contract.expiryBlocks,
    minDepth: contract.minDepth,
    feeLadderSatPerKvb: DEFAULT_FEE_LADDER_SAT_PER_KVB,
    maxTargetHex: targetToHex(targetOfDifficulty(contract.shareDifficulty)),
    binding:
      contract.bindingScriptHex === undefined
        ? { type: 'none' }
        : { type: 'coinbase', scriptHex: contract.bindingScriptHex },
    staleGraceSeconds: contract.staleGraceSeconds,
    nonceHex: toHex(deps.random.bytes(16)),
    ...(contract.bonds === undefined ? {} : { bonds: contract.bonds }),
    ...(contract.seal === undefined ? {} : { seal: contract.seal }),
  };
  const proposed =
    contract.termsVersion === 3 ? termsV3From(older, tip.height + TERMS_DEFAULTS.fundingByBlocks) : older;
  const terms = parseTerms(termsToJson(proposed));
  await deps.ledger.appendNow([proposalEntry(contract, terms)]);
  return terms;
}

function payoutScriptOf(payout: PayoutConfig, network: NetworkName): Uint8Array {
  if (payout.type === 'script') return fromHex(payout.scriptHex);
  try {
    return addresses.toOutputScript(payout.address, NETWORKS[network].params);
  } catch {
    throw new CodedError('config_invalid', `payout.address is no address of ${network}: ${payout.address}`);
  }
}
