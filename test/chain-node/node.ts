import { address, type Transaction } from 'bitcoinjs-lib';
import { systemClock } from '../../src/base/clock.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { NETWORKS } from '../../src/bitcoin/network.ts';
import { ChainRpcClient } from '../../src/chain/rpc-client.ts';
import { createRpcChainSource, type RpcChainSource } from '../../src/chain/rpc-source.ts';
import { p2wpkhScript } from '../../src/chain/wallet.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { testKey } from '../devnet/wallets.ts';
import { solvedBlock } from './block.ts';

export type NodeAccess = { readonly url: string; readonly user: string; readonly password: string };

/** All blocks of a suite pay this key. */
export const BANK_KEY = testKey(201);
const BANK_ADDRESS = address.fromOutputScript(p2wpkhScript(BANK_KEY.publicKey), NETWORKS.regtest.params);
const POLL_MS = 15;
/** Segwit and CSV are active on btcd's regtest from block 432. */
const FIRST_BLOCKS = 450;

/** A full node on regtest that does as it is told. */
export abstract class TestNode {
  abstract readonly kind: 'btcd' | 'bitcoind';
  readonly access: NodeAccess;
  readonly #client: ChainRpcClient;

  constructor(access: NodeAccess) {
    this.access = access;
    this.#client = new ChainRpcClient({ ...access, timeoutMs: 60_000 }, { timers: systemTimers });
  }

  static readonly bankAddress: string = BANK_ADDRESS;

  call(method: string, ...params: unknown[]): Promise<unknown> {
    return this.#client.call(method, params);
  }

  /** The calls of a wallet that the node has loaded; bitcoind only. */
  wallet(name: string): ChainRpcClient {
    const url = `${this.access.url}/wallet/${encodeURIComponent(name)}`;
    return new ChainRpcClient({ ...this.access, url, timeoutMs: 60_000 }, { timers: systemTimers });
  }

  /** Mines blocks with what is in the mempool. */
  abstract generate(count: number): Promise<void>;

  /** Stops the node and starts it again on its blocks; the mempool is lost. */
  abstract restart(options: { readonly minRelayBtcPerKvb?: string }): Promise<void>;

  async close(): Promise<void> {
    this.#client.close();
  }

  /** A source of the product, as a party would have it. */
  source(pollMs: number = POLL_MS): RpcChainSource {
    const { genesisHash } = NETWORKS.regtest;
    return createRpcChainSource(
      { ...this.access, pollMs, timeoutMs: 10_000, genesisHash },
      { timers: systemTimers, log: silentLogger, clock: systemClock },
    );
  }

  /** The lowest fee rate the node takes into its mempool. */
  abstract minimumSatPerKvb(): Promise<number>;

  async height(): Promise<number> {
    return Number(await this.call('getblockcount'));
  }

  /** Mines blocks without any transaction, whatever waits. */
  async generateEmpty(count: number): Promise<void> {
    for (let mined = 0; mined < count; mined += 1) await this.generateWith([]);
  }

  /** Mines a block of just these transactions. */
  async generateWith(transactions: readonly Transaction[]): Promise<void> {
    const parent = String(await this.call('getbestblockhash'));
    const header = (await this.call('getblockheader', parent, true)) as {
      height: number;
      time: number;
      bits: string;
    };
    const { hex } = solvedBlock({
      parent,
      height: header.height + 1,
      timeSeconds: Math.max(header.time + 1, Math.floor(Date.now() / 1000)),
      bits: Number.parseInt(header.bits, 16),
      transactions,
    });
    const refusal = await this.call('submitblock', hex);
    if (refusal !== null) throw new Error(`submitblock: ${String(refusal)}`);
  }

  /** Takes the last blocks off the chain; their transactions wait again. Returns the lowest block taken. */
  async invalidate(count: number): Promise<string> {
    const hash = String(await this.call('getblockhash', (await this.height()) - count + 1));
    await this.call('invalidateblock', hash);
    return hash;
  }

  /** The txid in the mempool that spends an output. */
  async spender(txid: string, vout: number): Promise<string | undefined> {
    const [answer] = (await this.call('gettxspendingprevout', [{ txid, vout }])) as [
      { spendingtxid?: string },
    ];
    return answer.spendingtxid === '' ? undefined : answer.spendingtxid;
  }

  async mempool(): Promise<readonly string[]> {
    return (await this.call('getrawmempool')) as string[];
  }

  async hexOf(txid: string): Promise<string> {
    return String(await this.call('getrawtransaction', txid, 0));
  }

  /** Blocks until the rules of segwit hold and the bank has mature coins. */
  protected async grow(): Promise<void> {
    const missing = FIRST_BLOCKS - (await this.height());
    await this.generate(Math.max(missing, 1));
  }
}
