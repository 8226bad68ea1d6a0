import * as crypto from 'node:crypto';
import { Transaction } from 'bitcoinjs-lib';
import { fromHex, toHex } from '../../src/base/bytes.ts';
import { systemClock } from '../../src/base/clock.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { buildCoinbase } from '../../src/bitcoin/coinbase.ts';
import { parseDisplayHash } from '../../src/bitcoin/header.ts';
import { targetToHex } from '../../src/bitcoin/target.ts';
import { p2wpkhScript } from '../../src/chain/wallet.ts';
import type { ChannelIndex } from '../../src/channel/channel-index.ts';
import { nodeIdBytes, SeedSigner } from '../../src/channel/signer.ts';
import { type SignedState, signAndFinalizeState } from '../../src/channel/states.ts';
import { contractIdOf, DEFAULT_FEE_LADDER_SAT_PER_KVB, type TermsV1or2 } from '../../src/contract/terms.ts';
import type { Job } from '../../src/jobs/job.ts';
import { JobTable } from '../../src/jobs/job-table.ts';
import type { Logger } from '../../src/log/logger.ts';
import { Maker } from '../../src/maker/maker.ts';
import type { MakerOptions } from '../../src/maker/maker-options.ts';
import type { StakesPolicy } from '../../src/maker/policy.ts';
import { MinerContract, type MinerContractOptions } from '../../src/miner/miner-contract.ts';
import { connectPeer, type PeerLink } from '../../src/peer/transport.ts';
import type { FundingWallet } from '../../src/settlement/funding-wallet.ts';
import { type AssembledChannel, assembleChannel } from '../../src/settlement/opening.ts';
import { blobsInMemory } from '../../src/settlement/peer-blobs.ts';
import { loadContract } from '../../src/settlement/records.ts';
import { createPortableKernel } from '../../src/shares/kernel/portable-kernel.ts';
import type { AcceptedShare } from '../../src/shares/share.ts';
import { Meters } from '../../src/work/meters.ts';
import { SHARE, until } from '../maker/world.ts';
import { random } from '../peer/tls-pair.ts';
import { ShareFinder } from '../shares/share-finder.ts';
import { Vault, withoutCold } from '../sim/vault.ts';
import type { Bank } from './bank.ts';
import type { TestNode } from './node.ts';
import { RecordedLedger } from './recorded-ledger.ts';
import { WatchedSource } from './watched-source.ts';

export const MAKER_COIN_SAT = 1_500_000n;
export const MINER_COIN_SAT = 300_000n;
/** A tenth of it pays a close at 80 sat/vB, half of it one at the highest rung. */
export const MINER_RESERVE_SAT = 150_000n;
const MAKER_SCRIPT_HEX = `0014${'ab'.repeat(20)}`;
const QUIET_MS = 40;
const KERNEL = createPortableKernel(64);

/** Whom both sides trust with the bonds. */
export const AUDITOR = new SeedSigner({ seed: new Uint8Array(32).fill(7), network: 'regtest' });

export type WorldOptions = {
  readonly terms?: Partial<TermsV1or2>;
  /** Blocks from the start to the expiry. */
  readonly lifeBlocks?: number;
  readonly maker?: Partial<MakerOptions>;
  /** Where the maker's money comes from; its own key unless given. */
  readonly makerWallet?: FundingWallet;
  /** Who has bonds that did not vest where both close together. */
  readonly earlyClose?: StakesPolicy['earlyClose'];
  /** The maker signs that the miner has its own bond back where only both can. */
  readonly returnsBonds?: boolean;
  /** The miner is paid to the wallet it signs with. */
  readonly paysOwnWallet?: boolean;
  /** The same of the maker. */
  readonly makerPaysOwnWallet?: boolean;
  /** The maker's refund key lies in a vault. */
  readonly hasVault?: boolean;
  readonly miner?: Partial<MinerContractOptions>;
  /** What the miner hears in the place of a line of the maker. */
  readonly heard?: (line: string) => string | readonly string[];
};

/** One side with its keys, its disk and its node. */
export class Party {
  readonly signer: SeedSigner;
  readonly payoutSigner: SeedSigner;
  readonly sealSigner: SeedSigner;
  readonly source: WatchedSource;
  ledger = new RecordedLedger();

  constructor(node: TestNode, paysOwnWallet = false) {
    const seed = (): Uint8Array => new Uint8Array(crypto.randomBytes(32));
    this.signer = new SeedSigner({ seed: seed(), network: 'regtest' });
    this.payoutSigner = paysOwnWallet ? this.signer : new SeedSigner({ seed: seed(), network: 'regtest' });
    this.sealSigner = new SeedSigner({ seed: seed(), network: 'regtest' });
    this.source = new WatchedSource(node.source(), () => node.minimumSatPerKvb());
  }

  get walletScript(): Uint8Array {
    return p2wpkhScript(this.signer.publicKey('wallet'));
  }

  get payoutScript(): Uint8Array {
    return p2wpkhScript(this.payoutSigner.publicKey('wallet'));
  }

  /** Where the maker's claims of a seal go. */
  get nextSealScript(): Uint8Array {
    return p2wpkhScript(this.sealSigner.publicKey('wallet'));
  }
}

/** A maker and a miner with a contract between them, over real TLS, each with its own view of a real node. */
export class NodeWorld {
  readonly node: TestNode;
  readonly minerParty: Party;
  readonly makerParty: Party;
  readonly terms: TermsV1or2;
  readonly contractId: string;
  readonly minerBlobs = blobsInMemory();
  readonly makerBlobs = blobsInMemory();
  /** Has what the maker asked it to sign, where its refund key is there. */
  readonly vault: Vault;
  readonly #options: WorldOptions;
  readonly #table: JobTable;
  readonly #observer: WatchedSource;
  meters = new Meters();
  maker: Maker | undefined;
  miner: MinerContract | undefined;
  /** The last lines both sides logged, for the message of a failure. */
  readonly #lines: string[] = [];
  #port = 0;
  readonly #finder = new ShareFinder(KERNEL);

  private constructor(node: TestNode, options: WorldOptions, startHeight: number) {
    this.node = node;
    this.#options = options;
    this.minerParty = new Party(node, options.paysOwnWallet);
    this.makerParty = new Party(node, options.makerPaysOwnWallet);
    this.vault = new Vault(this.makerParty.signer);
    this.#observer = new WatchedSource(node.source(), () => node.minimumSatPerKvb());
    this.#table = new JobTable({
      run: 1,
      sessionIdSize: 4,
      minerExtranonce2Size: 4,
      versionMask: 0x1fffe000,
      staleGraceMs: 60_000,
    });
    this.terms = {
      network: 'regtest',
      minerNodeId: toHex(nodeIdBytes(this.minerParty.signer)),
      makerNodeId: toHex(nodeIdBytes(this.makerParty.signer)),
      // 10 sat a hash.
      priceMsatPerEh: 10_000n * 10n ** 18n,
      workTotalHashes: 100_000n,
      stepHashes: 4n * SHARE.workHashes,
      maxUnpaidSteps: 3,
      budgetSat: 1_000_000n,
      reserveSat: 1_000n,
      minerReserveSat: MINER_RESERVE_SAT,
      expiryHeight: startHeight + (options.lifeBlocks ?? 400),
      minDepth: 2,
      feeLadderSatPerKvb: DEFAULT_FEE_LADDER_SAT_PER_KVB,
      maxTargetHex: targetToHex(SHARE.target),
      binding: { type: 'coinbase', scriptHex: MAKER_SCRIPT_HEX },
      staleGraceSeconds: 30,
      nonceHex: crypto.randomBytes(16).toString('hex'),
      ...options.terms,
    };
    this.contractId = contractIdOf(this.terms);
  }

  /** Funds both wallets and starts the contract's life where the chain is. */
  static async create(node: TestNode, bank: Bank, options: WorldOptions = {}): Promise<NodeWorld> {
    const world = new NodeWorld(node, options, (await node.height()) + 1);
    await bank.fund([
      { scriptHex: toHex(world.makerParty.walletScript), valueSat: MAKER_COIN_SAT },
      { scriptHex: toHex(world.minerParty.walletScript), valueSat: MINER_COIN_SAT },
    ]);
    return world;
  }

  async startMaker(): Promise<void> {
    const { source: chain, signer, ledger, payoutScript, nextSealScript } = this.makerParty;
    this.maker = new Maker(
      {
        host: '127.0.0.1',
        port: this.#port,
        allowedNodeIds: new Set([this.terms.minerNodeId]),
        policy: {
          network: 'regtest',
          maxPriceMsatPerEh: this.terms.priceMsatPerEh,
          maxBudgetSat: this.terms.budgetSat,
          maxTotalBudgetSat: 2n * this.terms.budgetSat,
          maxOpenContractsPerMiner: 2,
          minStepHashes: 1n,
          maxStepHashes: 10n ** 30n,
          maxUnpaidSteps: 5,
          minShareWorkHashes: 16n,
          minExpiryBlocks: 100,
          maxExpiryBlocks: 5000,
          minDepth: 2,
          maxStaleGraceSeconds: 120,
          bindingScriptHex: MAKER_SCRIPT_HEX,
          bindings: ['coinbase', 'payout'],
          stakes: {
            bondModes: ['none', 'auditor', 'hostage', 'forfeit_to_mm'],
            maxMakerBondSat: 100_000n,
            minCollateralSat: 1_000n,
            auditorKeysHex: [toHex(AUDITOR.publicKey('auditor'))],
            minBondCsvBlocks: 1,
            maxBondCsvBlocks: 2_016,
            seal: 'allowed',
            minClaimFeeRateSatPerKvb: 1_000,
            earlyClose: this.#options.earlyClose ?? 'refused',
            returnsBonds: this.#options.returnsBonds ?? false,
          },
        },
        verification: { unknownBlockWaitMs: 0 },
        opening: { payoutScript, nextSealScript },
        ...this.#options.maker,
      },
      {
        timers: systemTimers,
        ledger,
        chain,
        ...(this.#options.hasVault === true
          ? { signer: withoutCold(signer), externalSigning: this.vault }
          : { signer }),
        kernel: createPortableKernel(64),
        clock: systemClock,
        random,
        log: this.#log('maker'),
        blobFiles: this.makerBlobs,
        ...(this.#options.makerWallet === undefined ? {} : { wallet: this.#options.makerWallet }),
      },
    );
    this.#port = await this.maker.start();
  }

  async startMiner(): Promise<void> {
    const { source: chain, signer, ledger, payoutScript } = this.minerParty;
    this.meters = await Meters.load(ledger);
    this.miner = new MinerContract(
      {
        terms: this.terms,
        host: '127.0.0.1',
        port: this.#port,
        payoutScript,
        batchIntervalMs: 0,
        reconnectMinMs: 10,
        reconnectMaxMs: 50,
        rpc: { requestTimeoutMs: 2_000, pingIntervalMs: 1_000 },
        ...this.#options.miner,
      },
      {
        ...{ timers: systemTimers, ledger, chain, signer, clock: systemClock, random },
        ...{ log: this.#log('miner'), blobFiles: this.minerBlobs },
        connect: async (...words) => this.#overheard(await connectPeer(...words)),
      },
    );
    await this.miner.start();
  }

  #overheard(link: PeerLink): PeerLink {
    const { heard = (line) => line } = this.#options;
    return {
      ...{ remoteAddress: link.remoteAddress, exporter: link.exporter, closed: link.closed },
      listen: (handlers) =>
        link.listen({ ...handlers, onLine: (line) => [heard(line)].flat().forEach(handlers.onLine) }),
      send: (line) => link.send(line),
      close: (reason) => link.close(reason),
      keepPlace: () => link.keepPlace(),
      paceReads: (pace) => link.paceReads(pace),
    };
  }

  /** Waits for something to become true; says how both sides stand when it does not. */
  async until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
    await until(what, holds).catch((error: unknown) => {
      const stand = { miner: this.miner?.status, maker: this.maker?.status };
      const print = (_key: string, value: unknown): unknown =>
        typeof value === 'bigint' ? value.toString() : value;
      const log = this.#lines.slice(-40).join('\n');
      throw new Error(`${String(error)} ${JSON.stringify(stand, print, 1)}\n${log}`);
    });
  }

  #log(side: string): Logger {
    const line =
      (level: string) =>
      (fields: Record<string, unknown>, message: string): void => {
        if (/connect/.test(message)) return;
        const rest = Object.entries(fields).map(([key, value]) => `${key}=${String(value)}`);
        this.#lines.push(`${side} ${level} ${message} ${rest.join(' ')}`);
      };
    const log: Logger = {
      debug: () => {},
      info: line('info'),
      warn: line('warn'),
      error: line('error'),
      child: () => log,
    };
    return log;
  }

  /** Both sides, the channel funded and open. */
  async open(): Promise<void> {
    await this.startMaker();
    await this.startMiner();
    await this.until('funding broadcast', async () => {
      const txid = this.miner?.status.fundingTxid;
      return txid !== undefined && (await this.node.mempool()).includes(txid);
    });
    await this.mine(this.terms.minDepth);
    await this.until('live', () => this.miner?.status.live === true);
    await this.until('maker open', () => this.maker?.status[0]?.channel === 'open');
  }

  /** Where the maker listens. */
  get port(): number {
    return this.#port;
  }

  async stopMaker(): Promise<void> {
    await this.maker?.close();
    this.maker = undefined;
  }

  async stopMiner(): Promise<void> {
    await this.miner?.stop();
    this.miner = undefined;
  }

  async stop(): Promise<void> {
    this.minerParty.ledger.release();
    this.makerParty.ledger.release();
    await this.stopMiner();
    await this.stopMaker();
    for (const source of [this.minerParty.source, this.makerParty.source, this.#observer]) source.close();
  }

  /** Mines, and waits until both sides have looked at the new tip. */
  async mine(blocks: number): Promise<void> {
    await this.node.generate(blocks);
    await this.calm();
  }

  /** As `mine`, with nothing from the mempool. */
  async mineEmpty(blocks: number): Promise<void> {
    await this.node.generateEmpty(blocks);
    await this.calm();
  }

  /** So that this is the height of the tip. */
  async mineTo(height: number): Promise<void> {
    await this.mine(height - (await this.node.height()));
  }

  async mineEmptyTo(height: number): Promise<void> {
    await this.mineEmpty(height - (await this.node.height()));
  }

  /** Mines until the running sides take the channel for closed: each after six blocks that it saw. */
  async untilClosed(): Promise<void> {
    await this.until('closed', async () => {
      const miner = this.miner === undefined || this.miner.status.channel === 'closed';
      const maker = this.maker === undefined || this.maker.status[0]?.channel === 'closed';
      if (!miner || !maker) await this.mine(1);
      return miner && maker;
    });
  }

  /** Waits until the running sides know the tip and ask no more. */
  async calm(): Promise<void> {
    const sources = [
      ...(this.miner === undefined ? [] : [this.minerParty.source]),
      ...(this.maker === undefined ? [] : [this.makerParty.source]),
    ];
    await this.until('both sides saw the tip', async () => {
      const hash = await this.node.call('getbestblockhash');
      return sources.every((source) => source.toldHash === hash && source.isIdle(QUIET_MS));
    });
  }

  /** As `calm`, for the miner alone: the other side may be stuck. */
  async calmMiner(): Promise<void> {
    await this.#calm([this.minerParty.source]);
  }

  /** Shares on the node's tip, durable at the miner, told to its side. */
  async deliver(count: number): Promise<void> {
    await this.meters.commit(this.minerParty.ledger, this.#find(await this.#job(), count));
    this.miner?.onDurable(this.contractId, this.meters.total(this.contractId));
  }

  /** Delivers whole steps until this state is signed, stored and acked. */
  async stream(toState: number): Promise<void> {
    for (let n = (this.miner?.status.signed?.n ?? 0) + 1; n <= toState; n += 1) {
      await this.deliver(4);
      await this.until(`state ${n}`, () => {
        return this.miner?.status.signed?.n === n && this.maker?.status[0]?.ackedN === n;
      });
    }
  }

  /** The channel as a ledger has it, to build transactions from. */
  async channel(): Promise<AssembledChannel & { readonly channelIndex: ChannelIndex }> {
    const stored = await loadContract(this.minerParty.ledger, this.contractId);
    const accept = stored?.opening?.accept;
    if (!stored?.opening || !accept) throw new Error('the channel is not open');
    const { channelIndex } = stored.contract;
    return { ...assembleChannel(this.terms, stored.opening.open, accept), channelIndex };
  }

  /** The newest state of the miner's ledger. */
  async lastState(): Promise<SignedState> {
    const stored = await loadContract(this.minerParty.ledger, this.contractId);
    if (stored?.last === undefined) throw new Error('the miner has no state');
    return stored.last;
  }

  /** A state of the miner's ledger, completed at a rung. */
  async stateTransaction(state: SignedState, rung: number): Promise<Transaction> {
    const { params, channelIndex } = await this.channel();
    const signer = this.minerParty.signer.forChannel(channelIndex);
    return Transaction.fromHex(signAndFinalizeState(params, state, rung, signer).hex);
  }

  /** The transaction in the mempool that spends the channel. */
  async spenderOfChannel(): Promise<Transaction | undefined> {
    const { funding } = await this.channel();
    const txid = await this.node.spender(funding.txid, funding.vout);
    return txid === undefined ? undefined : Transaction.fromHex(await this.node.hexOf(txid));
  }

  async vsizeOf(txid: string): Promise<number> {
    return Transaction.fromHex(await this.node.hexOf(txid)).virtualSize();
  }

  /** What a script holds in blocks. */
  async balanceSat(script: Uint8Array): Promise<bigint> {
    const coins = await this.#observer.utxos(toHex(script));
    return coins.reduce((sum, { valueSat }) => sum + valueSat, 0n);
  }

  async #calm(sources: readonly WatchedSource[]): Promise<void> {
    await this.until('the tip was looked at', async () => {
      const hash = await this.node.call('getbestblockhash');
      return sources.every((source) => source.toldHash === hash && source.isIdle(QUIET_MS));
    });
  }

  async #job(): Promise<Job> {
    const tip = await this.#observer.tip();
    const header = await this.#observer.header(tip.hash);
    const { coinb1, coinb2 } = buildCoinbase({
      height: tip.height + 1,
      extranonceSize: 12,
      tag: new TextEncoder().encode('/test/'),
      outputs: [{ script: fromHex(MAKER_SCRIPT_HEX), valueSat: 1_000n }],
    });
    return this.#table.add(
      'maker',
      this.contractId,
      {
        upstreamJobId: tip.hash,
        prevHash: parseDisplayHash(tip.hash),
        coinb1,
        coinb2,
        branches: [],
        version: 0x2000_0000,
        bits: header!.bits,
        time: tip.timeSeconds + 1,
        clean: false,
        extranonce1: new Uint8Array(4),
        extranonce2Size: 8,
        target: SHARE.target,
        versionMask: 0x1fffe000,
      },
      systemClock.monotonicMs(),
    );
  }

  #find(job: Job, count: number): AcceptedShare[] {
    return this.#finder.find(job, count, SHARE);
  }
}
