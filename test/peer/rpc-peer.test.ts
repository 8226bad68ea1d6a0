import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { parseBoundedJson, RpcPeer } from '../../src/peer/rpc-peer.ts';
import type { PeerLink } from '../../src/peer/transport.ts';
import { Outcomes } from '../base/outcomes.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { createTlsPair, RPC, rpcOver } from './tls-pair.ts';

const handlers = {
  ping: async () => ({}),
  echo: async (params: unknown) => params as string,
  fail: async () => {
    throw new CodedError('over_budget', 'one sat too many');
  },
  crash: async () => {
    throw new TypeError('a secret of ours');
  },
  hang: () => new Promise<null>(() => {}),
};

function firstLine(connection: PeerLink): { line: Promise<string>; reason: Promise<string> } {
  const line = Promise.withResolvers<string>();
  const reason = Promise.withResolvers<string>();
  connection.listen({ onLine: line.resolve, onClose: (error) => reason.resolve(error.code) });
  return { line: line.promise, reason: reason.promise };
}

describe('JSON-RPC between peers', () => {
  it('asks and answers in both directions at once', async () => {
    const pair = await createTlsPair();
    const [client, server] = [rpcOver(pair.client), rpcOver(pair.server)];
    client.serve(handlers, 'unknown_method');
    server.serve(handlers, 'unknown_method');
    const answers = await Promise.all(
      [1, 2, 3].flatMap((n) => [client.request('echo', { n }), server.request('echo', { n: -n })]),
    );
    expect(answers).toEqual([{ n: 1 }, { n: -1 }, { n: 2 }, { n: -2 }, { n: 3 }, { n: -3 }]);
    await pair.close();
  });

  it('carries coded errors as themselves and hides everything else', async () => {
    const pair = await createTlsPair();
    const [client, server] = [rpcOver(pair.client), rpcOver(pair.server)];
    client.serve(handlers, 'unknown_method');
    server.serve(handlers, 'unknown_method');
    const error = await client.request('fail', {}).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: 'over_budget' });
    expect(error).toMatchObject({ meta: { remote: true } });
    await expect(client.request('absent', {})).rejects.toMatchObject({ code: 'unknown_method' });
    const internal = (await client.request('crash', {}).catch((caught: unknown) => caught)) as Error;
    expect(internal.message).not.toContain('secret');
    await pair.close();
  });

  it.each([
    ['insufficient_funds', 'the maker lacks 4711 sat'],
    ['tx_refused', 'node 10.0.0.7 says: min relay fee not met, 4711 < 9999'],
    ['chain_rpc', 'bitcoind at 10.0.0.7: error 4711'],
    ['ledger_io', '/var/lib/4711: no space left'],
  ] as const)(
    'tells a peer no more of %s than the code, and the own log everything',
    async (code, detail) => {
      const pair = await createTlsPair();
      const logged: unknown[] = [];
      const note = (fields: unknown): void => void logged.push(fields);
      const log = { ...silentLogger, info: note };
      const server = new RpcPeer(pair.server, RPC, { log, timers: systemTimers });
      const client = rpcOver(pair.client);
      const refuse = async (): Promise<never> => {
        throw new CodedError(code, detail);
      };
      server.serve({ refuse }, 'unknown_method');
      client.serve(handlers, 'unknown_method');
      const error = (await client.request('refuse', {}).catch((caught: unknown) => caught)) as CodedError;
      expect(error.code).toBe(code);
      expect(error.message).not.toContain('4711');
      expect(JSON.stringify(logged)).toContain('4711');
      server.closeWithError(new CodedError(code, detail));
      const reason = await client.closed;
      expect(reason.message).not.toContain('4711');
      await pair.close();
    },
  );

  it('sends our code and its number on the wire', async () => {
    const pair = await createTlsPair();
    rpcOver(pair.server).serve(handlers, 'unknown_method');
    const { line } = firstLine(pair.client);
    pair.client.send('{"jsonrpc":"2.0","id":7,"method":"fail"}');
    expect(JSON.parse(await line)).toEqual({
      jsonrpc: '2.0',
      id: 7,
      error: {
        code: -32014,
        message: 'over_budget: one sat too many',
        data: { code: 'over_budget', hint: 'the state pays more than the budget' },
      },
    });
    await pair.close();
  });

  it.each([
    ['a batch', '[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600],
    ['bad JSON', '{"jsonrpc":', -32000],
    ['JSON too deep', `{"jsonrpc":"2.0","id":1,"method":"echo","params":${'['.repeat(5000)}`, -32000],
    ['no JSON-RPC', '{"id":1,"method":"ping"}', -32600],
    ['a method that is no string', '{"jsonrpc":"2.0","id":1,"method":{"a":1}}', -32600],
    ['null', 'null', -32600],
  ])('answers %s with an error and ends the connection', async (_name, sent, number) => {
    const pair = await createTlsPair();
    rpcOver(pair.server).serve(handlers, 'unknown_method');
    const { line, reason } = firstLine(pair.client);
    pair.client.send(sent);
    expect(JSON.parse(await line)).toMatchObject({ id: null, error: { code: number } });
    expect(await reason).toBe('peer_closed');
    await pair.close();
  });

  it('ends the connection when a request is not answered', async () => {
    const pair = await createTlsPair();
    const client = rpcOver(pair.client, { ...RPC, requestTimeoutMs: 50 });
    client.serve(handlers, 'unknown_method');
    rpcOver(pair.server).serve(handlers, 'unknown_method');
    const error = await client.request('hang', {}).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: 'peer_timeout' });
    expect(error).not.toMatchObject({ meta: { remote: true } });
    expect(await client.closed).toMatchObject({ code: 'peer_timeout' });
    await expect(client.request('echo', {})).rejects.toMatchObject({ code: 'peer_timeout' });
    await pair.close();
  });

  it('rejects what waits when the peer goes away', async () => {
    const pair = await createTlsPair();
    const client = rpcOver(pair.client);
    client.serve(handlers, 'unknown_method');
    const server = rpcOver(pair.server);
    server.serve(handlers, 'unknown_method');
    const waiting = client.request('hang', {});
    server.close();
    await expect(waiting).rejects.toMatchObject({ code: 'peer_closed' });
    await pair.close();
  });

  it('bounds the requests in flight on both sides', async () => {
    const pair = await createTlsPair();
    const client = rpcOver(pair.client);
    client.serve(handlers, 'unknown_method');
    rpcOver(pair.server).serve(handlers, 'unknown_method');
    const waiting = Array.from({ length: LIMITS.peerRequestsInFlight }, () => client.request('hang', {}));
    const settled = Promise.allSettled(waiting);
    await expect(client.request('echo', {})).rejects.toMatchObject({ code: 'overload' });
    pair.client.send('{"jsonrpc":"2.0","id":"extra","method":"hang"}');
    await expect.poll(() => client.stats.ignored + client.stats.refused).toBe(0);
    client.close();
    expect((await settled).every(({ status }) => status === 'rejected')).toBe(true);
    await pair.close();
  });

  it('keeps a quiet connection alive with pings', async () => {
    const time = new VirtualTime();
    const pair = await createTlsPair({ idleTimeoutMs: 150 }, {}, time.timers);
    const options = { ...RPC, pingIntervalMs: 30 };
    const client = new RpcPeer(pair.client, options, { timers: time.timers, log: silentLogger });
    client.serve(handlers, 'unknown_method');
    let heard = Promise.withResolvers<void>();
    const ping = async (): Promise<Record<string, never>> => {
      heard.resolve();
      return {};
    };
    rpcOver(pair.server).serve({ ...handlers, ping }, 'unknown_method');
    for (let passedMs = 0; passedMs < 600; passedMs += 30) {
      heard = Promise.withResolvers();
      await time.advance(30);
      await heard.promise;
    }
    expect(await client.request('echo', 'still here')).toBe('still here');
    await pair.close();
  });

  it('never crashes on any line', async () => {
    const pair = await createTlsPair();
    await pair.close();
    const outcomes = new Outcomes('parsed', 'refused');
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (line) => {
        try {
          expect(parseBoundedJson(line)).toEqual(JSON.parse(line));
          outcomes.saw('parsed');
        } catch (error) {
          expect(error).toMatchObject({ code: 'malformed' });
          outcomes.saw('refused');
        }
      }),
    );
    outcomes.expectEach(10);
    for (const depth of [12, 13]) {
      const nested = '['.repeat(depth) + ']'.repeat(depth);
      if (depth === 12) expect(() => parseBoundedJson(nested)).not.toThrow();
      else expect(() => parseBoundedJson(nested)).toThrow('malformed');
    }
  });
});
