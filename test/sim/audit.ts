import { Transaction } from 'bitcoinjs-lib';
import { toHex } from '../../src/base/bytes.ts';
import { owedSat } from '../../src/base/units.ts';
import { FREE_FEE_SAT, mostFeeSat } from '../../src/chain/fee-caps.ts';
import { makerContributionSat, minerContributionSat } from '../../src/channel/amounts.ts';
import { bondsOf } from '../../src/contract/bond-terms.ts';
import { refusedPpm, staleRacePpm } from '../../src/contract/terms-access.ts';
import { vestingOf } from '../../src/contract/vesting.ts';
import { loadContract } from '../../src/settlement/records.ts';
import type { Side } from './network.ts';
import { hashesOf } from './outcome.ts';
import { highestPriceAt, worthAt } from './prices.ts';
import type { Stage } from './stage.ts';
import { MARGINS } from './terms.ts';
import { MAKER_COINS_SAT, MINER_COIN_SAT, type SimWorld, WALLETS } from './world.ts';

/** What is wrong: the rule, and what was seen. */
export type Finding = { readonly rule: string; readonly seen: string };

/** Blocks after the expiry in which a refund must have found its place and its depth. */
const REFUND_BLOCKS = MARGINS.finalDepth + 4;

/** What the chain says of both, in the end. */
export type Books = {
  readonly fees: Readonly<Record<Side, bigint>>;
  /** What each paid for its part of the funding. */
  readonly fundingFees: Readonly<Record<Side, bigint>>;
  readonly fundingVsize: number;
  /** What spent the channel. */
  readonly close:
    | {
        readonly height: number;
        readonly feeSat: bigint;
        /** Of children that the miner paid for it. */
        readonly childFeeSat: bigint;
        readonly minerSat: bigint;
        readonly makerSat: bigint;
        readonly txid: string;
      }
    | undefined;
  /** The channel is on the chain, and nobody spent it. */
  readonly isLocked: boolean;
  /** What a side paid for anything but the funding and the close: more than half of what it moved. */
  readonly dear: readonly (Finding & { readonly side: Side })[];
};

const sumOf = (world: SimWorld, side: Side): bigint =>
  world.chain.utxos(WALLETS[side]).reduce((sum, { valueSat }) => sum + valueSat, 0n);

async function fundingOf(world: SimWorld): Promise<string | undefined> {
  for (const side of ['miner', 'maker'] as const) {
    const channel = (await loadContract(world.disks[side].store, world.contractId))?.channel;
    if (channel !== undefined) return `${channel.fundingTxid}:${channel.fundingVout}`;
  }
  return undefined;
}

/** Who paid how much to miners of blocks, for what. */
export async function booksOf(world: SimWorld): Promise<Books> {
  const outpoint = await fundingOf(world);
  const [txid = '', vout = '0'] = outpoint?.split(':') ?? [];
  const fees = { miner: 0n, maker: 0n };
  const fundingFees = { miner: 0n, maker: 0n };
  let close: Books['close'];
  let fundingVsize = 0;
  const dear: Books['dear'][number][] = [];
  for (let height = world.startHeight + 1; height <= world.chain.height; height += 1) {
    for (const each of paymentsAt(world, height)) {
      if (each.txid === txid) {
        fundingVsize = each.vsize;
        fundingFees.miner = each.inSat.miner - each.outSat.miner - minerContributionSat(world.terms);
        fundingFees.maker = each.inSat.maker - each.outSat.maker - makerContributionSat(world.terms);
        for (const side of ['miner', 'maker'] as const) fees[side] += fundingFees[side];
        continue;
      }
      const payer =
        each.inSat.miner > 0n || (each.inSat.maker === 0n && each.outSat.miner > 0n) ? 'miner' : 'maker';
      fees[payer] += each.feeSat;
      const isClose = outpoint !== undefined && each.spends.includes(outpoint) && each.outSat.miner > 0n;
      if (!isClose && close?.txid !== each.parents[0] && isDear(each, world.terms.seal?.sealSat))
        dear.push({ side: payer, rule: 'a fee beyond half of what it moves', seen: `${each.feeSat} sat` });
      const isChild = each.inSat.miner > 0n && close !== undefined && each.parents.includes(close.txid);
      if (isChild) {
        close = { ...close!, childFeeSat: close!.childFeeSat + each.feeSat };
      }
      if (outpoint === undefined || !each.spends.includes(outpoint)) continue;
      const { feeSat, txid: closeTxid, outSat } = each;
      const gets = { minerSat: outSat.miner, makerSat: outSat.maker };
      close = { height, feeSat, childFeeSat: 0n, ...gets, txid: closeTxid };
    }
  }
  const isLocked = outpoint !== undefined && world.chain.coin(txid, Number(vout), false) !== undefined;
  return { fees, fundingFees, fundingVsize, close, isLocked, dear };
}

type Payment = {
  readonly txid: string;
  readonly spends: readonly string[];
  /** Transactions whose outputs it spends. */
  readonly parents: readonly string[];
  readonly vsize: number;
  readonly feeSat: bigint;
  /** All that it spends. */
  readonly movedSat: bigint;
  readonly inSat: Readonly<Record<Side, bigint>>;
  readonly outSat: Readonly<Record<Side, bigint>>;
};

/** The child of a claim alone saves more than it moves: it may pay from all that the seal has. */
function isDear({ feeSat, movedSat }: Payment, sealSat = 0n): boolean {
  return feeSat > FREE_FEE_SAT && feeSat * 2n > movedSat && movedSat > sealSat;
}

/** Transactions of a block, without its coinbase, that have to do with one of the two. */
function paymentsAt(world: SimWorld, height: number): Payment[] {
  const block = world.chain.blockAt(height)!;
  const coins = new Map(
    block.spent.map(([outpoint, { valueSat, script }]) => [outpoint, { valueSat, script }]),
  );
  return block.transactions.slice(1).map((transaction) => {
    const txid = transaction.getId();
    const [inSat, outSat] = [
      { miner: 0n, maker: 0n },
      { miner: 0n, maker: 0n },
    ];
    const add = (to: Record<Side, bigint>, script: Uint8Array, valueSat: bigint): bigint => {
      const hex = toHex(script);
      if (hex === WALLETS.miner) to.miner += valueSat;
      if (hex === WALLETS.maker) to.maker += valueSat;
      return valueSat;
    };
    const spends = transaction.ins.map(({ hash, index }) => `${toHex(hash.toReversed())}:${index}`);
    let movedSat = 0n;
    for (const each of spends) {
      const coin = coins.get(each);
      if (coin !== undefined) movedSat += add(inSat, coin.script, coin.valueSat);
    }
    let feeSat = movedSat;
    for (const [vout, { script, value }] of transaction.outs.entries()) {
      coins.set(`${txid}:${vout}`, { valueSat: value, script });
      feeSat -= add(outSat, script, value);
    }
    const parents = spends.map((each) => each.slice(0, 64));
    return { txid, spends, parents, vsize: transaction.virtualSize(), feeSat, movedSat, inSat, outSat };
  });
}

/** Compares each honest side with the bound it was promised. */
export async function audit(stage: Stage, books: Books): Promise<Finding[]> {
  const { world, strategy } = stage;
  const isJudged = (side: Side): boolean =>
    !world.isHostile(side) && strategy.unjudged?.includes(side) !== true;
  const found: Finding[] = [];
  if (isJudged('miner') && !stage.gone.has('miner')) found.push(...(await auditMiner(world, books)));
  if (isJudged('miner')) found.push(...auditClose(world, books), ...auditPayees(world, books));
  if (isJudged('maker')) found.push(...(await auditMaker(stage, books)));
  for (const { side, rule, seen } of books.dear) if (isJudged(side)) found.push({ rule, seen });
  return found;
}

/** `loss(miner)`: at most what may be unpaid, at the contract's price, and its fees. */
async function auditMiner(world: SimWorld, books: Books): Promise<Finding[]> {
  const { terms, shareWorkHashes, miner } = world;
  const found = new Set(await hashesOf(world, 'miner'));
  const ownWork = BigInt(found.size) * shareWorkHashes;
  // What an honest maker does not take, it has a reason for.
  const refused = world.isHostile('maker') ? 0n : (miner?.status.refusedWorkHashes ?? 0n);
  const allowed = (ownWork * BigInt(refusedPpm(terms) + staleRacePpm(terms))) / 1_000_000n;
  const unpaidWork = BigInt(terms.maxUnpaidSteps) * terms.stepHashes + allowed + shareWorkHashes + refused;
  const boundWork = unpaidWork < ownWork ? unpaidWork : ownWork;
  // What payees have was the miner's to give.
  const hasSat = payeesOf(world).reduce((sum, payee) => sum + payee.hasSat, sumOf(world, 'miner'));
  const lostSat = MINER_COIN_SAT + worthAt(world, 'miner', ownWork) - hasSat;
  const allowedSat =
    books.fees.miner +
    owedSat(boundWork, highestPriceAt(world, 'miner')) +
    sealSat(world, books) +
    forfeitedSat(world, books) +
    ruledAwaySat(world, 'miner');
  if (lostSat <= allowedSat) return [];
  return [{ rule: 'the miner lost', seen: `${lostSat} sat, of ${allowedSat} that it may` }];
}

function payeesOf({ terms, chain }: SimWorld) {
  const splits = terms.version === 3 ? (terms.splits ?? []) : [];
  return splits.map((split) => ({
    ...split,
    hasSat: chain.utxos(split.scriptHex).reduce((sum, { valueSat }) => sum + valueSat, 0n),
  }));
}

/** Each payee has its part of what the maker's output says was paid, and of a sat each no more. */
function auditPayees(world: SimWorld, { close }: Books): Finding[] {
  if (close === undefined || close.minerSat === 0n) return [];
  const { budgetSat, reserveSat } = world.terms;
  const paidSat = budgetSat + reserveSat - close.makerSat;
  const payees = payeesOf(world);
  return payees.flatMap(({ label, ppm, seedSat, hasSat }) => {
    const dueSat = seedSat + (paidSat * BigInt(ppm)) / 1_000_000n;
    if (hasSat >= dueSat && hasSat <= dueSat + BigInt(payees.length)) return [];
    return [{ rule: 'a payee has not its part', seen: `${label}: ${hasSat} of ${dueSat} sat` }];
  });
}

/** What a close cost the miner, with its children, is within the part that it may be of what it saved. */
function auditClose({ terms }: SimWorld, { close }: Books): Finding[] {
  if (close === undefined || close.minerSat === 0n) return [];
  const paidSat = close.feeSat + close.childFeeSat;
  // It was made at the block before, at the latest.
  const left = terms.expiryHeight - close.height + 1;
  const saved = { outputSat: close.minerSat + close.feeSat, dustSat: 0n };
  const mostSat = mostFeeSat(MARGINS.feeCaps, left, saved);
  if (paidSat <= mostSat) return [];
  return [{ rule: 'a close cost too much', seen: `${paidSat} of ${mostSat} sat, ${left} blocks before` }];
}

/**
 * What did not vest goes to the maker where bonds are forfeited to it and it let the contract end early. Only
 * the deadline may close it then: a miner that closes before gives its bond away.
 */
function forfeitedSat(world: SimWorld, { close }: Books): bigint {
  const { terms, miner } = world;
  if (!world.isHostile('maker') || bondsOf(terms).bondMode !== 'forfeit_to_mm') return 0n;
  if (close === undefined || close.height < terms.expiryHeight - MARGINS.askBlocks) return 0n;
  return vestingOf(terms, miner?.status.signed?.workHashes ?? 0n).unvestedCollateralSat;
}

/** An auditor that is bought, or there for one side alone, costs a bond: of the channel nothing. */
function ruledAwaySat({ terms, auditor }: SimWorld, side: Side): bigint {
  if (auditor === undefined || auditor.isHonest) return 0n;
  const { collateralSat, makerBondSat } = bondsOf(terms);
  return side === 'miner' ? collateralSat : makerBondSat;
}

/** The seal goes to the maker with the claim of the shares it stands for. */
function sealSat({ terms }: SimWorld, { fundingVsize }: Books): bigint {
  return fundingVsize === 0 ? 0n : (terms.seal?.sealSat ?? 0n);
}

/** `loss(maker)`: its fees; and its money is free again in time. */
async function auditMaker(stage: Stage, books: Books): Promise<Finding[]> {
  const { world, findings, strategy, gone } = stage;
  const found: Finding[] = [];
  const bought = await hashesOf(world, 'maker');
  const got = new Set([...bought, ...world.disks.maker.forgottenShares]);
  const worth = worthAt(world, 'maker', BigInt(got.size) * world.shareWorkHashes);
  const initialSat = MAKER_COINS_SAT.reduce((sum, sat) => sum + sat, 0n);
  const lostSat = initialSat - worth - sumOf(world, 'maker');
  // A maker that is gone fetches no bond: it lies on the chain, and is its own.
  const waitingSat = gone.has('maker') ? bondsOf(world.terms).makerBondSat : 0n;
  const allowedSat = books.fees.maker + waitingSat + ruledAwaySat(world, 'maker');
  if (strategy.unjudged?.includes('maker') !== true && lostSat > allowedSat) {
    found.push({ rule: 'the maker lost', seen: `${lostSat} sat, with ${books.fees.maker} of fees` });
  }
  if (new Set(bought).size !== bought.length) {
    found.push({
      rule: 'a share was credited twice',
      seen: `${bought.length - new Set(bought).size} of them`,
    });
  }
  const lateFrom = Math.max(world.terms.expiryHeight, world.spikeEndHeight) + REFUND_BLOCKS;
  if (books.isLocked || (books.close?.height ?? 0) > lateFrom) {
    found.push({ rule: 'the money of the maker is locked', seen: `spent at ${books.close?.height}` });
  }
  const status = world.maker?.status.find(({ contractId }) => contractId === world.contractId)?.channel;
  const isFree = status === undefined || ['none', 'closed', 'failed'].includes(status);
  if (!isFree && findings.length === 0)
    found.push({ rule: 'the contract of the maker never ends', seen: String(status) });
  return found;
}

export const vsizeOf = (hex: string): number => Transaction.fromHex(hex).virtualSize();
