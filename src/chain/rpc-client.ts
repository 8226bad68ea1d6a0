import * as fs from 'node:fs/promises';
import type { Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { JsonRpcClient } from '../base/json-rpc-client.ts';
import { parseExactJson } from './amounts.ts';

export type RpcClientOptions = {
  readonly url: string;
  readonly user?: string;
  readonly password?: string;
  /**
   * bitcoind's `.cookie`; read again when the node refuses it, since each start of the node writes a new
   * one.
   */
  readonly cookieFile?: string;
  readonly timeoutMs: number;
  /** Default: whatever comes is read. */
  readonly maxReplyBytes?: number;
};

export type RpcClientStats = { requests: number; failures: number };

/** What the node answered instead of a result. Always inside a `chain_rpc` error, as its `meta`. */
export type RpcFailure = { readonly rpcCode: number; readonly rpcMessage: string };

/** bitcoind: the address, block or transaction is not known. */
export const RPC_NOT_FOUND = -5;
export const RPC_METHOD_NOT_FOUND = -32601;

/**
 * JSON-RPC to a bitcoin node. Numbers in results that are not safe integers come as their source text.
 */
export class ChainRpcClient {
  readonly stats: RpcClientStats = { requests: 0, failures: 0 };
  readonly timers: Timers;
  readonly #options: RpcClientOptions;
  readonly #client: JsonRpcClient;
  #authorization: string | undefined;

  constructor(options: RpcClientOptions, deps: { readonly timers: Timers }) {
    this.#options = options;
    this.timers = deps.timers;
    const { url, timeoutMs, cookieFile, maxReplyBytes } = options;
    this.#client = new JsonRpcClient(deps, {
      ...{ url, timeoutMs, unreachable: 'chain_unreachable', parse: parseExactJson },
      ...(maxReplyBytes === undefined ? {} : { maxReplyBytes }),
      authorization: () => this.#credentials(),
      onRefused: () => {
        this.#authorization = undefined;
        return cookieFile !== undefined;
      },
    });
  }

  /**
   * Throws `chain_unreachable` when there is no answer, `chain_rpc` (meta: `RpcFailure`) when it is an
   * error.
   * @param timeoutMs of this call alone, which takes a node longer than others
   */
  async call(method: string, params: readonly unknown[], timeoutMs?: number): Promise<unknown> {
    this.stats.requests += 1;
    try {
      const { result, error } = await this.#client.call(method, params, timeoutMs);
      if (error === undefined) return result as unknown;
      const { code: rpcCode, message: rpcMessage } = error;
      const failure: RpcFailure = { rpcCode, rpcMessage };
      throw new CodedError('chain_rpc', `${method}: ${rpcMessage} (${rpcCode})`, { ...failure });
    } catch (error) {
      this.stats.failures += 1;
      throw error;
    }
  }

  close(): void {
    this.#client.close();
  }

  async #credentials(): Promise<string | undefined> {
    this.#authorization ??= basic(await this.#userAndPassword());
    return this.#authorization;
  }

  async #userAndPassword(): Promise<string | undefined> {
    const { user, password, cookieFile } = this.#options;
    if (cookieFile !== undefined) return (await fs.readFile(cookieFile, 'utf8')).trim();
    return user === undefined ? undefined : `${user}:${password ?? ''}`;
  }
}

function basic(userAndPassword: string | undefined): string | undefined {
  return userAndPassword === undefined
    ? undefined
    : `Basic ${Buffer.from(userAndPassword).toString('base64')}`;
}
