import { type Clock, sleep, type Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import type { Logger } from '../log/logger.ts';
import type { ChainRpcClient } from './rpc-client.ts';
import { readInteger, readList, readRecord, readSats, readText, rpcCodeOf } from './rpc-fields.ts';
import { optional, type Utxo } from './source.ts';

/** The longest a node may scan: on mainnet it takes a bitcoind minutes, and more on a slow disk. */
const SCAN_TIMEOUT_MS = 60 * 60_000;
const PROGRESS_MS = 15_000;
const BUSY_RETRY_MS = 250;
const BUSY_RETRY_MOST_MS = 2_000;
/** How long a result waits for whoever asked for it and went away. */
const KEPT_MS = 10 * 60_000;
/** bitcoind: "Scan already in progress". */
const RPC_INVALID_PARAMETER = -8;

type Scan = { readonly result: Promise<Utxo[]>; endedAtMs: number | undefined };

export type CoinScanDeps = { readonly log: Logger; readonly clock: Clock; readonly timers: Timers };

export type CoinScanOptions = {
  /** Time in ms that one question waits for the answer. */
  readonly patienceMs: number;
};

/**
 * The coins of a script, by `scantxoutset`: the node reads the whole set of unspent outputs, one scan at a
 * time. A question that the node has not answered in time fails, and the scan goes on: the next one has its
 * result.
 */
export class CoinScan {
  readonly #scans = new Map<string, Scan>();
  readonly #options: CoinScanOptions;
  readonly #client: ChainRpcClient;
  readonly #deps: CoinScanDeps;

  constructor(options: CoinScanOptions, client: ChainRpcClient, deps: CoinScanDeps) {
    this.#options = options;
    this.#client = client;
    this.#deps = deps;
  }

  /** Unspent outputs of a script in blocks. Throws `coins_unknown` while the node still looks for them. */
  async utxos(scriptHex: string): Promise<Utxo[]> {
    const scan = this.#fresh(scriptHex) ?? this.#start(scriptHex);
    const late = Promise.withResolvers<undefined>();
    const timer = this.#deps.timers.after(this.#options.patienceMs, () => late.resolve(undefined));
    try {
      const coins = await Promise.race([scan.result, late.promise]);
      if (coins === undefined) {
        throw new CodedError('coins_unknown', 'the node still scans for the coins of the wallet');
      }
      this.#scans.delete(scriptHex);
      return coins;
    } finally {
      timer.cancel();
    }
  }

  /** The scan on its way, or one that nobody waited for, unless that is too old to say what there is. */
  #fresh(scriptHex: string): Scan | undefined {
    const scan = this.#scans.get(scriptHex);
    const nowMs = this.#deps.clock.monotonicMs();
    return scan === undefined || nowMs - (scan.endedAtMs ?? nowMs) > KEPT_MS ? undefined : scan;
  }

  #start(scriptHex: string): Scan {
    const scan: Scan = { result: this.#run(scriptHex), endedAtMs: undefined };
    this.#scans.set(scriptHex, scan);
    scan.result.then(
      () => {
        scan.endedAtMs = this.#deps.clock.monotonicMs();
      },
      () => {
        if (this.#scans.get(scriptHex) === scan) this.#scans.delete(scriptHex);
      },
    );
    return scan;
  }

  async #run(scriptHex: string): Promise<Utxo[]> {
    const progress = this.#deps.timers.every(PROGRESS_MS, () => void this.#tellProgress());
    try {
      const value = await this.#scanWhenFree(scriptHex);
      return readList(readRecord(value, 'scantxoutset')['unspents'], 'unspents').map((unspent) => {
        const fields = readRecord(unspent, 'unspent');
        return {
          txid: readText(fields['txid'], 'txid'),
          vout: readInteger(fields['vout'], 'vout'),
          valueSat: readSats(fields['amount'], 'amount'),
          height: readInteger(fields['height'], 'height'),
        };
      });
    } finally {
      progress.cancel();
    }
  }

  /** A node runs one scan at a time; another's, or one that was given up, is waited for. */
  async #scanWhenFree(scriptHex: string): Promise<unknown> {
    let leftMs = SCAN_TIMEOUT_MS;
    for (let waitMs = BUSY_RETRY_MS; ; waitMs = Math.min(2 * waitMs, BUSY_RETRY_MOST_MS)) {
      try {
        const params = ['start', [`raw(${scriptHex})`]];
        return await this.#client.call('scantxoutset', params, SCAN_TIMEOUT_MS);
      } catch (error) {
        leftMs -= waitMs;
        if (rpcCodeOf(error) !== RPC_INVALID_PARAMETER || leftMs <= 0) throw error;
        await sleep(this.#deps.timers, waitMs);
      }
    }
  }

  async #tellProgress(): Promise<void> {
    const status = await optional(
      () => this.#client.call('scantxoutset', ['status']),
      ({ code }) => this.#deps.log.debug({ code }, 'the node does not say how far its scan is'),
    );
    if (typeof status !== 'object' || status === null) return;
    const { progress } = status as { readonly progress?: unknown };
    this.#deps.log.info({ percent: Number(progress) }, 'the node scans for the coins of the wallet');
  }
}
