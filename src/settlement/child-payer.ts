import { Transaction } from 'bitcoinjs-lib';
import { smaller } from '../base/bigints.ts';
import { equal, toHex } from '../base/bytes.ts';
import { climb, type Payer, type Standing, waitsFrom } from '../chain/fee-climb.ts';
import { type ChainSource, optional, type Utxo } from '../chain/source.ts';
import { buildAndSignChild, CHANGE_DUST_SAT, CHILD_VBYTES, INPUT_VBYTES } from '../chain/wallet.ts';
import { boundedRate } from '../channel/sizes.ts';
import type { Logger } from '../log/logger.ts';
import { type SignerTree, walletScript } from './opening.ts';

/** A transaction whose fee signatures fixed, and which has to confirm. */
export type FixedSpend = {
  readonly what: string;
  readonly hex: string;
  readonly feeSat: bigint;
  /** The output of the own wallet that pays for more. */
  readonly vout: number;
  /** The most in sats that may be paid beyond its fee. */
  readonly mostSat: bigint;
  /** Since which height it waits; absent where that is not known. */
  readonly since?: number | undefined;
};

export type ChildPayerDeps = {
  readonly chain: ChainSource;
  readonly signer: SignerTree;
  readonly log: Logger;
  /** Coins of the wallet key that nothing else is to spend. Default: none. */
  readonly freeCoins?: () => Promise<readonly Utxo[]>;
};

/** A child as it was bid last. */
type Child = { readonly standing: Standing; readonly coins: readonly Utxo[] };

/**
 * Pays for transactions whose fee cannot be changed any more: a child of an own output, with a coin of the
 * wallet where the output is too small. It bids as everything of one side does (`chain/fee-climb.ts`).
 */
export class ChildPayer {
  readonly #deps: ChildPayerDeps;
  readonly #children = new Map<string, Child>();

  constructor(deps: ChildPayerDeps) {
    this.#deps = deps;
  }

  /** Pays what is due at a height; called at each tip while no block holds it. */
  async pay(spend: FixedSpend, height: number): Promise<void> {
    const { chain, signer, log } = this.#deps;
    const parent = Transaction.fromHex(spend.hex);
    const output = parent.outs[spend.vout];
    if (output === undefined || !equal(output.script, walletScript(signer))) return;
    const asked = { satPerKvb: boundedRate(await chain.feeRateSatPerKvb(CHILD_TARGET_BLOCKS)), height };
    const known = this.#children.get(parent.getId()) ?? (await this.#waiting(parent, spend, height));
    const { paidSat: childSat, since } = known.standing;
    const before = childSat === 0n ? { paidSat: 0n, since: waitsFrom(since, spend.since) } : known.standing;
    const bid = (coins: readonly Utxo[]): Child & { readonly satPerKvb: number } => {
      const { standing, satPerKvb } = climb(payerOf(spend, parent, coins), before, asked);
      return { standing, satPerKvb, coins };
    };
    const plain = bid(known.coins);
    const isShort = plain.satPerKvb < asked.satPerKvb || plain.standing.paidSat === known.standing.paidSat;
    const coin = known.coins.length === 0 && isShort ? await this.#coinFor(spend) : undefined;
    const withCoin = coin === undefined ? plain : bid([coin]);
    const next = withCoin.satPerKvb > plain.satPerKvb ? withCoin : plain;
    this.#children.set(parent.getId(), next);
    const { paidSat } = next.standing;
    if (paidSat === 0n) return;
    const key = {
      publicKey: signer.publicKey('wallet'),
      sign: (hash: Uint8Array) => signer.signEcdsa('wallet', hash),
    };
    const child = buildAndSignChild(parent, spend.vout, paidSat, key, next.coins);
    if (paidSat > known.standing.paidSat)
      log.warn({ what: spend.what, feeSat: paidSat }, 'a child pays for what waits');
    let isRefused = false;
    await optional(
      () => chain.broadcastPackage([spend.hex, child.toHex()]),
      ({ code, message: detail }) => {
        isRefused = true;
        log.warn({ what: spend.what, code, detail }, 'the child was refused; tried again');
      },
    );
    if (isRefused && (await this.#isCoinGone(next.coins))) {
      const { since } = next.standing;
      this.#children.set(parent.getId(), { standing: { paidSat: 0n, since }, coins: [] });
    }
  }

  /** Another one spends the coin of a child that was refused: it needs another. */
  async #isCoinGone(coins: readonly Utxo[]): Promise<boolean> {
    for (const { txid, vout } of coins)
      if ((await this.#deps.chain.txOut(txid, vout)) === undefined) return true;
    return false;
  }

  /** The child of an earlier life that waits in the mempool; none also where no node tells. */
  async #waiting(parent: Transaction, { vout, since }: FixedSpend, height: number): Promise<Child> {
    const none: Child = { standing: { paidSat: 0n, since: since ?? height }, coins: [] };
    const found = await optional(
      () => this.#childOf(parent, vout, height),
      () => {},
    );
    return found ?? none;
  }

  async #childOf(parent: Transaction, vout: number, height: number): Promise<Child | undefined> {
    const { chain } = this.#deps;
    const spender = await chain.spender(parent.getId(), vout, 0);
    if (spender === undefined) return undefined;
    const { ins, outs } = Transaction.fromHex(spender.hex);
    const coins: Utxo[] = [];
    for (const { hash, index } of ins.slice(1)) {
      const txid = toHex(hash.toReversed());
      const coin = await chain.txOut(txid, index, false);
      if (coin === undefined) return undefined;
      coins.push({ txid, vout: index, valueSat: coin.valueSat, height });
    }
    const inSat = coins.reduce((sum, { valueSat }) => sum + valueSat, parent.outs[vout]!.value);
    const paidSat = outs.reduce((rest, { value }) => rest - value, inSat);
    return { standing: { paidSat, since: spender.waitingSince ?? height }, coins };
  }

  /** The smallest coin that is enough for all that may be paid, else the largest. */
  async #coinFor({ mostSat }: FixedSpend): Promise<Utxo | undefined> {
    const coins =
      (await optional(
        async () => this.#deps.freeCoins?.(),
        () => {},
      )) ?? [];
    const rising = coins.toSorted((a, b) => Number(a.valueSat - b.valueSat));
    return rising.find(({ valueSat }) => valueSat >= mostSat + CHANGE_DUST_SAT) ?? rising.at(-1);
  }
}

const CHILD_TARGET_BLOCKS = 6;

function payerOf(spend: FixedSpend, parent: Transaction, coins: readonly Utxo[]): Payer {
  const { vout, feeSat, mostSat } = spend;
  const haveSat = coins.reduce((sum, { valueSat }) => sum + valueSat, parent.outs[vout]!.value);
  return {
    vsize: CHILD_VBYTES + coins.length * INPUT_VBYTES,
    mostSat: smaller(mostSat, haveSat - CHANGE_DUST_SAT),
    parent: { feeSat, vsize: parent.virtualSize() },
  };
}
