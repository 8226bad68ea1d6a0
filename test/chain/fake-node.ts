import * as http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Timer, Timers } from '../../src/base/clock.ts';
import { CodedError } from '../../src/base/errors.ts';
import { isRecord } from '../../src/base/json.ts';
import { NETWORKS } from '../../src/bitcoin/network.ts';
import type { ChainRpcClient } from '../../src/chain/rpc-client.ts';

/** An answer of a node that is an error. */
export class Failure extends Error {
  readonly code: number;

  constructor(code: number, message = 'refused') {
    super(message);
    this.code = code;
  }
}

export type FakeMethods = Record<string, (...params: unknown[]) => unknown>;

export type FakeNode = {
  readonly url: string;
  readonly port: number;
  readonly calls: { readonly method: string; readonly params: readonly unknown[] }[];
  readonly methods: FakeMethods;
  close(): Promise<void>;
};

const TIP_HASH = 'ab'.repeat(32);

/** What a bitcoind on regtest answers, and what a btcd does. */
export const BITCOIND: FakeMethods = {
  getblockhash: () => NETWORKS.regtest.genesisHash,
  getnetworkinfo: () => ({ version: 280100 }),
  getblockchaininfo: () => ({
    blocks: 7,
    headers: 7,
    bestblockhash: TIP_HASH,
    time: 1_700_000_000,
    initialblockdownload: false,
  }),
};

export const BTCD: FakeMethods = {
  getblockhash: () => NETWORKS.regtest.genesisHash,
  getnetworkinfo: () => {
    throw new Failure(-1, 'Command unimplemented');
  },
  getbestblockhash: () => TIP_HASH,
  getblockheader: (hash) => ({
    hash,
    height: 7,
    previousblockhash: 'cd'.repeat(32),
    time: 1_700_000_000,
    bits: '207fffff',
    confirmations: 1,
    nextblockhash: '',
  }),
  getpeerinfo: () => [],
};

/** A node that answers with a table; methods missing from it are unknown, as on a node of another kind. */
export async function startFakeNode(methods: FakeMethods, port = 0): Promise<FakeNode> {
  const calls: FakeNode['calls'] = [];
  const table = { ...methods };
  const server = http.createServer((request, response) => {
    void bodyOf(request).then(async (body) => {
      const { id, method, params } = body as { id: number; method: string; params: unknown[] };
      calls.push({ method, params });
      const answer = await answerOf(table, method, params);
      response.end(JSON.stringify({ jsonrpc: '2.0', id, ...answer }));
    });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const address = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${address.port}`,
    port: address.port,
    calls,
    methods: table,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answerOf(table: FakeMethods, method: string, params: unknown[]): Promise<object> {
  const run = table[method];
  if (run === undefined) return { error: { code: -32601, message: 'Method not found' } };
  try {
    return { result: await run(...params) };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return { error: { code: error.code, message: error.message } };
  }
}

async function bodyOf(request: http.IncomingMessage): Promise<Record<string, unknown>> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  const body: unknown = JSON.parse(text);
  if (!isRecord(body)) throw new Error('not a request');
  return body;
}

/** What a node of these answers says, without a socket between; and what it was asked. */
export function clientOf(methods: FakeMethods) {
  const asked: unknown[][] = [];
  const client = {
    call: async (method: string, params: readonly unknown[]) => {
      asked.push([method, ...params]);
      try {
        return await methods[method]!(...params);
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        const meta = { rpcCode: error.code, rpcMessage: error.message };
        throw new CodedError('chain_rpc', error.message, meta);
      }
    },
    close: () => void asked.push(['closed']),
  };
  return { asked, client: client as unknown as ChainRpcClient };
}

/** Timers that count those that wait. */
export function countedTimers(timers: Timers): Timers & { readonly pending: number } {
  const pending = new Set<symbol>();
  const cancelled = (key: symbol, timer: Timer): Timer => ({
    cancel: () => {
      pending.delete(key);
      timer.cancel();
    },
  });
  return {
    ...timers,
    after: (ms, run) => {
      const key = Symbol('timer');
      pending.add(key);
      return cancelled(
        key,
        timers.after(ms, () => {
          pending.delete(key);
          run();
        }),
      );
    },
    every: (ms, run) => {
      const key = Symbol('timer');
      pending.add(key);
      return cancelled(key, timers.every(ms, run));
    },
    get pending() {
      return pending.size;
    },
  };
}
