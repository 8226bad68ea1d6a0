import { toHex } from '../../src/base/bytes.ts';
import { owedSat } from '../../src/base/units.ts';
import { capacitySat } from '../../src/channel/amounts.ts';
import { finalizeState } from '../../src/channel/states.ts';
import { assembleChannel } from '../../src/peering/opening.ts';
import { loadContract, type StoredContract } from '../../src/peering/records.ts';
import { unpackShares } from '../../src/work/evidence.ts';
import type { Side } from './network.ts';
import { Violation } from './rules.ts';
import { type FuzzWorld, MAKER_COINS_SAT, MINER_COIN_SAT, SIGNERS, WALLETS } from './world.ts';

const storedOf = (world: FuzzWorld, side: Side): Promise<StoredContract | undefined> =>
  loadContract(world.disks[side].store, world.contractId);

/** The hashes of all shares that a side has durably credited to the contract. */
async function hashesOf(world: FuzzWorld, side: Side): Promise<string[]> {
  const rows = await world.disks[side].store.readLog('share', world.contractId, 0, 10_000);
  return rows.flatMap(({ body }) => unpackShares(body).map(({ hash }) => toHex(hash)));
}

/** True once nothing is left to do: both know the same, all is acked, less than a step is unpaid. */
export function isSettled(world: FuzzWorld): boolean {
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
export async function checkProof(world: FuzzWorld): Promise<void> {
  const miner = await storedOf(world, 'miner');
  if (miner?.last === undefined || !miner.opening?.accept || !miner.channel) return;
  const { params } = assembleChannel(world.terms, miner.opening.open, miner.opening.accept);
  const { last, channel, contract } = miner;
  if (last.n < world.rules.ackedN) throw new Violation('the disk has less than was acked', last.n);
  const keys = SIGNERS.miner.forChannel(contract.channelIndex);
  for (const rung of last.signatures.keys()) {
    const { hex } = finalizeState(params, last, rung, keys);
    if (world.chain.coin(channel.fundingTxid, channel.fundingVout) === undefined) continue;
    try {
      world.chain.check(hex);
    } catch (error) {
      throw new Violation('the newest state cannot be broadcast', `n ${last.n}: ${String(error)}`);
    }
  }
}

/** Who owes whom, once all is quiet. */
export async function checkMoney(world: FuzzWorld): Promise<void> {
  const { priceMsatPerEh, stepHashes } = world.terms;
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
  if (miner.last.paidSat !== owedSat(miner.last.workHashes, priceMsatPerEh)) {
    throw new Violation('paid is not owed', String(miner.last.paidSat));
  }
}

/** What the chain says in the end: nothing made, nothing lost, and each has what is his. */
export async function checkEnd(world: FuzzWorld): Promise<void> {
  const { chain, terms } = world;
  const miner = await storedOf(world, 'miner');
  const channel = miner?.channel;
  const sumOf = (side: Side): bigint =>
    chain.utxos(WALLETS[side]).reduce((sum, { valueSat }) => sum + valueSat, 0n);
  const beforeSat = MINER_COIN_SAT + MAKER_COINS_SAT.reduce((sum, sat) => sum + sat, 0n);
  const haveSat = sumOf('miner') + sumOf('maker');
  if (channel === undefined || chain.transaction(channel.fundingTxid)?.block === undefined) {
    if (haveSat !== beforeSat) throw new Violation('funds are not conserved', String(haveSat));
    return;
  }
  const coin = chain.coin(channel.fundingTxid, channel.fundingVout, false);
  const [funding, close] = spends(world, channel.fundingTxid);
  const fundingFeeSat = funding.inSat - funding.outSat;
  if (coin !== undefined) {
    if (coin.valueSat !== capacitySat(terms)) throw new Violation('the channel has another value', '');
    if (haveSat + coin.valueSat + fundingFeeSat !== beforeSat) {
      throw new Violation('funds are not conserved', String(haveSat));
    }
    return;
  }
  if (close === undefined) throw new Violation('the channel is gone', channel.fundingTxid);
  const closeFeeSat = capacitySat(terms) - close.outSat;
  if (closeFeeSat <= 0n || haveSat + closeFeeSat + fundingFeeSat !== beforeSat) {
    throw new Violation('funds are not conserved', String(haveSat));
  }
  const acked = world.rules.released.get(world.rules.ackedBefore.get(close.hex) ?? world.rules.ackedN);
  const ackedSat =
    acked === undefined ? 0n : BigInt(String((JSON.parse(acked) as { paid_sat: string }).paid_sat));
  const minerSat = close.toSat.miner;
  const isRefund = minerSat === 0n;
  if (isRefund) {
    if (close.height <= terms.expiryHeight) throw new Violation('taken back too early', close.height);
    if (world.isUp('miner')) throw new Violation('a miner that lives was not paid', close.height);
    return;
  }
  if (minerSat + closeFeeSat < terms.minerReserveSat + ackedSat) {
    throw new Violation('the miner has less than was acked', String(minerSat));
  }
  const paidSat = minerSat + closeFeeSat - terms.minerReserveSat;
  const boughtSat = owedSat(
    BigInt((await hashesOf(world, 'maker')).length) * world.shareWorkHashes,
    terms.priceMsatPerEh,
  );
  if (paidSat > boughtSat) throw new Violation('the maker paid for no work', String(paidSat));
}

type Spend = {
  readonly inSat: bigint;
  readonly outSat: bigint;
  readonly height: number;
  readonly hex: string;
  readonly toSat: Readonly<Record<Side, bigint>>;
};

/** The funding, and what spends its channel, from the blocks. */
function spends(world: FuzzWorld, fundingTxid: string): [Spend, Spend | undefined] {
  let funding: Spend | undefined;
  let close: Spend | undefined;
  for (let height = world.startHeight + 1; height <= world.chain.height; height += 1) {
    const block = world.chain.blockAt(height)!;
    for (const transaction of block.transactions.slice(1)) {
      const spent = new Map(block.spent);
      const inSat = transaction.ins.reduce((sum, input) => {
        const txid = toHex(Uint8Array.from(input.hash).reverse());
        return sum + (spent.get(`${txid}:${input.index}`)?.valueSat ?? 0n);
      }, 0n);
      const toSat = { miner: 0n, maker: 0n };
      for (const { script, value } of transaction.outs) {
        if (toHex(script) === WALLETS.miner) toSat.miner += value;
        if (toHex(script) === WALLETS.maker) toSat.maker += value;
      }
      const outSat = transaction.outs.reduce((sum, output) => sum + output.value, 0n);
      const spend = { inSat, outSat, height, toSat, hex: transaction.toHex() };
      if (transaction.getId() === fundingTxid) funding = spend;
      else close = spend;
    }
  }
  if (funding === undefined) throw new Violation('the funding is in no block', fundingTxid);
  return [funding, close];
}
