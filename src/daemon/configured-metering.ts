import { toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { NetworkName } from '../bitcoin/network.ts';
import { decimalDifficultyOf } from '../bitcoin/target.ts';
import { noChain } from '../chain/no-chain.ts';
import type { ChainSource } from '../chain/source.ts';
import { nodeIdBytes, type SeedSigner } from '../channel/signer.ts';
import type { MeteringConfig } from '../config/config.ts';
import { isMetering, type MeteringTerms } from '../contract/metering.ts';
import { contractIdOf } from '../contract/terms.ts';
import { easiestTarget } from '../contract/terms-access.ts';
import { MinerMeter, type MinerMeterDeps } from '../miner/miner-meter.ts';
import { meteringTerms } from '../operator/configured-terms.ts';
import { loadMetering } from '../settlement/metering-records.ts';
import { isSameConfig, proposalEntry, readProposal } from './configured-contract.ts';
import type { FinishedContract } from './contract-runner.ts';
import type { SoldContract } from './selling.ts';

export type ConfiguredMeteringDeps = Omit<MinerMeterDeps, 'chain' | 'signer' | 'onStatus'> & {
  /** Undefined without a bitcoin node. */
  readonly chain?: ChainSource;
  readonly signer: SeedSigner;
  readonly onStatus: (contract: SoldContract) => void;
};

/** The metering of a configuration: one name stands for one, which goes on over restarts until its end. */
export class ConfiguredMetering {
  readonly contractId: string;
  readonly terms: MeteringTerms;
  readonly meter: MinerMeter;
  readonly #shareDifficulty: number;
  readonly #place: Pick<MeteringConfig, 'destination' | 'quota'>;

  private constructor(
    { maker: { host, port }, destination, quota }: MeteringConfig,
    terms: MeteringTerms,
    network: NetworkName,
    { onStatus, ...deps }: ConfiguredMeteringDeps,
  ) {
    this.terms = terms;
    this.#place = { destination, quota };
    this.contractId = contractIdOf(terms);
    const difficulty = decimalDifficultyOf(easiestTarget(terms));
    if (difficulty === undefined)
      throw new CodedError('bad_terms', 'no difficulty has the target of the terms');
    this.#shareDifficulty = difficulty;
    const chain = deps.chain ?? noChain(network);
    this.meter = new MinerMeter(
      { terms, host, port },
      { ...deps, chain, onStatus: () => onStatus(this.sold) },
    );
  }

  static async start(
    network: NetworkName,
    config: MeteringConfig,
    deps: ConfiguredMeteringDeps,
  ): Promise<ConfiguredMetering | FinishedContract> {
    const terms = await termsOf(network, config, deps);
    if ('reason' in terms) return terms;
    const metering = new ConfiguredMetering(config, terms, network, deps);
    await metering.meter.start();
    return metering;
  }

  /** What is mined for it: see `Selling`. */
  get sold(): SoldContract {
    const { contractId, terms, meter } = this;
    const channel = meter.status.status === 'ended' ? 'closed' : 'open';
    const status = { contractId, live: meter.live, channel } as const;
    return { status, terms, shareDifficulty: this.#shareDifficulty, work: undefined, ...this.#place };
  }
}

async function termsOf(
  network: NetworkName,
  config: MeteringConfig,
  { ledger, chain, signer, random, log }: ConfiguredMeteringDeps,
): Promise<MeteringTerms | FinishedContract> {
  const { name } = config;
  const proposal = await readProposal(ledger, name);
  if (proposal !== undefined) {
    const { terms } = proposal;
    if (!isMetering(terms))
      throw new CodedError('config_invalid', `contract.name ${name} is that of a contract with a channel`);
    const contractId = contractIdOf(terms);
    const stored = await loadMetering(ledger, contractId);
    if (stored?.status === 'ended') {
      const reason = `ended: ${stored.reason ?? 'asked'}`;
      log.warn(
        { contract: contractId, name, reason },
        'finished; set another contract.name for the next one',
      );
      return { name, contractId, reason };
    }
    if (stored !== undefined || isSameConfig(proposal, config)) return terms;
    log.info({ contract: contractId, name }, 'never taken; proposed anew as configured');
  }
  const terms = meteringTerms(config, {
    network,
    minerNodeId: toHex(nodeIdBytes(signer)),
    tipHeight: chain === undefined ? undefined : (await chain.tip()).height,
    nonce: random.bytes(16),
  });
  await ledger.appendNow([proposalEntry(config, terms)]);
  return terms;
}
