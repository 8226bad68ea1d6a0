import { fromHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { ChainRpcClient } from './rpc-client.ts';
import { readInteger, readList, readRecord, readSats, readText } from './rpc-fields.ts';
import type { Utxo } from './source.ts';

/** A P2WPKH coin of a wallet with many keys. */
export type WalletCoin = Pick<Utxo, 'txid' | 'vout' | 'valueSat'> & {
  /** Compressed, 66 lower-case hex digits. */
  readonly publicKeyHex: string;
};

const OWN_KEY = /^wpkh\((?:\[[0-9a-fA-F]{8}[0-9'hH/]*\])?(0[23][0-9a-f]{64})\)/;

/**
 * The wallet of a bitcoind, by its RPC: it holds the keys, this program never sees them. Only P2WPKH coins
 * are used: the txid of a funding must not depend on a signature. Throws `chain_unreachable`, `chain_rpc`.
 */
export class NodeWallet {
  readonly #client: ChainRpcClient;

  /** @param client of the wallet's own path, `<node>/wallet/<name>` */
  constructor(client: ChainRpcClient) {
    this.#client = client;
  }

  /** Confirmed coins that the wallet can sign for and that are not locked. */
  async coins(): Promise<WalletCoin[]> {
    const unspent = readList(await this.#client.call('listunspent', [1]), 'listunspent');
    return unspent.flatMap((value) => {
      const { txid, vout, amount, desc, spendable, safe } = readRecord(value, 'unspent');
      const [, publicKeyHex] = OWN_KEY.exec(String(desc)) ?? [];
      if (publicKeyHex === undefined || spendable !== true || safe === false) return [];
      return [
        {
          txid: readText(txid, 'txid'),
          vout: readInteger(vout, 'vout'),
          valueSat: readSats(amount, 'amount'),
          publicKeyHex,
        },
      ];
    });
  }

  /** Kept from the wallet's other payments until it or the node is started again. */
  async lock(coins: readonly Pick<Utxo, 'txid' | 'vout'>[]): Promise<void> {
    const outpoints = coins.map(({ txid, vout }) => ({ txid, vout }));
    await this.#client.call('lockunspent', [false, outpoints]);
  }

  /** Gives locked coins back to the wallet's other payments. */
  async unlock(coins: readonly Pick<Utxo, 'txid' | 'vout'>[]): Promise<void> {
    const outpoints = coins.map(({ txid, vout }) => ({ txid, vout }));
    await this.#client.call('lockunspent', [true, outpoints]);
  }

  /** All locked coins, whoever locked them. */
  async locked(): Promise<Pick<Utxo, 'txid' | 'vout'>[]> {
    return readList(await this.#client.call('listlockunspent', []), 'listlockunspent').map((value) => {
      const { txid, vout } = readRecord(value, 'locked');
      return { txid: readText(txid, 'txid'), vout: readInteger(vout, 'vout') };
    });
  }

  /** A new P2WPKH output script of the wallet. */
  async newScript(purpose: 'receive' | 'change'): Promise<Uint8Array> {
    const [method, params] =
      purpose === 'change'
        ? (['getrawchangeaddress', ['bech32']] as const)
        : (['getnewaddress', ['', 'bech32']] as const);
    const address = readText(await this.#client.call(method, params), method);
    const info = readRecord(await this.#client.call('getaddressinfo', [address]), 'getaddressinfo');
    const script = fromHex(readText(info['scriptPubKey'], 'scriptPubKey'));
    if (script.length !== 22 || script[0] !== 0x00) {
      throw new CodedError('chain_rpc', 'the wallet of the node gave an address that is not P2WPKH');
    }
    return script;
  }

  /**
   * Adds what the wallet can sign to a PSBT (BIP174, base64) whose inputs ask for the hash type ALL. That is
   * said here as well: unsaid, 28 and 29 take it for DEFAULT, and refuse an input that asks for another.
   */
  async sign(psbt: string): Promise<string> {
    const answer = await this.#client.call('walletprocesspsbt', [psbt, true, 'ALL']);
    return readText(readRecord(answer, 'walletprocesspsbt')['psbt'], 'psbt');
  }

  close(): void {
    this.#client.close();
  }
}
