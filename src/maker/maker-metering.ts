import { CodedError } from '../base/errors.ts';
import { SerialQueue } from '../base/serial-queue.ts';
import type { BlockStatus, TipTracker } from '../chain/tip-tracker.ts';
import { isMetering, type MeteringTerms } from '../contract/metering.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { contractIdOf } from '../contract/terms.ts';
import { handler } from '../peer/calls.ts';
import type { Params, Result } from '../peer/messages.ts';
import type { RpcHandlers, RpcPeer } from '../peer/rpc-peer.ts';
import { METERING_KIND, type MeteringRecord, meteringEntry } from '../settlement/metering-records.ts';
import { signTerms, verifyTermsSignature } from '../settlement/opening.ts';
import type { BatchVerifierOptions } from './batch-verifier.ts';
import { MakerMeter, type MakerMeterDeps } from './maker-meter.ts';
import { judgeMetering, type MakerPolicy } from './policy.ts';

export type MeteringOptions = {
  readonly nodeId: string;
  readonly policy: () => MakerPolicy;
  readonly verification: BatchVerifierOptions;
  /** See `OpeningsDeps`. */
  readonly countProposal: (nodeId: string) => void;
};

export type MeteringDeps = Omit<MakerMeterDeps, 'view'> & {
  /** Undefined without a bitcoin node: then nothing is said of the block of a job. */
  readonly view: TipTracker | undefined;
};

/** The status of one metering. */
export type MeterStatus = {
  readonly contractId: string;
  readonly minerNodeId: string;
  readonly connected: boolean;
  readonly status: 'live' | 'ending' | 'ended';
  readonly endReason: string | undefined;
  readonly workTotalHashes: bigint;
  readonly verifiedWorkHashes: bigint;
  /** Of the newest total that both signed. */
  readonly totals: number;
  readonly signedWorkHashes: bigint;
  readonly sharesCredited: number;
  readonly refused: Readonly<Record<string, number>>;
};

const ANY_BLOCK: Pick<TipTracker, 'standing'> = {
  standing: async (): Promise<BlockStatus> => ({ status: 'current', height: 1, bits: 0 }),
};

/** The contracts of a maker that have no money: no channel, and no need of a bitcoin node. */
export class MakerMetering {
  readonly #options: MeteringOptions;
  readonly #deps: MakerMeterDeps;
  readonly #view: TipTracker | undefined;
  readonly #meters = new Map<string, MakerMeter>();
  readonly #proposals = new SerialQueue();

  constructor(options: MeteringOptions, { view, ...deps }: MeteringDeps) {
    this.#options = options;
    this.#view = view;
    this.#deps = { ...deps, view: view ?? ANY_BLOCK };
  }

  /** Loads them from the ledger. Throws `ledger_corrupt`. */
  async load(): Promise<void> {
    for (const { id } of await this.#deps.ledger.list(METERING_KIND)) await this.#load(id);
  }

  get status(): readonly MeterStatus[] {
    return [...this.#meters.values()].map((meter) => {
      const { contractId, terms, state, delivery, batchVerifier } = meter;
      return {
        ...{ contractId, minerNodeId: terms.minerNodeId, connected: meter.connected },
        ...{ status: state.status, endReason: state.reason, workTotalHashes: terms.workTotalHashes },
        verifiedWorkHashes: delivery.verifiedWorkHashes,
        ...{ totals: state.signed.n, signedWorkHashes: state.signed.workHashes },
        ...{ sharesCredited: batchVerifier.stats.sharesCredited, refused: batchVerifier.stats.refused },
      };
    });
  }

  /** The metering of a miner; undefined where it has no such one. */
  find(contractId: string, nodeId: string): MakerMeter | undefined {
    const meter = this.#meters.get(contractId);
    return meter?.terms.minerNodeId === nodeId ? meter : undefined;
  }

  /** The handlers of what is of metering alone. */
  handlers(peer: RpcPeer, nodeId: string): RpcHandlers {
    const of = (contractId: string): MakerMeter => {
      const meter = this.find(contractId, nodeId);
      if (meter === undefined) throw new CodedError('unknown_channel');
      return meter;
    };
    return {
      'meter.attach': handler('meter.attach', async (p) => of(p.contractId).attach(peer, p)),
      'meter.end': handler('meter.end', async (p) => of(p.contractId).end(peer)),
    };
  }

  /** Ends a metering: see `MakerMeter.requestEnd`. Throws `unknown_channel`. */
  async requestEnd(contractId: string): Promise<void> {
    const meter = this.#meters.get(contractId);
    if (meter === undefined) throw new CodedError('unknown_channel', 'there is no such metering');
    await meter.requestEnd();
  }

  /** Answers `contract.propose`; undefined for terms with a channel. Throws `bad_terms`. */
  async propose(
    { terms, signature }: Params<'contract.propose'>,
    nodeId: string,
  ): Promise<Result<'contract.propose'> | undefined> {
    if (!isMetering(terms)) return undefined;
    return this.#proposals.run(() => this.#accept(terms, signature, nodeId));
  }

  async #accept(
    terms: MeteringTerms,
    minerSignature: string,
    nodeId: string,
  ): Promise<Result<'contract.propose'>> {
    const contractId = contractIdOf(terms);
    const known = this.find(contractId, nodeId);
    if (known !== undefined) return { contractId, signature: known.record.makerSignature };
    this.#judge(terms, nodeId);
    verifyTermsSignature(terms, nodeId, minerSignature);
    this.#options.countProposal(nodeId);
    const { ledger, signer, log } = this.#deps;
    const makerSignature = signTerms(terms, signer);
    const record: MeteringRecord = { version: 1, role: 'maker', terms, minerSignature, makerSignature };
    await ledger.appendNow([meteringEntry(contractId, record)]);
    await this.#load(contractId);
    log.info({ contract: contractId, nodeId }, 'metering accepted');
    return { contractId, signature: makerSignature };
  }

  #judge(terms: ContractTerms, peerNodeId: string): void {
    const { nodeId: makerNodeId } = this.#options;
    const policy = this.#options.policy();
    const open = [...this.#meters.values()].filter(
      ({ terms: { minerNodeId }, state }) => minerNodeId === peerNodeId && state.status !== 'ended',
    );
    judgeMetering(policy, terms, {
      ...{ makerNodeId, peerNodeId, openContractsOfPeer: open.length },
      height: this.#view?.tip?.height,
    });
  }

  async #load(contractId: string): Promise<void> {
    const meter = await MakerMeter.load(contractId, this.#options.verification, this.#deps);
    if (meter !== undefined) this.#meters.set(contractId, meter);
  }

  /** A miner was heard of. */
  touch(nodeId: string): void {
    for (const meter of this.#meters.values()) if (meter.terms.minerNodeId === nodeId) meter.touch();
  }

  onTip(height: number): void {
    for (const meter of this.#meters.values()) meter.onTip(height);
  }

  async stop(): Promise<void> {
    for (const meter of this.#meters.values()) await meter.stop();
  }
}
