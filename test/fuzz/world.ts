import { fromHex, toHex, u32le } from '../../src/base/bytes.ts';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import { sha256 } from '../../src/base/hash.ts';
import { targetToHex } from '../../src/bitcoin/target.ts';
import type { ChainSource } from '../../src/chain/source.ts';
import { p2wpkhScript } from '../../src/chain/wallet.ts';
import { nodeIdBytes } from '../../src/channel/signer.ts';
import { type ContractTerms, contractIdOf } from '../../src/contract/terms.ts';
import { DevnetChain } from '../../src/devnet/chain.ts';
import { createDevnetChainSource } from '../../src/devnet/chain-source.ts';
import type { Ledger } from '../../src/ledger/ledger.ts';
import type { Logger } from '../../src/log/logger.ts';
import { Maker } from '../../src/maker/maker.ts';
import { MinerSide } from '../../src/peering/miner-side.ts';
import { createPortableKernel } from '../../src/shares/kernel/portable-kernel.ts';
import { Meters } from '../../src/work/meters.ts';
import { Disk, type DiskNature, never } from './disk.ts';
import { BOUND_SCRIPT_HEX, Farm, SHARE } from './farm.ts';
import { Network, type Side } from './network.ts';
import { Rules, Violation } from './rules.ts';
import { CachedSigner, rememberingSigners, type SignerFiles } from './signers.ts';
import { VirtualTime } from './virtual-time.ts';

export const MINER_COIN_SAT = 300_000n;
export const MAKER_COINS_SAT = [10_000_000n, 5_000_000n] as const;
const FEE_RATE_SAT_PER_KVB = 2000;
const MARGINS = { askBlocks: 16, broadcastBlocks: 8, urgentBlocks: 3, finalDepth: 2 };

const minerSigner = new CachedSigner('miner');
const makerSigner = new CachedSigner('maker');
const scriptOf = (signer: CachedSigner): string => toHex(p2wpkhScript(signer.publicKey('wallet')));
export const WALLETS: Readonly<Record<Side, string>> = {
  miner: scriptOf(minerSigner),
  maker: scriptOf(makerSigner),
};
export const SIGNERS = { miner: minerSigner, maker: makerSigner };

export type WorldOptions = {
  readonly disks?: Partial<Record<Side, DiskNature>>;
  /** The maker's states are signed by one that remembers by itself, as in the daemon. */
  readonly signerRemembers?: boolean;
  /** With bonds that an auditor rules on, and with a seal. */
  readonly staked?: boolean;
};

/** One life of a process. */
type Life<T> = { readonly part: T; readonly ledger: Ledger; isReady: boolean; isDead: boolean };

/**
 * One miner and one maker with everything about them in the hands of a schedule: their disks, the network
 * between them, the chain and time. What they do is the product's own code.
 */
export class FuzzWorld {
  readonly time = new VirtualTime();
  readonly chain: DevnetChain;
  readonly terms: ContractTerms;
  readonly contractId: string;
  readonly disks: Readonly<Record<Side, Disk>>;
  readonly network: Network;
  readonly rules: Rules;
  readonly farm: Farm;
  readonly startHeight: number;
  readonly shareWorkHashes = SHARE.workHashes;
  /** Codes of everything logged at warn or error, for the account of a failed run. */
  readonly logged: string[] = [];
  problem: Error | undefined;
  readonly #signerFiles: SignerFiles | undefined;
  #miner: Life<MinerSide> | undefined;
  #maker: Life<Maker> | undefined;
  #meters = new Meters();
  #delivering = 0;
  #randomCalls = 0;

  constructor(options: WorldOptions = {}) {
    const { clock } = this.time;
    if (options.signerRemembers === true) this.#signerFiles = new Map();
    const premine = [
      { scriptHex: WALLETS.miner, valueSat: MINER_COIN_SAT },
      ...MAKER_COINS_SAT.map((valueSat) => ({ scriptHex: WALLETS.maker, valueSat })),
    ];
    this.chain = new DevnetChain({ premine, fillerCoins: 0 }, { clock });
    this.startHeight = this.chain.height;
    this.terms = termsAt(this.startHeight, options.staked === true);
    this.contractId = contractIdOf(this.terms);
    const disk = (side: Side): Disk => new Disk(options.disks?.[side] ?? 'honest', this.time);
    this.disks = { miner: disk('miner'), maker: disk('maker') };
    this.farm = new Farm(this.contractId, { chain: this.chain, nowMs: clock.nowMs });
    this.rules = new Rules({
      contractId: this.contractId,
      terms: this.terms,
      durable: (side) => this.disks[side].documents,
      hasFailed: (side) => this.disks[side].isFailed,
    });
    this.network = new Network({
      onSend: (link, from, text) => this.#held(() => this.rules.sent(link, from, text)),
    });
  }

  get miner(): MinerSide | undefined {
    return this.#miner?.isReady === true ? this.#miner.part : undefined;
  }

  get maker(): Maker | undefined {
    return this.#maker?.isReady === true ? this.#maker.part : undefined;
  }

  isUp(side: Side): boolean {
    return (side === 'miner' ? this.#miner : this.#maker) !== undefined;
  }

  /** The process runs but can do nothing more: only a new start helps. */
  isStuck(side: Side): boolean {
    return this.disks[side].isFailed || this.status(side)?.frozen !== undefined;
  }

  status(side: Side): { readonly frozen: string | undefined } | undefined {
    return side === 'miner' ? this.miner?.status : this.maker?.status[0];
  }

  /** Starts a process on what its disk holds. */
  start(side: Side): void {
    if (this.isUp(side)) return;
    if (side === 'miner') this.#startMiner();
    else this.#startMaker();
  }

  /** The process dies here; of the appends on their way, so many were written in time. */
  async kill(side: Side, written: number): Promise<void> {
    const life = side === 'miner' ? this.#miner : this.#maker;
    if (life === undefined) return;
    life.isDead = true;
    this.network.died(side);
    await this.disks[side].crash(written);
    // A dead process has no timers; it is answered nothing any more.
    void (side === 'miner' ? this.#miner!.part.stop() : this.#maker!.part.close());
    if (side === 'miner') {
      this.#miner = undefined;
      this.#delivering = 0;
    } else {
      this.#maker = undefined;
    }
  }

  /** Miners find shares for the contract, if hashrate is on it and none is being written. */
  work(count: number): boolean {
    const life = this.#miner;
    if (life?.isReady !== true || !life.part.status.live || this.#delivering > 0) return false;
    this.#commit(life, this.farm.find(count));
    return true;
  }

  /** A share that was sold before, once more. */
  resell(): boolean {
    const life = this.#miner;
    if (life?.isReady !== true || !life.part.status.live || this.#delivering > 0) return false;
    const [share] = this.farm.found;
    if (share === undefined) return false;
    this.#commit(life, [share]);
    return true;
  }

  fail(error: unknown): void {
    this.problem ??= error instanceof Error ? error : new Error(String(error));
  }

  #commit(life: Life<MinerSide>, shares: Parameters<Meters['commit']>[1]): void {
    this.#delivering += 1;
    const meters = this.#meters;
    meters
      .commit(life.ledger, shares)
      .then(
        () => life.part.onDurable(this.contractId, meters.total(this.contractId)),
        (error: unknown) => {
          if (!(error instanceof CodedError)) throw error;
        },
      )
      .then(
        () => {
          if (!life.isDead) this.#delivering -= 1;
        },
        (error: unknown) => this.fail(error),
      );
  }

  #startMiner(): void {
    const ledger = this.disks.miner.mount();
    const { clock } = this.time;
    this.farm.newRun();
    const connect = (...words: Parameters<Network['connect']>): ReturnType<Network['connect']> =>
      life.isDead ? never() : this.network.connect(...words);
    const part = new MinerSide(
      {
        ...{ terms: this.terms, host: 'memory', port: 1, batchIntervalMs: 100, margins: MARGINS },
        ...{ reconnectMinMs: 100, reconnectMaxMs: 2_000, payoutScript: fromHex(WALLETS.miner) },
      },
      {
        ...{ ledger, clock, random: this.#random(), log: this.#log('miner'), signer: minerSigner, connect },
        chain: this.#source('miner', () => life.isDead),
      },
    );
    const life: Life<MinerSide> = { part, ledger, isReady: false, isDead: false };
    this.#miner = life;
    const started = Meters.load(ledger).then((meters) => {
      this.#meters = meters;
      return part.start();
    });
    this.#ready('miner', life, started);
  }

  #startMaker(): void {
    const ledger = this.disks.maker.mount();
    const { clock } = this.time;
    const files = this.#signerFiles;
    const part = new Maker(
      {
        ...{ host: 'memory', port: 1, allowedNodeIds: new Set([this.terms.minerNodeId]), finalDepth: 2 },
        policy: policyOf(this.terms),
        intake: { unknownBlockWaitMs: 0 },
      },
      {
        ...{ ledger, clock, random: this.#random(), log: this.#log('maker'), signer: makerSigner },
        ...{ chain: this.#source('maker', () => life.isDead), kernel: createPortableKernel(64) },
        openServer: (_options, deps) => this.network.openServer(deps),
        ...(files === undefined ? {} : { openStateSigner: rememberingSigners(files) }),
      },
    );
    const life: Life<Maker> = { part, ledger, isReady: false, isDead: false };
    this.#maker = life;
    this.#ready('maker', life, part.start());
  }

  /** A process whose disk fails while it starts ends, as the program does. */
  #ready(side: Side, life: Life<unknown>, started: Promise<unknown>): void {
    started.then(
      () => {
        life.isReady = !life.isDead;
      },
      (error: unknown) => {
        const isOfDisk = ['ledger_io', 'channel_frozen', 'overload'].includes(codeOf(error));
        if (isOfDisk) void this.kill(side, 0);
        else this.fail(error);
      },
    );
  }

  /** The chain as one life of a process sees it: once dead it asks, says and hears nothing. */
  #source(side: Side, isDead: () => boolean): ChainSource {
    const source = createDevnetChainSource(this.chain, { feeRateSatPerKvb: FEE_RATE_SAT_PER_KVB });
    const mortal = new Proxy(source, {
      get: (target, name) => {
        const method = Reflect.get(target, name) as (...words: unknown[]) => unknown;
        return (...words: unknown[]) => (isDead() ? never() : method(...words));
      },
    });
    return {
      genesisHash: () => mortal.genesisHash(),
      tip: () => mortal.tip(),
      header: (...words) => mortal.header(...words),
      txOut: (...words) => mortal.txOut(...words),
      confirmations: (...words) => mortal.confirmations(...words),
      spender: (...words) => mortal.spender(...words),
      utxos: (...words) => mortal.utxos(...words),
      feeRateSatPerKvb: (...words) => mortal.feeRateSatPerKvb(...words),
      broadcastPackage: (...words) => mortal.broadcastPackage(...words),
      broadcast: (hex) => {
        if (!isDead()) this.#held(() => this.rules.broadcast(side, hex));
        return mortal.broadcast(hex);
      },
      watchTip: (onTip) => source.watchTip((tip) => (isDead() ? undefined : onTip(tip))),
      close: () => source.close(),
    };
  }

  #held(check: () => void): void {
    try {
      check();
    } catch (error) {
      this.fail(error);
    }
  }

  #random(): { bytes: (size: number) => Uint8Array } {
    return {
      bytes: (size) => {
        this.#randomCalls += 1;
        return sha256(u32le(this.#randomCalls)).slice(0, size);
      },
    };
  }

  /** What must never be said, whatever crashes: it would mean that one side caught the other lying. */
  #log(side: Side): Logger {
    const note = (fields: Readonly<Record<string, unknown>>, message: string): void => {
      const code = String(fields['code'] ?? message);
      this.logged.push(`${side}: ${code} ${String(fields['detail'] ?? '')}`.trim());
      if (NEVER.has(code)) this.fail(new Violation(`the ${side} says`, this.logged.at(-1)));
    };
    const nothing = (): void => {};
    return { debug: nothing, info: note, warn: note, error: note, child: () => this.#log(side) };
  }
}

const NEVER = new Set([
  'bad_amount',
  'bad_funding',
  'bad_sequence',
  'bad_signature',
  'equivocation',
  'ledger_conflict',
  'ledger_corrupt',
  'not_monotone',
  'over_budget',
  'unauthenticated',
  'wrong_state_number',
]);

const AUDITOR_KEY_HEX = toHex(new CachedSigner('auditor').publicKey('auditor'));
const BOND_CSV_BLOCKS = 10;

function termsAt(height: number, staked: boolean): ContractTerms {
  return {
    network: 'regtest',
    minerNodeId: toHex(nodeIdBytes(minerSigner)),
    makerNodeId: toHex(nodeIdBytes(makerSigner)),
    // 500 sat a hash.
    priceMsatPerEh: 500_000n * 10n ** 18n,
    workTotalHashes: 40n * SHARE.workHashes,
    stepHashes: 4n * SHARE.workHashes,
    maxUnpaidSteps: 2,
    budgetSat: 100_000n,
    reserveSat: 1000n,
    minerReserveSat: 6000n,
    expiryHeight: height + 40,
    minDepth: 2,
    feeLadderSatPerKvb: [1_100, 20_000],
    maxTargetHex: targetToHex(SHARE.target),
    binding: { type: 'coinbase', scriptHex: BOUND_SCRIPT_HEX },
    staleGraceSeconds: 120,
    nonceHex: '00112233445566778899aabbccddeeff',
    ...(staked ? STAKES : {}),
  };
}

const STAKES: Pick<ContractTerms, 'bonds' | 'seal'> = {
  bonds: {
    ...{ bondMode: 'auditor', makerBondSat: 30_000n, collateralSat: 40_000n },
    ...{ bondCsvBlocks: BOND_CSV_BLOCKS, auditorKeyHex: AUDITOR_KEY_HEX },
  },
  seal: { sealSat: 3_000n, claimFeeRateSatPerKvb: 2_000 },
};

function policyOf(terms: ContractTerms): ConstructorParameters<typeof Maker>[0]['policy'] {
  return {
    network: 'regtest',
    maxPriceMsatPerEh: terms.priceMsatPerEh,
    maxBudgetSat: terms.budgetSat,
    maxTotalBudgetSat: 2n * terms.budgetSat,
    maxOpenContractsPerMiner: 1,
    minStepHashes: 1n,
    maxStepHashes: terms.stepHashes,
    maxUnpaidSteps: 2,
    minShareWorkHashes: 1n,
    minExpiryBlocks: 1,
    maxExpiryBlocks: 100,
    minDepth: 1,
    maxStaleGraceSeconds: 120,
    bindingScriptHex: BOUND_SCRIPT_HEX,
    stakes: {
      ...{ bondModes: ['none', 'auditor'], maxMakerBondSat: 30_000n, minCollateralSat: 40_000n },
      ...{ auditorKeysHex: [AUDITOR_KEY_HEX], minBondCsvBlocks: 1, maxBondCsvBlocks: 100 },
      ...{ seal: 'allowed', minClaimFeeRateSatPerKvb: 1_000, earlyClose: 'returned', returnsBonds: true },
    },
  };
}
