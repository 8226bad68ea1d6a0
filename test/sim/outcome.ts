import { toHex } from '../../src/base/bytes.ts';
import { capacitySat, stateAmounts } from '../../src/channel/amounts.ts';
import { signAndFinalizeState } from '../../src/channel/states.ts';
import { bondsOf } from '../../src/contract/bond-terms.ts';
import { assembleChannel } from '../../src/settlement/opening.ts';
import { loadContract, type StoredContract } from '../../src/settlement/records.ts';
import { unpackShares } from '../../src/work/evidence.ts';
import type { Side } from './network.ts';
import { worthAt } from './prices.ts';
import { Violation } from './rules.ts';
import { SIGNERS } from './terms.ts';
import { MAKER_COINS_SAT, MINER_COIN_SAT, type SimWorld, WALLETS } from './world.ts';

export const storedOf = (world: SimWorld, side: Side): Promise<StoredContract | undefined> =>
  loadContract(world.disks[side].store, world.contractId);

/** The hashes of all shares that a side has durably credited to the contract. */
export async function hashesOf(
  world: SimWorld,
  side: Side,
  contractId = world.contractId,
): Promise<string[]> {
  const rows = await world.disks[side].store.readLog('share', contractId, 0, 10_000);
  return rows.flatMap(({ body }) => unpackShares(body).map(({ hash }) => toHex(hash)));
}

/** True once nothing is left to do: both know the same, all is acked, less than a step is unpaid. */
export function isSettled(world: SimWorld): boolean {
  const { miner, maker, disks } = world;
  const theirs = maker?.status[0];
  if (miner === undefined || theirs === undefined || disks.miner.waiting + disks.maker.waiting > 0)
    return false;
  const own = miner.status;
  if (own.channel === 'closed' || theirs.channel === 'closed') {
    return own.channel === theirs.channel;
  }
  if (own.channel !== 'open' || theirs.channel !== 'open' || !own.connected || !theirs.connected)
    return false;
  if (own.frozen !== undefined || theirs.frozen !== undefined) return false;
  const isSame = own.signed?.n === theirs.n && theirs.ackedN === theirs.n;
  const isJudged = own.judgedWorkHashes + own.refusedWorkHashes === own.ownWorkHashes;
  const isPaid = theirs.unsignedWorkHashes < world.terms.stepHashes;
  const isOpen = own.stream === 'live' || own.stream === 'paused';
  return isSame && isJudged && isPaid && isOpen && !world.disks.miner.isFailed;
}

/**
 * With every process dead, the disk of the miner alone is enough: its newest state is a transaction that
 * the chain takes, and pays no less than the last acked one.
 */
export async function checkProof(world: SimWorld): Promise<void> {
  const miner = await storedOf(world, 'miner');
  if (miner?.last === undefined || !miner.opening?.accept || !miner.channel) return;
  const { params } = assembleChannel(world.terms, miner.opening.open, miner.opening.accept);
  const { last, channel, contract } = miner;
  if (last.n < world.rules.ackedN) throw new Violation('the disk has less than was acked', last.n);
  const keys = SIGNERS.miner.forChannel(contract.channelIndex);
  for (const rung of last.signatures.keys()) {
    const { hex } = signAndFinalizeState(params, last, rung, keys);
    // On a funding that no block holds a version 3 transaction is not relayed (BIP431).
    if (world.chain.coin(channel.fundingTxid, channel.fundingVout)?.confirmed !== true) continue;
    try {
      world.chain.check(hex);
    } catch (error) {
      throw new Violation('the newest state cannot be broadcast', `n ${last.n}: ${String(error)}`);
    }
  }
}

/** Who owes whom, once all is quiet. */
export async function checkMoney(world: SimWorld): Promise<void> {
  const { stepHashes } = world.terms;
  const miner = await storedOf(world, 'miner');
  const maker = await storedOf(world, 'maker');
  if (miner?.last === undefined || maker?.last === undefined) return;
  const found = await hashesOf(world, 'miner');
  const bought = await hashesOf(world, 'maker');
  if (new Set(bought).size !== bought.length)
    throw new Violation('a share is credited twice', bought.length);
  const known = new Set(found);
  if (bought.some((hash) => !known.has(hash)))
    throw new Violation('a share was bought that nobody found', '');
  const workHashes = BigInt(bought.length) * world.shareWorkHashes;
  if (maker.delivery !== undefined && maker.delivery.verifiedWorkHashes !== workHashes) {
    throw new Violation(
      'credited work is not that of the shares',
      String(maker.delivery.verifiedWorkHashes),
    );
  }
  if (miner.last.workHashes > workHashes) throw new Violation('the maker paid for no work', miner.last.n);
  const isOpen = miner.channel?.status === 'open';
  if (isOpen && workHashes - miner.last.workHashes >= stepHashes) {
    throw new Violation('the miner lost more than a step', String(workHashes - miner.last.workHashes));
  }
  if (miner.last.paidSat !== worthAt(world, 'miner', miner.last.workHashes)) {
    throw new Violation('paid is not owed', String(miner.last.paidSat));
  }
}

/** What the chain says in the end: nothing made, nothing lost, and each has what is his. */
export async function checkEnd(world: SimWorld): Promise<void> {
  const { chain, terms } = world;
  const channel = (await storedOf(world, 'miner'))?.channel;
  const { paid, close } = history(world, channel);
  const sumOf = (side: Side): bigint =>
    chain.utxos(WALLETS[side]).reduce((sum, { valueSat }) => sum + valueSat, 0n);
  const beforeSat = MINER_COIN_SAT + MAKER_COINS_SAT.reduce((sum, sat) => sum + sat, 0n);
  const feesSat = paid.reduce((sum, { feeSat }) => sum + feeSat, 0n);
  const heldSat = paid.reduce((sum, { elsewhereSat }) => sum + elsewhereSat, 0n);
  if (sumOf('miner') + sumOf('maker') + feesSat + heldSat !== beforeSat) {
    throw new Violation('funds are not conserved', { feesSat: String(feesSat), heldSat: String(heldSat) });
  }
  const { collateralSat, makerBondSat } = bondsOf(terms);
  const bondsSat = close === undefined ? capacitySat(terms) : collateralSat + makerBondSat;
  if (heldSat > bondsSat + (terms.seal?.sealSat ?? 0n)) {
    throw new Violation('funds are where they should not be', String(heldSat));
  }
  if (close !== undefined) await checkClose(world, close, collateralSat);
}

/** Whoever spent the channel: the miner has what was acked, the maker paid for what it bought. */
async function checkClose(world: SimWorld, close: Paid, collateralSat: bigint): Promise<void> {
  const { terms, rules } = world;
  const acked = rules.released.get(rules.ackedBefore.get(close.hex) ?? rules.ackedN);
  const ackedWork =
    acked === undefined ? 0n : BigInt((JSON.parse(acked) as { work_hashes: string }).work_hashes);
  const minerSat = close.toMinerSat;
  if (minerSat === 0n) {
    if (close.height <= terms.expiryHeight) throw new Violation('taken back too early', close.height);
    if (world.isUp('miner')) throw new Violation('a miner that lives was not paid', close.height);
    return;
  }
  const grossSat = minerSat + close.feeSat;
  // The pay is by the prices that were agreed since.
  const { minerSat: firstSat, paidSat } = stateAmounts(terms, ackedWork);
  if (grossSat < firstSat - paidSat + worthAt(world, 'miner', ackedWork)) {
    throw new Violation('the miner has less than was acked', String(minerSat));
  }
  const boughtHashes = BigInt((await hashesOf(world, 'maker')).length) * world.shareWorkHashes;
  const boughtSat = worthAt(world, 'maker', boughtHashes);
  if (grossSat > terms.minerReserveSat + collateralSat + boughtSat) {
    throw new Violation('the maker paid for no work', String(grossSat));
  }
}

/** A transaction of the two in a block. */
type Paid = {
  readonly feeSat: bigint;
  readonly height: number;
  readonly hex: string;
  readonly toMinerSat: bigint;
  /** Unspent, and in no wallet: the channel, bonds, the seal. */
  readonly elsewhereSat: bigint;
};

/** All that blocks hold beside their coinbases, and among it what spent the channel. */
function history(
  world: SimWorld,
  channel: { readonly fundingTxid: string; readonly fundingVout: number } | undefined,
): { readonly paid: readonly Paid[]; readonly close: Paid | undefined } {
  const { chain } = world;
  const name = channel === undefined ? '' : `${channel.fundingTxid}:${channel.fundingVout}`;
  const paid: Paid[] = [];
  let close: Paid | undefined;
  for (let height = world.startHeight + 1; height <= chain.height; height += 1) {
    const block = chain.blockAt(height)!;
    const made = new Map<string, bigint>();
    for (const transaction of block.transactions.slice(1)) {
      const txid = transaction.getId();
      const spent = new Map(block.spent.map(([outpoint, { valueSat }]) => [outpoint, valueSat]));
      const inputs = transaction.ins.map(({ hash, index }) => `${toHex(hash.toReversed())}:${index}`);
      const inSat = inputs.reduce((sum, each) => sum + (spent.get(each) ?? made.get(each) ?? 0n), 0n);
      let [outSat, toMinerSat, elsewhereSat] = [0n, 0n, 0n];
      for (const [vout, { script, value }] of transaction.outs.entries()) {
        made.set(`${txid}:${vout}`, value);
        outSat += value;
        const to = toHex(script);
        if (to === WALLETS.miner) toMinerSat += value;
        const isHeld = to !== WALLETS.miner && to !== WALLETS.maker;
        if (isHeld && chain.coin(txid, vout, false) !== undefined) elsewhereSat += value;
      }
      const each = { feeSat: inSat - outSat, height, hex: transaction.toHex(), toMinerSat, elsewhereSat };
      paid.push(each);
      if (inputs.includes(name)) close = each;
    }
  }
  return { paid, close };
}
