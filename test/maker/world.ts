import { expect } from 'vitest';
import { fromHex, toHex } from '../../src/base/bytes.ts';
import { systemClock } from '../../src/base/clock.ts';
import { CodedError } from '../../src/base/errors.ts';
import { sha256 } from '../../src/base/hash.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { buildCoinbase, type CoinbaseOutput } from '../../src/bitcoin/coinbase.ts';
import { parseDisplayHash } from '../../src/bitcoin/header.ts';
import { branchesForCoinbase } from '../../src/bitcoin/merkle.ts';
import { targetOfDifficulty, targetToHex } from '../../src/bitcoin/target.ts';
import type { ChainSource } from '../../src/chain/source.ts';
import { p2wpkhScript } from '../../src/chain/wallet.ts';
import { nodeIdBytes, SeedSigner } from '../../src/channel/signer.ts';
import {
  type ContractTerms,
  contractIdOf,
  DEFAULT_FEE_LADDER_SAT_PER_KVB,
  type TermsV1or2,
  type TermsV3,
} from '../../src/contract/terms.ts';
import { termsV3From } from '../../src/contract/terms-upgrade.ts';
import { DevnetChain, type PremineOutput } from '../../src/devnet/chain/chain.ts';
import type { Job, UpstreamJob } from '../../src/jobs/job.ts';
import { JobTable } from '../../src/jobs/job-table.ts';
import type { Ledger, LedgerEntry } from '../../src/ledger/ledger.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { Maker } from '../../src/maker/maker.ts';
import type { MakerDeps, MakerOptions } from '../../src/maker/maker-options.ts';
import type { OpenStateSigner } from '../../src/maker/maker-store.ts';
import type { MakerPolicy } from '../../src/maker/policy.ts';
import {
  MinerContract,
  type MinerContractDeps,
  type MinerContractOptions,
} from '../../src/miner/miner-contract.ts';
import { contractTag, needsContractTag } from '../../src/settlement/contract-tag.ts';
import type { ExternalSigning } from '../../src/settlement/external-signing.ts';
import type { LadderWriter } from '../../src/settlement/ladder-writer.ts';
import { blobsInMemory } from '../../src/settlement/peer-blobs.ts';
import { createPortableKernel } from '../../src/shares/kernel/portable-kernel.ts';
import { type AcceptedShare, type ShareTarget, shareTargetOf } from '../../src/shares/share.ts';
import { Meters } from '../../src/work/meters.ts';
import { createDevnetChainSource } from '../devnet/chain-source.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { random } from '../peer/tls-pair.ts';
import { ShareFinder } from '../shares/share-finder.ts';

/** About 16 hashes a share, so that a test finds hundreds. */
export const SHARE: ShareTarget = shareTargetOf(2 ** -28);
export const MAKER_SCRIPT_HEX = `0014${'ab'.repeat(20)}`;

export function seedOf(text: string): Uint8Array {
  return sha256(new TextEncoder().encode(text));
}

/** Waits for something to become true; fails after ten seconds. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 10_000;
  while (!(await holds())) {
    expect(performance.now(), `did not happen: ${what}`).toBeLessThan(endMs);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  expect(true, what).toBe(true);
}

/** Turns of the event loop, and a moment for timers, in which nothing may happen before all is at rest. */
const QUIET = { turns: 50, ms: 10, times: 3, atMost: 20 };

/**
 * Resolves once `count` stands still: for what must not happen. Turns are counted, so that a slow machine
 * waits longer. Where somebody asks for ever it is enough to have waited so many times.
 */
export async function quiet(count: () => number): Promise<void> {
  let seen = count();
  for (let still = 0, waited = 0; still < QUIET.times && waited < QUIET.atMost; still += 1, waited += 1) {
    for (let turn = 0; turn < QUIET.turns; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setTimeout(resolve, QUIET.ms));
    if (count() !== seen) still = 0;
    seen = count();
  }
}

/**
 * A ledger whose process dies at a chosen append: `before` it is written or `after`. From then on nothing
 * is answered; the store behind it goes on with new objects, which find what the dead process had written and
 * nothing that it still meant to write. Or the append is `refused`, as by a full queue.
 */
export class MortalLedger implements Ledger {
  readonly engine = 'mortal';
  readonly store: MemoryLedger;
  readonly stats;
  appends = 0;
  isDead = false;
  #isDying = false;
  /** Called for each append; returning a word kills the process there, or refuses the append. */
  deathAt: (entries: readonly LedgerEntry[]) => 'before' | 'after' | 'refused' | undefined = () =>
    undefined;

  constructor(store: MemoryLedger) {
    store.loseQueue();
    this.store = store;
    this.stats = store.stats;
  }
  async append(entries: readonly LedgerEntry[]): Promise<void> {
    if (this.isDead || this.#isDying) return never();
    this.appends += 1;
    const death = this.deathAt(entries);
    if (death === undefined) return this.store.append(entries);
    if (death === 'refused') throw new CodedError('overload', 'too many ledger writes wait');
    this.#isDying = true;
    if (death === 'after') await this.store.append(entries);
    this.isDead = true;
    return never();
  }
  appendNow(entries: readonly LedgerEntry[]): Promise<void> {
    return this.append(entries);
  }
  get(kind: string, id: string): Promise<string | undefined> {
    return this.isDead ? never() : this.store.get(kind, id);
  }
  list(kind: string, prefix?: string): ReturnType<Ledger['list']> {
    return this.isDead ? never() : this.store.list(kind, prefix);
  }
  readLog(...args: Parameters<Ledger['readLog']>): ReturnType<Ledger['readLog']> {
    return this.isDead ? never() : this.store.readLog(...args);
  }
  recentLog(...args: Parameters<Ledger['recentLog']>): ReturnType<Ledger['recentLog']> {
    return this.isDead ? never() : this.store.recentLog(...args);
  }
  logRange(...args: Parameters<Ledger['logRange']>): ReturnType<Ledger['logRange']> {
    return this.isDead ? never() : this.store.logRange(...args);
  }
  readLogSince(...args: Parameters<Ledger['readLogSince']>): ReturnType<Ledger['readLogSince']> {
    return this.isDead ? never() : this.store.readLogSince(...args);
  }
  async close(): Promise<void> {}
}

function never(): Promise<never> {
  return new Promise<never>(() => {});
}

export type WorldOptions = {
  readonly terms?: Partial<TermsV1or2>;
  /** Version 3 says the same. */
  readonly isVersion3?: boolean;
  /** Of version 3: what of its binding is another than that of the older terms. */
  readonly binding?: Partial<Extract<TermsV3['binding'], { readonly type: 'payout' }>>;
  /** Of version 3: what else it says, from this height on. */
  readonly version3?: (height: number) => Partial<TermsV3>;
  /** Version 3, on jobs of the maker. */
  readonly work?: Extract<TermsV3['binding'], { readonly type: 'work' }>;
  readonly policy?: Partial<MakerPolicy>;
  readonly maker?: Partial<MakerOptions>;
  readonly miner?: Partial<MinerContractOptions>;
  /** What signs the maker's states. */
  readonly openStateSigner?: OpenStateSigner;
  /** Of both sides. */
  readonly externalSigning?: ExternalSigning;
  /** Of the miner. */
  readonly ladders?: LadderWriter;
};

/** A chain, a maker and a miner with a contract between them, over real TLS on loopback. */
export class World {
  readonly chain: DevnetChain;
  readonly premine: readonly PremineOutput[];
  readonly source: ChainSource;
  /** Instead of what the miner has otherwise. */
  minerDeps: Partial<MinerContractDeps> = {};
  /** Blocks that the maker gave to its node. */
  readonly submitted: string[] = [];
  /** The miner shows each block that it finds. */
  tellsBlocks = true;
  readonly minerSigner = new SeedSigner({ seed: seedOf('miner'), network: 'regtest', random });
  readonly makerSigner = new SeedSigner({ seed: seedOf('maker'), network: 'regtest', random });
  readonly minerStore = new MemoryLedger();
  readonly makerStore = new MemoryLedger();
  minerBlobs = blobsInMemory();
  makerBlobs = blobsInMemory();
  readonly terms: TermsV1or2;
  /** What is proposed: the terms above, in the version asked for. */
  readonly proposed: ContractTerms;
  readonly contractId: string;
  readonly table: JobTable;
  readonly startHeight: number;
  readonly #options: WorldOptions;
  readonly #finder = new ShareFinder(createPortableKernel(64));
  meters = new Meters();
  minerLedger = new MortalLedger(this.minerStore);
  makerLedger = new MortalLedger(this.makerStore);
  maker!: Maker;
  miner!: MinerContract;
  port = 0;
  #nodeCalls = 0;

  constructor(options: WorldOptions = {}) {
    this.#options = options;
    const walletOf = (signer: SeedSigner): string => toHex(p2wpkhScript(signer.publicKey('wallet')));
    this.premine = [
      { scriptHex: walletOf(this.makerSigner), valueSat: 10_000_000n },
      { scriptHex: walletOf(this.makerSigner), valueSat: 5_000_000n },
      { scriptHex: walletOf(this.minerSigner), valueSat: 300_000n },
    ];
    this.chain = new DevnetChain(
      {
        premine: this.premine,
      },
      { clock: systemClock },
    );
    this.chain.generate(3);
    this.startHeight = this.chain.height;
    this.source = new Proxy(createDevnetChainSource(this.chain, { feeRateSatPerKvb: 2000 }), {
      get: (source, name, receiver) => {
        this.#nodeCalls += 1;
        return Reflect.get(source, name, receiver) as unknown;
      },
    });
    // The tests make the blocks: the chain goes on by none of these.
    const { proposalFault } = this.source.blocks!;
    Object.assign(this.source.blocks!, {
      submitBlock: async (hex: string) => {
        this.submitted.push(hex);
        return proposalFault(hex);
      },
    });
    this.table = new JobTable({
      run: 1,
      sessionIdSize: 4,
      minerExtranonce2Size: 4,
      versionMask: 0x1fffe000,
      staleGraceMs: 60_000,
    });
    this.terms = {
      network: 'regtest',
      minerNodeId: toHex(nodeIdBytes(this.minerSigner)),
      makerNodeId: toHex(nodeIdBytes(this.makerSigner)),
      // 10 sat a hash.
      priceMsatPerEh: 10_000n * 10n ** 18n,
      workTotalHashes: 100_000n,
      stepHashes: 4n * SHARE.workHashes,
      maxUnpaidSteps: 3,
      budgetSat: 1_000_000n,
      reserveSat: 1000n,
      minerReserveSat: 6000n,
      expiryHeight: 2000,
      minDepth: 2,
      feeLadderSatPerKvb: DEFAULT_FEE_LADDER_SAT_PER_KVB,
      maxTargetHex: targetToHex(SHARE.target),
      binding: { type: 'coinbase', scriptHex: MAKER_SCRIPT_HEX },
      staleGraceSeconds: 30,
      nonceHex: '00112233445566778899aabbccddeeff',
      ...options.terms,
    };
    this.proposed = options.isVersion3 === true ? this.#termsV3(options.binding ?? {}) : this.terms;
    if (options.work !== undefined) this.proposed = termsV3From(this.terms, 500, options.work);
    this.contractId = contractIdOf(this.proposed);
  }

  #termsV3(changes: NonNullable<WorldOptions['binding']>): TermsV3 {
    const terms = termsV3From(this.terms, 500);
    const more = this.#options.version3?.(this.startHeight) ?? {};
    return terms.binding.type === 'payout'
      ? { ...terms, binding: { ...terms.binding, ...changes }, ...more }
      : { ...terms, ...more };
  }

  get policy(): MakerPolicy {
    return {
      network: 'regtest',
      maxPriceMsatPerEh: 10_000n * 10n ** 18n,
      maxBudgetSat: 1_000_000n,
      maxTotalBudgetSat: 2_000_000n,
      maxOpenContractsPerMiner: 2,
      minStepHashes: 1n,
      maxStepHashes: 10n ** 30n,
      maxUnpaidSteps: 5,
      minShareWorkHashes: 16n,
      minExpiryBlocks: 500,
      maxExpiryBlocks: 5000,
      minDepth: 2,
      maxStaleGraceSeconds: 120,
      bindingScriptHex: MAKER_SCRIPT_HEX,
      bindings: ['none', 'coinbase', 'payout'],
      ...this.#options.policy,
    };
  }

  async startMaker(changes: Partial<MakerOptions> = {}, deps: Partial<MakerDeps> = {}): Promise<void> {
    this.maker = new Maker(
      {
        host: '127.0.0.1',
        port: this.port,
        allowedNodeIds: new Set([this.terms.minerNodeId]),
        policy: this.policy,
        finalDepth: 2,
        ...this.#options.maker,
        ...changes,
        verification: {
          unknownBlockWaitMs: 0,
          ...this.#options.maker?.verification,
          ...changes.verification,
        },
      },
      {
        timers: systemTimers,
        ledger: this.makerLedger,
        blobFiles: this.makerBlobs,
        chain: this.source,
        signer: this.makerSigner,
        kernel: createPortableKernel(64),
        clock: systemClock,
        random,
        log: silentLogger,
        ...(this.#options.openStateSigner === undefined
          ? {}
          : { openStateSigner: this.#options.openStateSigner }),
        ...this.#externalSigning,
        ...deps,
      },
    );
    this.port = await this.maker.start();
  }

  get #externalSigning(): { externalSigning?: ExternalSigning } {
    return this.#options.externalSigning === undefined
      ? {}
      : { externalSigning: this.#options.externalSigning };
  }

  async startMiner(changes: Partial<MinerContractOptions> = {}): Promise<void> {
    this.meters = await Meters.load(this.minerLedger);
    this.miner = new MinerContract(
      {
        terms: this.proposed,
        host: '127.0.0.1',
        port: this.port,
        batchIntervalMs: 0,
        reconnectMinMs: 10,
        reconnectMaxMs: 50,
        margins: { askBlocks: 288, broadcastBlocks: 144, urgentBlocks: 36, finalDepth: 2 },
        ...this.#options.miner,
        ...changes,
      },
      {
        timers: systemTimers,
        ledger: this.minerLedger,
        blobFiles: this.minerBlobs,
        chain: this.source,
        signer: this.minerSigner,
        clock: systemClock,
        random,
        ...this.#externalSigning,
        ...(this.#options.ladders === undefined ? {} : { ladders: this.#options.ladders }),
        log: silentLogger,
        ...this.minerDeps,
      },
    );
    await this.miner.start();
  }

  /** Until neither side writes or asks its node any more: then what has not happened does not. */
  rest(): Promise<void> {
    return quiet(() => this.minerLedger.appends + this.makerLedger.appends + this.#nodeCalls);
  }

  /** Both sides, the channel funded and open. */
  async open(): Promise<void> {
    await this.startMaker();
    await this.startMiner();
    await until('funding broadcast', () => this.chain.mempoolEntries().length > 0);
    this.chain.generate(this.terms.minDepth);
    await until('live', () => this.miner.status.live);
    await until('maker open', () => this.maker.status[0]?.channel === 'open');
  }

  /** Ends the process of the maker where it stands, and starts another on what is stored. */
  async restartMaker(deps: Partial<MakerDeps> = {}): Promise<void> {
    void this.maker.close();
    this.makerLedger.isDead = true;
    this.makerLedger = new MortalLedger(this.makerStore);
    await this.startMaker({}, deps);
  }

  async restartMiner(): Promise<void> {
    void this.miner.stop();
    this.minerLedger.isDead = true;
    this.minerLedger = new MortalLedger(this.minerStore);
    await this.startMiner();
  }

  async stop(): Promise<void> {
    if (this.minerLedger.isDead) void this.miner?.stop();
    else await this.miner?.stop();
    if (this.makerLedger.isDead) void this.maker?.close();
    else await this.maker?.close();
  }

  /** Work on the tip that pays the maker, as the proxy would have it. */
  job(
    changes: {
      readonly payScriptHex?: string;
      readonly stream?: string;
      readonly tag?: Uint8Array;
      readonly outputs?: readonly CoinbaseOutput[];
      readonly upstream?: (job: UpstreamJob) => UpstreamJob;
    } = {},
  ): Job {
    const { tag, outputs = [], upstream = (job) => job } = changes;
    const template = this.chain.template();
    const { coinb1, coinb2 } = buildCoinbase({
      height: template.height,
      extranonceSize: 12,
      tag: new TextEncoder().encode('/test/'),
      outputs: [
        {
          script: fromHex(changes.payScriptHex ?? MAKER_SCRIPT_HEX),
          valueSat: template.coinbaseValueSat,
        },
        { script: template.witnessCommitmentScript, valueSat: 0n },
        ...(needsContractTag(this.proposed)
          ? [{ script: tag ?? contractTag(this.contractId), valueSat: 0n }]
          : []),
        ...outputs,
      ],
    });
    return this.table.add(
      'maker',
      changes.stream ?? this.contractId,
      upstream({
        upstreamJobId: `u${template.id}`,
        prevHash: parseDisplayHash(template.previousHash),
        coinb1,
        coinb2,
        branches: branchesForCoinbase(template.transactions.map((each) => Uint8Array.from(each.getHash()))),
        version: template.version,
        bits: template.bits,
        time: template.time,
        clean: false,
        extranonce1: new Uint8Array(4),
        extranonce2Size: 8,
        target: SHARE.target,
        versionMask: 0x1fffe000,
      }),
      systemClock.monotonicMs(),
    );
  }

  /** Finds shares of a job: real hashes at or below the target, each another one. */
  find(job: Job, count: number, assigned: ShareTarget = SHARE): AcceptedShare[] {
    return this.#finder.find(job, count, assigned);
  }

  /** Makes shares durable at the miner, as the proxy does, and tells its side. */
  async deliver(shares: readonly AcceptedShare[]): Promise<void> {
    // On this chain each share solves a block.
    if (this.tellsBlocks) for (const { submission } of shares) this.miner.onBlock(submission);
    await this.meters.commit(this.minerLedger, shares);
    this.miner.onDurable(this.contractId, this.meters.total(this.contractId));
  }

  /** So many shares on a new job. */
  async work(count: number): Promise<void> {
    await this.deliver(this.find(this.job(), count));
  }

  /** The signed states as stored, by number. */
  async states(store: MemoryLedger): Promise<Map<number, string>> {
    const documents = await store.list('state', `${this.contractId}:`);
    return new Map(documents.map(({ id, body }) => [Number(id.slice(65)), body]));
  }
}

export { CodedError, targetOfDifficulty };
