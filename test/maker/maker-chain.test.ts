import { Transaction } from 'bitcoinjs-lib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { larger, smaller } from '../../src/base/bigints.ts';
import { fromHex, toHex } from '../../src/base/bytes.ts';
import { CodedError, codeOf, type ErrorCode } from '../../src/base/errors.ts';
import { DEFAULT_FEE_CAPS, mostFeeSat } from '../../src/chain/fee-caps.ts';
import type { ChainSource, Spender } from '../../src/chain/source.ts';
import { p2wpkhScript } from '../../src/chain/wallet.ts';
import { shareOf } from '../../src/chain/watcher.ts';
import { makerContributionSat } from '../../src/channel/amounts.ts';
import { channelFacts } from '../../src/channel/params.ts';
import { signAndFinalizeRefund } from '../../src/channel/refund.ts';
import { SeedSigner, type Signer } from '../../src/channel/signer.ts';
import { dustSat } from '../../src/channel/sizes.ts';
import type { LedgerEntry } from '../../src/ledger/ledger.ts';
import { MakerChain, type MakerChainDeps } from '../../src/maker/maker-chain.ts';
import { MakerStore, type MakerStoreDeps } from '../../src/maker/maker-store.ts';
import type { SignerTree } from '../../src/settlement/opening.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { recorder } from '../chain/log-recorder.ts';
import { backup, restore } from './backup.ts';
import { type MortalLedger, seedOf, until, World } from './world.ts';

const world = new World();
/** The channel while its funding waits, and once it is open with a state. */
const stored: Record<'funding' | 'open', readonly LedgerEntry[]> = { funding: [], open: [] };
beforeAll(async () => {
  await world.startMaker();
  await world.startMiner();
  await until('funding', () => world.chain.mempoolEntries().length > 0);
  await world.rest();
  stored.funding = await backup(world.makerStore, world.contractId);
  world.chain.generate(world.terms.minDepth);
  await until('live', () => world.miner.status.live);
  await world.work(4);
  await until('state 1', () => world.maker.status[0]?.ackedN === 1);
  await world.stop();
  stored.open = await backup(world.makerStore, world.contractId);
});
afterAll(() => world.stop());

const EXPIRY = world.terms.expiryHeight;
const stranger = new SeedSigner({ seed: seedOf('stranger'), network: 'regtest' });

/** The maker's side of the channel on a node that shows what it is told to show. */
class Stand {
  readonly store: MakerStore;
  readonly ledger: MortalLedger;
  readonly chain: MakerChain;
  readonly lines = recorder();
  height = world.chain.height;
  /** Confirmations of the channel's output, where it is unspent. */
  coin: number | undefined = 9;
  spender: Spender | undefined;
  satPerKvb = 2_000;
  refusal: ErrorCode | undefined;
  readonly sent: string[] = [];
  readonly packages: (readonly string[])[] = [];

  private constructor(store: MakerStore, ledger: MortalLedger, deps: Partial<MakerChainDeps>) {
    this.store = store;
    this.ledger = ledger;
    const { log } = this.lines;
    const take = (add: () => unknown): void => {
      if (this.refusal !== undefined) throw new CodedError(this.refusal);
      add();
    };
    const chain: ChainSource = {
      ...world.source,
      tip: async () => ({ height: this.height, hash: '', timeSeconds: 0 }),
      header: async () => undefined,
      txOut: async () =>
        this.coin === undefined
          ? undefined
          : { valueSat: this.capacitySat, scriptHex: '', confirmations: this.coin },
      confirmations: async (txid) => (this.spender?.txid === txid ? this.spender.confirmations : undefined),
      spender: async () => this.spender,
      broadcast: async (hex) => {
        take(() => this.sent.push(hex));
        return '';
      },
      broadcastPackage: async (hexes) => take(() => this.packages.push(hexes)),
      feeRateSatPerKvb: async () => this.satPerKvb,
    };
    this.chain = new MakerChain(store, { chain, ledger, signer: world.makerSigner, log, ...deps });
  }

  static async of(
    status: keyof typeof stored,
    deps: Partial<MakerChainDeps> = {},
    entries = stored[status],
  ): Promise<Stand> {
    const ledger = await restore(entries);
    const { log } = recorder();
    const { clock, timers } = new VirtualTime();
    const all = { ledger, log, clock, timers, signer: world.makerSigner, finalDepth: 2 };
    const store = (await MakerStore.load(world.contractId, all as MakerStoreDeps))!;
    return new Stand(store, ledger, deps);
  }

  get capacitySat(): bigint {
    return channelFacts(this.store.assembled!.params).capacitySat;
  }

  async at(height: number): Promise<void> {
    this.height = height;
    await this.chain.onTip({ height, hash: '', timeSeconds: 0 });
  }

  /** The refund that this maker would sign at a rate. */
  refund(satPerKvb = this.satPerKvb): string {
    const signer = world.makerSigner.forChannel(this.store.contract.channelIndex);
    return signAndFinalizeRefund(this.store.assembled!.params, satPerKvb, signer).hex;
  }

  /** A close by the miner that pays this maker so much, and waits. */
  waits(ownSat: bigint | undefined, feeSat: bigint, confirmations = 0): string {
    const { params } = this.store.assembled!;
    const close = new Transaction();
    close.version = 3;
    close.addInput(fromHex(this.store.channel!.fundingTxid, 32).toReversed(), 0);
    const restSat = this.capacitySat - feeSat - (ownSat ?? 0n);
    close.addOutput(fromHex(`0014${'77'.repeat(20)}`), restSat);
    if (ownSat !== undefined) close.addOutput(params.makerPayoutScript, ownSat);
    this.coin = undefined;
    this.spender = { txid: close.getId(), hex: close.toHex(), confirmations };
    return close.toHex();
  }

  /** What the children paid, one after the other, each with its parent. */
  get children(): { readonly parent: string; readonly child: Transaction; readonly feeSat: bigint }[] {
    return this.packages.map(([parent, hex]) => {
      const child = Transaction.fromHex(hex!);
      const spent = Transaction.fromHex(parent!).outs[child.ins[0]!.index]!;
      return { parent: parent!, child, feeSat: spent.value - child.outs[0]!.value };
    });
  }

  get told(): unknown[] {
    return this.lines.lines.flatMap(([level, , text]) => (level === 'warn' ? [text] : []));
  }
}

const taken = (stand: Stand): Promise<string> =>
  stand.chain.closeAlone().then(
    () => 'taken',
    (error: unknown) => codeOf(error),
  );

describe('the refund', () => {
  it('is taken at the expiry and no block before, by its record first, and sent until it is there', async () => {
    const stand = await Stand.of('open');
    await stand.at(EXPIRY - 1);
    expect(stand.sent).toEqual([]);
    let recorded: string | undefined;
    stand.ledger.deathAt = (entries) => {
      const body = entries.map((entry) => ('body' in entry ? entry.body : '')).join();
      if (body.includes(stand.refund())) recorded = `before ${stand.sent.length}`;
      return undefined;
    };
    await stand.at(EXPIRY);
    expect([stand.sent, recorded]).toEqual([[stand.refund()], 'before 0']);
    expect(stand.store.channel).toMatchObject({ status: 'closing', closeTx: stand.refund() });
    expect(stand.store.state.close).toMatchObject({
      kind: 'refund',
      vsize: Transaction.fromHex(stand.refund()).virtualSize(),
      feeSat: stand.capacitySat - Transaction.fromHex(stand.refund()).outs[0]!.value,
    });
    expect(stand.told).toEqual(['the channel expired; taking it back']);
    // The same again is no new one.
    await stand.at(EXPIRY + 1);
    expect(new Set(stand.sent)).toEqual(new Set([stand.refund()]));
    expect(stand.told).toHaveLength(1);
    const [refund] = stand.sent;
    stand.coin = undefined;
    const txid = Transaction.fromHex(refund!).getId();
    stand.spender = { txid, hex: refund!, confirmations: 1 };
    await stand.at(EXPIRY + 2);
    expect(stand.store.channel).toMatchObject({ status: 'closing', closeTx: refund });
    stand.spender = { txid, hex: refund!, confirmations: 2 };
    await stand.at(EXPIRY + 3);
    expect(stand.store.channel?.status).toBe('closed');
  });

  it('goes out where the disk takes no record of it', async () => {
    const stand = await Stand.of('open');
    stand.ledger.deathAt = () => 'refused';
    await stand.at(EXPIRY);
    expect(stand.sent).toEqual([stand.refund()]);
  });

  it.each([1_000, 20_000, 1_000_000])('pays what blocks ask for: %i sat/kvB', async (satPerKvb) => {
    const stand = await Stand.of('open');
    stand.satPerKvb = satPerKvb;
    await stand.at(EXPIRY);
    const refund = Transaction.fromHex(stand.sent[0]!);
    const feeSat = stand.capacitySat - refund.outs[0]!.value;
    const leastSat = (refund.virtualSize() * satPerKvb) / 1000;
    expect(Number(feeSat)).toBeGreaterThanOrEqual(leastSat);
    expect(Number(feeSat)).toBeLessThan(leastSat * 1.02 + 2);
  });
});

describe('taking a channel back by hand', () => {
  it('is not before the expiry, and says how far that is', async () => {
    const stand = await Stand.of('open');
    for (const left of [100, 1]) {
      stand.height = EXPIRY - left;
      await expect(stand.chain.closeAlone()).rejects.toMatchObject({
        code: 'not_expired',
        message: expect.stringContaining(`${left} blocks`),
      });
    }
    expect(stand.sent).toEqual([]);
    stand.height = EXPIRY;
    expect([await taken(stand), stand.sent]).toEqual(['taken', [stand.refund()]]);
    // It is under way: that is enough.
    expect(await taken(stand)).toBe('taken');
  });

  it('says why the node refused it', async () => {
    const stand = await Stand.of('open');
    stand.refusal = 'tx_refused';
    stand.height = EXPIRY;
    expect(await taken(stand)).toBe('tx_refused');
    stand.refusal = undefined;
    expect([await taken(stand), stand.sent.length]).toEqual(['taken', 1]);
    // Where it is spent by then no refusal matters.
    const other = await Stand.of('open');
    other.refusal = 'tx_refused';
    other.height = EXPIRY;
    await taken(other);
    other.waits(undefined, 1_000n, 1);
    expect(await taken(other)).toBe('taken');
  });

  it('is for nothing where the channel was never funded', async () => {
    const none = await Stand.of(
      'open',
      {},
      stored.open.filter(({ kind }) => kind === 'contract'),
    );
    expect(none.store.channel).toBe(undefined);
    expect(await taken(none)).toBe('unknown_channel');
    for (const status of ['opening', 'failed']) {
      const entries = stored.funding.flatMap((entry): LedgerEntry[] => {
        if (entry.kind === 'funding') return [];
        if (entry.kind !== 'channel' || entry.type !== 'put') return [entry];
        return [{ ...entry, body: entry.body.replace('"status":"funding"', `"status":"${status}"`) }];
      });
      const stand = await Stand.of('funding', {}, entries);
      stand.height = EXPIRY;
      stand.coin = undefined;
      expect([stand.store.channel?.status, await taken(stand)]).toEqual([status, 'unknown_channel']);
    }
  });

  /** Whose refund key signs nothing, for this reason. */
  function without(code: ErrorCode): SignerTree {
    const { makerSigner: tree } = world;
    const of = (keys: Signer): Signer => ({
      publicKey: (role) => keys.publicKey(role),
      signSchnorr: (role, digest) => keys.signSchnorr(role, digest),
      secretOf: (label) => keys.secretOf(label),
      origin: () => ({ fingerprintHex: '00000000', path: 'm/0/1' }),
      signEcdsa: (role, digest) => {
        if (role === 'refund') throw new CodedError(code);
        return keys.signEcdsa(role, digest);
      },
    });
    return { ...of(tree), forChannel: (index) => of(tree.forChannel(index)) };
  }

  it('waits for a key that is not in the program, and takes no other fault of a signer for that', async () => {
    const asked: number[] = [];
    const externalSigning = {
      open: () => [],
      ask: (_name: string, satPerKvb: number) => void asked.push(satPerKvb),
    };
    const cold = await Stand.of('open', { signer: without('cold_key'), externalSigning });
    cold.height = EXPIRY;
    expect([await taken(cold), cold.sent]).toEqual(['cold_key', []]);
    expect(cold.store.channel?.status).toBe('open');
    // From what blocks ask for on, each twice the one before.
    expect(asked).toEqual([2_000, 4_000, 8_000, 16_000, 32_000, 64_000]);
    const broken = await Stand.of('open', { signer: without('bad_key_file') });
    broken.height = EXPIRY;
    expect(await taken(broken)).toBe('bad_key_file');
  });

  it('is asked of such a key at no rate beyond half of the channel', async () => {
    const asked: number[] = [];
    const externalSigning = {
      open: () => [],
      ask: (_name: string, satPerKvb: number) => void asked.push(satPerKvb),
    };
    const cold = await Stand.of('open', { signer: without('cold_key'), externalSigning });
    cold.satPerKvb = 500_000;
    cold.height = EXPIRY;
    await taken(cold);
    const { makerPayoutScript } = cold.store.assembled!.params;
    const vsize = Transaction.fromHex(cold.refund(500_000)).virtualSize();
    const mostSat = Number(shareOf(cold.capacitySat, dustSat(makerPayoutScript)));
    const most = (mostSat * 1000) / vsize;
    expect(asked[0]).toBe(500_000);
    expect(asked.length).toBeGreaterThan(1);
    for (const rate of asked) expect(rate).toBeLessThanOrEqual(most);
    expect(asked.at(-1)! * 2).toBeGreaterThan(most);
  });
});

describe('a funding that waits', () => {
  async function waiting(deps: Partial<MakerChainDeps> = {}): Promise<Stand> {
    const stand = await Stand.of('funding', deps);
    stand.coin = 0;
    return stand;
  }
  /** So many blocks in which it is not mined. */
  async function pass(stand: Stand, blocks: number): Promise<void> {
    for (let count = 0; count < blocks; count += 1) await stand.at(stand.height + 1);
  }

  it('is paid for by its own change, and no more than may go into fees', async () => {
    const stand = await waiting();
    stand.satPerKvb = 1_000;
    await pass(stand, 1);
    expect(stand.packages).toEqual([]);
    stand.satPerKvb = 50_000;
    await pass(stand, 8);
    const { fundingTx, opening, assembled, terms } = stand.store;
    const [first] = stand.children;
    expect(first!.parent).toBe(fundingTx);
    expect(stand.told).toContain('a child pays for the funding');
    const { changeScript } = opening!.accept!.funding;
    const vout = Transaction.fromHex(fundingTx!).outs.findIndex(
      ({ script }) => toHex(script) === toHex(changeScript),
    );
    expect(first!.child.ins[0]!.index).toBe(vout);
    expect(toHex(first!.child.outs[0]!.script)).toBe(
      toHex(p2wpkhScript(world.makerSigner.publicKey('wallet'))),
    );
    // Both together pay what blocks ask for.
    const parent = Transaction.fromHex(fundingTx!);
    const vsize = BigInt(parent.virtualSize() + first!.child.virtualSize());
    const bothSat = assembled!.funding.feeSat + first!.feeSat;
    expect(bothSat).toBeGreaterThanOrEqual((vsize * 50n * 9n) / 10n);
    expect(bothSat).toBeLessThanOrEqual((vsize * 50n * 12n) / 10n);
    // Whatever they ask for, it is not paid beyond what the side puts at stake.
    stand.satPerKvb = 10_000_000;
    await pass(stand, 40);
    const changeSat = assembled!.funding.changeSat.maker;
    const left = terms.expiryHeight - stand.height;
    const saved = { outputSat: makerContributionSat(terms), dustSat: 0n };
    const mostSat = smaller(
      shareOf(changeSat, dustSat(changeScript)),
      mostFeeSat(DEFAULT_FEE_CAPS, left, saved),
    );
    const paidSat = stand.children.map(({ feeSat }) => feeSat).reduce(larger, 0n);
    expect(paidSat).toBeLessThanOrEqual(mostSat);
    expect(paidSat).toBeGreaterThan((mostSat * 9n) / 10n);
  });

  it('is not paid for by a change that is not its own, by none, nor once it is in a block', async () => {
    const cases: [string, (stand: Stand) => unknown, Partial<MakerChainDeps>?][] = [
      ['of another wallet', () => {}, { signer: stranger }],
      [
        'no change',
        ({ store }) => {
          const { assembled } = store;
          const { funding } = assembled!;
          const changeSat = { ...funding.changeSat, maker: 0n };
          store.assembled = { ...assembled!, funding: { ...funding, changeSat } };
        },
      ],
      [
        'in a block',
        (stand) => {
          stand.coin = 1;
        },
      ],
    ];
    for (const [name, change, deps] of cases) {
      const stand = await waiting(deps);
      await change(stand);
      stand.satPerKvb = 50_000;
      await pass(stand, 16);
      expect([name, stand.packages]).toEqual([name, []]);
    }
  });
});

describe('a close of the miner that waits beyond the expiry', () => {
  it('is paid for by its own output, up to half of it', async () => {
    const stand = await Stand.of('open');
    const ownSat = 200_000n;
    const parent = stand.waits(ownSat, 300n);
    stand.satPerKvb = 50_000;
    await stand.at(EXPIRY - 1);
    expect(stand.packages).toEqual([]);
    for (let height = EXPIRY; height < EXPIRY + 8; height += 1) await stand.at(height);
    const [first] = stand.children;
    expect([first!.parent, first!.child.ins[0]!.index]).toEqual([parent, 1]);
    expect(stand.told).toContain('a child pays for the close');
    const vsize = BigInt(Transaction.fromHex(parent).virtualSize() + first!.child.virtualSize());
    expect(first!.feeSat + 300n).toBeGreaterThanOrEqual((vsize * 50n * 9n) / 10n);
    expect(first!.feeSat + 300n).toBeLessThanOrEqual((vsize * 50n * 12n) / 10n);
    stand.satPerKvb = 10_000_000;
    for (let height = stand.height; height < EXPIRY + 60; height += 1) await stand.at(height);
    const mostSat = shareOf(ownSat, dustSat(stand.store.assembled!.params.makerPayoutScript));
    const paidSat = stand.children.map(({ feeSat }) => feeSat).reduce(larger, 0n);
    expect(paidSat).toBeLessThanOrEqual(mostSat);
    expect(paidSat).toBeGreaterThan((mostSat * 9n) / 10n);
  });

  it('that pays enough by itself is given its time', async () => {
    const stand = await Stand.of('open');
    stand.waits(200_000n, 50_000n);
    stand.satPerKvb = 50_000;
    await stand.at(EXPIRY);
    await stand.at(EXPIRY + 1);
    expect(stand.packages).toEqual([]);
  });

  it.each<[string, (stand: Stand) => unknown, Partial<MakerChainDeps>?]>([
    ['that pays it nothing', (stand) => stand.waits(undefined, 300n)],
    ['that is in a block', (stand) => stand.waits(200_000n, 300n, 1)],
    ['that pays another wallet', (stand) => stand.waits(200_000n, 300n), { signer: stranger }],
  ])('%s is left as it is', async (_, close, deps) => {
    const stand = await Stand.of('open', deps);
    close(stand);
    stand.satPerKvb = 50_000;
    for (let height = EXPIRY; height < EXPIRY + 8; height += 1) await stand.at(height);
    expect(stand.packages).toEqual([]);
  });
});
