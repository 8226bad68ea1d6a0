import { toHex } from '../../src/base/bytes.ts';
import { p2wpkhScript } from '../../src/chain/wallet.ts';
import { type Coins, pay } from '../devnet/wallets.ts';
import { BANK_KEY, type TestNode } from './node.ts';

const MATURITY = 100;
const FEE_SAT = 10_000n;
const BANK_SCRIPT_HEX = toHex(p2wpkhScript(BANK_KEY.publicKey));

export type BankPayment = { readonly scriptHex: string; readonly valueSat: bigint };

/** Pays the parties from the coinbases of the suite's own blocks. */
export class Bank {
  readonly #node: TestNode;
  #coin: Coins | undefined;

  constructor(node: TestNode) {
    this.#node = node;
  }

  /** Pays and mines one block. Returns the coins, in the order of the payments. */
  async fund(payments: readonly BankPayment[]): Promise<Coins[]> {
    const totalSat = payments.reduce((sum, { valueSat }) => sum + valueSat, 0n) + FEE_SAT;
    const coin = await this.#coinOf(totalSat);
    const change = { scriptHex: BANK_SCRIPT_HEX, valueSat: coin.valueSat - totalSat };
    const transaction = pay({ from: [coin], key: BANK_KEY, to: [...payments, change] });
    await this.#node.call('sendrawtransaction', transaction.toHex());
    await this.#node.generate(1);
    const txid = transaction.getId();
    this.#coin = { txid, vout: payments.length, valueSat: change.valueSat };
    return payments.map(({ valueSat }, vout) => ({ txid, vout, valueSat }));
  }

  async #coinOf(wantedSat: bigint): Promise<Coins> {
    if (this.#coin !== undefined && this.#coin.valueSat > wantedSat + FEE_SAT) return this.#coin;
    const source = this.#node.source();
    const matureHeight = (await this.#node.height()) - MATURITY;
    const coins = (await source.utxos(BANK_SCRIPT_HEX))
      .filter(({ height, valueSat }) => height <= matureHeight && valueSat > wantedSat + FEE_SAT)
      .sort((a, b) => (a.valueSat > b.valueSat ? -1 : 1));
    source.close();
    const [largest] = coins;
    if (largest === undefined) throw new Error('the bank of the suite has no coin left');
    return largest;
  }
}
