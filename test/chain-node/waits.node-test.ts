import { Transaction } from 'bitcoinjs-lib';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { mostFeeSat } from '../../src/chain/fee-caps.ts';
import { listUtxos, p2wpkhScript } from '../../src/chain/wallet.ts';
import { shareOf } from '../../src/chain/watcher.ts';
import type { BondCoin } from '../../src/channel/bonds.ts';
import type { SignedSealClaim } from '../../src/channel/seal.ts';
import type { SeedSigner } from '../../src/channel/signer.ts';
import type { SignedState } from '../../src/channel/states.ts';
import { silentLogger } from '../../src/log/logger.ts';
import type { SignerTree } from '../../src/settlement/opening.ts';
import { AWARD_KIND, awardId, type ChannelRecord } from '../../src/settlement/records.ts';
import { StakeSettlement } from '../../src/settlement/stake-settlement.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { Bank } from './bank.ts';
import type { TestNode } from './node.ts';
import { BOND_CSV_BLOCKS, COLLATERAL_SAT, MAKER_BOND_SAT, RATE, StakedChannel } from './staked-channel.ts';
import { describeOn, NODE_KIND, startNode } from './suite.ts';
import { WatchedSource } from './watched-source.ts';

const EH = 10n ** 18n;
const SEAL_SAT = 2_000n;
const CLAIM_RATE = 2_000;
/** What blocks ask for from the close on, sat per kvB. */
const DEAR = 15_000;
const COIN_SAT = 50_000n;

let node: TestNode;
let bank: Bank;
beforeAll(async () => {
  node = await startNode();
  bank = new Bank(node);
});
afterAll(() => node?.close());

function treeOf(signer: SeedSigner): SignerTree {
  return {
    publicKey: (role) => signer.publicKey(role),
    signEcdsa: (role, digest) => signer.signEcdsa(role, digest),
    signSchnorr: (role, digest) => signer.signSchnorr(role, digest),
    secretOf: (label) => signer.secretOf(label),
    forChannel: () => signer,
  };
}

/** The settlement of one side of a channel, as a process would run it. */
class Side {
  readonly source: WatchedSource;
  readonly #settlement: StakeSettlement;

  constructor(
    role: 'miner' | 'maker',
    channel: StakedChannel,
    known: {
      readonly last: SignedState;
      readonly sealClaim?: SignedSealClaim;
      /** Spends of bonds that two signed. */
      readonly awards?: readonly { readonly coin: BondCoin; readonly hex: string }[];
    },
  ) {
    const { params, funding } = channel;
    this.source = new WatchedSource(node.source(), () => node.minimumSatPerKvb());
    this.source.estimateSatPerKvb = 1_000;
    const record: ChannelRecord = {
      ...{ version: 1, role, status: 'closing', reason: 'state' },
      ...{ fundingTxid: params.funding.txid, fundingVout: params.funding.vout },
      ...{ n: known.last.n, workHashes: known.last.workHashes, paidSat: known.last.paidSat },
      ...{ closeTx: undefined, closeFeeSat: undefined },
    };
    const signer = channel.signers[role];
    const ledger = new MemoryLedger();
    for (const { coin, hex: body } of known.awards ?? []) {
      const id = awardId(params.contractId, coin);
      void ledger.appendNow([{ type: 'put', kind: AWARD_KIND, id, body }]);
    }
    this.#settlement = new StakeSettlement(
      role,
      {
        ...{ contractId: params.contractId, terms: params.terms, contract: { channelIndex: 0 } },
        ...{ assembled: { params, funding }, channel: record, last: known.last },
        sealClaim: known.sealClaim,
      },
      {
        ...{ ledger, chain: this.source, signer: treeOf(signer), log: silentLogger },
        freeCoins: () => listUtxos(this.source, signer.publicKey('wallet')),
      },
    );
  }

  async look(): Promise<void> {
    await this.#settlement.onTip(await this.source.tip());
  }

  close(): void {
    this.source.close();
  }
}

/** What spends an output and waits, with its child, and what each pays. */
async function waiting(txid: string, vout: number, valueSat: bigint) {
  const id = await node.spender(txid, vout);
  if (id === undefined) return undefined;
  const transaction = Transaction.fromHex(await node.hexOf(id));
  const entry = (await node.call('getmempoolentry', id)) as {
    descendantsize: number;
    fees: { base: number; descendant: number };
  };
  const sat = (btc: number): bigint => BigInt(Math.round(Number(btc) * 1e8));
  const totalSat = sat(entry.fees.descendant);
  const satPerKvb = (Number(totalSat) * 1_000) / entry.descendantsize;
  return { id, transaction, feeSat: sat(entry.fees.base), totalSat, satPerKvb, valueSat };
}

type Waits = NonNullable<Awaited<ReturnType<typeof waiting>>>;

/** Blocks that ask for more than is paid, until it is paid; every bid on the way, as the node has it. */
async function untilPaid(
  side: Side,
  coin: { txid: string; vout: number; valueSat: bigint },
  restartAt = -1,
) {
  const bids: Waits[] = [];
  let settlement = side;
  for (let block = 0; block < 14; block += 1) {
    if (block === restartAt) settlement = restarted(side);
    await settlement.look();
    const bid = await waiting(coin.txid, coin.vout, coin.valueSat);
    expect(bid, 'it waits').toBeDefined();
    bids.push(bid!);
    if (bid!.satPerKvb >= DEAR) {
      await node.generate(1);
      return bids;
    }
    await node.generateEmpty(1);
  }
  return bids;
}

const again = new WeakMap<Side, () => Side>();
const restarted = (side: Side): Side => again.get(side)!();

function sideOf(...words: ConstructorParameters<typeof Side>): Side {
  const made = (): Side => new Side(...words);
  const side = made();
  again.set(side, made);
  return side;
}

describeOn('bitcoind', `what waits is paid more for, ${NODE_KIND}`, () => {
  it.each([-1, 4])(
    'the claim of the seal by a child with a coin of the wallet; new start at %s',
    async (at) => {
      const seal = { sealSat: SEAL_SAT, claimFeeRateSatPerKvb: CLAIM_RATE };
      const channel = await StakedChannel.open(node, bank, () => ({ seal }), true);
      const { params, signers } = channel;
      await bank.fund([
        { scriptHex: toHex(p2wpkhScript(signers.maker.publicKey('wallet'))), valueSat: COIN_SAT },
      ]);
      const last = channel.state(2, 500n * EH);
      const sealClaim = channel.claim(2, 500n * EH);
      const maker = sideOf('maker', channel, { last, sealClaim });
      const bids = await untilPaid(
        maker,
        { txid: params.funding.txid, vout: params.seal!.vout, valueSat: SEAL_SAT },
        at,
      );
      expect(bids.length).toBeGreaterThan(4);
      expect(bids.at(-1)!.satPerKvb).toBeGreaterThanOrEqual(DEAR);
      const saved = { outputSat: last.paidSat + SEAL_SAT, dustSat: 330n };
      const mostSat = mostFeeSat([{ blocksLeft: 0, ppm: 100_000 }], 0, saved);
      for (const { totalSat } of bids) expect(totalSat).toBeLessThanOrEqual(mostSat);
      expect(await channel.isUnspent(params.funding.txid, params.seal!.vout)).toBe(false);
      maker.close();
      channel.close();
    },
  );

  it('a bond that two signed for its owner, by a child', async () => {
    const { channel, last, bondOf } = await closedWithBonds();
    const coin = bondOf('miner');
    const hex = channel.award(coin, 'miner', ['miner', 'maker']);
    const miner = sideOf('miner', channel, { last, awards: [{ coin, hex }] });
    const bids = await untilPaid(miner, coin, 3);
    expect(bids.length).toBeGreaterThan(3);
    for (const { id, totalSat } of bids) {
      expect(id).toBe(Transaction.fromHex(hex).getId());
      expect(totalSat).toBeLessThanOrEqual(shareOf(coin.valueSat, 330n) + 2n * BigInt(RATE));
    }
    expect(bids.at(-1)!.satPerKvb).toBeGreaterThanOrEqual(DEAR);
    expect(await channel.isUnspent(coin.txid, coin.vout)).toBe(false);
    miner.close();
    channel.close();
  });

  it('a bond that comes back, by its own spend; that of the maker over a new start', async () => {
    const { channel, last, bondOf } = await closedWithBonds();
    await node.generateEmpty(BOND_CSV_BLOCKS - 1);
    for (const [role, restartAt] of [
      ['miner', -1],
      ['maker', 4],
    ] as const) {
      const bond = bondOf(role);
      const owner = sideOf(role, channel, { last });
      const bids = await untilPaid(owner, bond, restartAt);
      expect(bids.length, role).toBeGreaterThan(4);
      expect(bids.at(-1)!.satPerKvb).toBeGreaterThanOrEqual(DEAR);
      for (const { totalSat } of bids) expect(totalSat).toBeLessThanOrEqual(shareOf(bond.valueSat, 330n));
      expect(await channel.isUnspent(bond.txid, bond.vout)).toBe(false);
      owner.close();
    }
    channel.close();
  }, 180_000);
});

/** A channel with bonds of both, which the miner closed alone with half of the work paid. */
async function closedWithBonds() {
  const bondsOf = (auditorKeyHex: string) => ({
    ...{ bondMode: 'auditor' as const, makerBondSat: MAKER_BOND_SAT, collateralSat: COLLATERAL_SAT },
    ...{ bondCsvBlocks: BOND_CSV_BLOCKS, auditorKeyHex },
  });
  const channel = await StakedChannel.open(node, bank, (key) => ({ bonds: bondsOf(key) }), true);
  const last = channel.state(2, 500n * EH);
  const { bonds } = await channel.closeAlone(last);
  return { channel, last, bondOf: (role: 'miner' | 'maker') => bonds.find(({ owner }) => owner === role)! };
}
