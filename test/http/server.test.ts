import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { OpsServer, type OpsServerDeps } from '../../src/http/server.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { createMetrics } from '../../src/metrics/metrics.ts';

const open: OpsServer[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => server.close()));
});

async function start(deps: Partial<OpsServerDeps> = {}): Promise<{ port: number; server: OpsServer }> {
  const build = { version: '1', commit: 'c', kernel: 'k', ledger: 'l' };
  const server = new OpsServer(
    {
      listen: { host: '127.0.0.1', port: 0 },
      allowedHosts: ['Proxy.example'],
      checkTimeoutMs: 50,
    },
    {
      timers: systemTimers,
      metrics: createMetrics({ role: 'proxy', build }, () => ({})),
      checks: {},
      log: silentLogger,
      ...deps,
    },
  );
  open.push(server);
  return { port: (await server.start()).port, server };
}

type Answer = { status: number; headers: IncomingHttpHeaders; body: string };

function ask(
  port: number,
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<Answer> {
  const { method = 'GET', headers = {}, body } = options;
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: '127.0.0.1', port, path, method, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }),
      );
    });
    request.on('error', reject);
    request.end(body);
  });
}

describe('health', () => {
  it('is alive whatever its dependencies do', async () => {
    const { port } = await start({ checks: { ledger: () => 'broken' } });
    expect(await ask(port, '/livez')).toMatchObject({ status: 200, body: 'ok\n' });
  });

  it('is ready while every check is', async () => {
    const { port } = await start({
      checks: { ledger: () => true, upstream: () => Promise.resolve(true as const) },
    });
    expect(await ask(port, '/readyz')).toMatchObject({ status: 200, body: 'ready\n' });
    expect((await ask(port, '/readyz?verbose')).body).toBe('[+]ledger ok\n[+]upstream ok\nready\n');
  });

  it('names what is not ready, without the text of an exception', async () => {
    const { port } = await start({
      checks: {
        ledger: () => true,
        upstream: () => 'no job for 90 s',
        chain: () => {
          throw new Error('secret path /etc/x');
        },
      },
    });
    expect(await ask(port, '/readyz')).toMatchObject({ status: 503, body: 'not ready\n' });
    const verbose = await ask(port, '/readyz?verbose');
    expect(verbose.status).toBe(503);
    expect(verbose.body).toBe(
      '[+]ledger ok\n[-]upstream failed: no job for 90 s\n[-]chain failed\nnot ready\n',
    );
  });

  it('answers though a check hangs', async () => {
    const { port } = await start({ checks: { chain: () => new Promise<true>(() => {}) } });
    expect((await ask(port, '/readyz?verbose')).body).toContain('[-]chain failed: no answer');
  });
});

describe('metrics, and what fails', () => {
  it('serves the text of the registry', async () => {
    const { port } = await start();
    const answer = await ask(port, '/metrics');
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toContain('text/plain; version=0.0.4');
    expect(answer.body).toContain('sharestream_build_info{');
  });

  it('answers HEAD without a body', async () => {
    const { port } = await start();
    const answer = await ask(port, '/metrics', { method: 'HEAD' });
    expect(answer).toMatchObject({ status: 200, body: '' });
    expect(Number(answer.headers['content-length'])).toBeGreaterThan(1000);
  });

  it('hides the text of an unexpected error, and goes on', async () => {
    const { port, server } = await start({
      api: () => Promise.reject(new TypeError('cannot read /var/lib/secret')),
    });
    const answer = await ask(port, '/api/v1/status');
    expect(answer.status).toBe(500);
    const hint = 'a fault of this program: its log says more';
    expect(JSON.parse(answer.body)).toEqual({ error: { code: 'internal', message: 'internal', hint } });
    expect(server.stats.failed).toBe(1);
    expect((await ask(port, '/livez')).status).toBe(200);
  });
});

describe('the door', () => {
  it('knows its methods and paths', async () => {
    const { port } = await start();
    const wrong = await ask(port, '/livez', { method: 'POST' });
    expect(wrong.status).toBe(405);
    expect(wrong.headers.allow).toBe('GET, HEAD');
    expect((await ask(port, '/api/v1/status')).status).toBe(404);
    expect((await ask(port, '/')).status).toBe(404);
    expect((await ask(port, '/livez/')).status).toBe(404);
    expect((await ask(port, '/../livez')).status).toBe(404);
  });

  it.each([
    ['127.0.0.1:9332', 200],
    ['localhost', 200],
    ['[::1]:9332', 200],
    ['proxy.example:9332', 200],
    ['PROXY.example', 200],
    ['evil.example', 403],
    ['127.0.0.1.evil.example:9332', 403],
    ['localhost.evil.example', 403],
    ['[evil]', 403],
    ['a@localhost', 403],
  ])('lets Host %s in or not: %i', async (host, status) => {
    const { port } = await start();
    expect((await ask(port, '/metrics', { headers: { host } })).status).toBe(status);
  });

  it('survives garbage and half a request', async () => {
    const { port } = await start();
    for (const bytes of ['\u0000\u0001garbage\r\n\r\n', 'GET /livez HTTP/1.1\r\nHost: a\r\nX: ']) {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => {});
      await new Promise<void>((resolve) => socket.write(bytes, () => resolve()));
      socket.destroy();
    }
    expect((await ask(port, '/livez')).status).toBe(200);
  });

  it('says when its port is taken', async () => {
    const { port } = await start();
    const second = new OpsServer(
      { listen: { host: '127.0.0.1', port } },
      {
        timers: systemTimers,
        metrics: { contentType: '', text: () => Promise.resolve('') },
        checks: {},
        log: silentLogger,
      },
    );
    await expect(second.start()).rejects.toMatchObject({ code: 'address_in_use' });
    await second.close();
  });

  it('finishes what it is answering when it is closed', async () => {
    const gate = Promise.withResolvers<string>();
    const { port, server } = await start({ api: async () => new Response(await gate.promise) });
    const answer = ask(port, '/api/v1/status');
    while (server.stats.requests === 0) await new Promise((resolve) => setImmediate(resolve));
    const closed = server.close();
    gate.resolve('7\n');
    expect((await answer).body).toBe('7\n');
    await closed;
    await expect(ask(port, '/livez')).rejects.toThrow();
  });

  it('is closed soon, whatever its clients do', async () => {
    const { port, server } = await start({ api: async () => new Response('x'.repeat(32 * 1024 * 1024)) });
    const head = 'GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n';
    const silent = connect(port, '127.0.0.1');
    const slow = connect(port, '127.0.0.1', () => slow.write(head));
    const deaf = connect(port, '127.0.0.1', () => deaf.pause().write(`${head}\r\n`));
    const gone = [silent, slow, deaf].map(async (socket) => {
      socket.on('error', () => {});
      await new Promise((resolve) => socket.once('close', resolve));
    });
    while (server.stats.requests === 0) await new Promise((resolve) => setImmediate(resolve));
    await server.close();
    deaf.resume();
    expect(await Promise.all(gone)).toHaveLength(3);
  });

  it('hears whoever asks, however many clients are silent or slow', async () => {
    const { port, server } = await start();
    const silent = Array.from({ length: 200 }, (_, index) => {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => {});
      if (index % 2 === 0) socket.write('GET /livez HT');
      return socket;
    });
    await Promise.all(silent.map((socket) => new Promise((done) => socket.once('connect', done))));
    expect((await ask(port, '/livez')).status).toBe(200);
    expect((await ask(port, '/metrics')).status).toBe(200);
    expect(server.stats.cut).toBeGreaterThan(100);
    for (const socket of silent) socket.destroy();
  });

  it('does not wait for ever for a client that does not read', async () => {
    const timers = {
      ...systemTimers,
      after: (ms: number, run: () => void) => systemTimers.after(ms / 1000, run),
    };
    const { port, server } = await start({
      timers,
      api: async () => new Response('x'.repeat(32 * 1024 * 1024)),
    });
    const socket = connect(port, '127.0.0.1').pause();
    socket.on('error', () => {});
    socket.write('GET /api/v1/status HTTP/1.1\r\nhost: localhost\r\n\r\n');
    await expect.poll(() => server.stats.cut, { timeout: 30_000 }).toBe(1);
    socket.destroy();
  });

  it('tells by /healthz of those checks alone without which nobody is served', async () => {
    let isServing = true;
    const deps = {
      ...{ timers: systemTimers, log: silentLogger },
      metrics: { contentType: '', text: () => Promise.resolve('') },
      checks: { miners: () => isServing || 'let go', chain: () => 'no node' },
    };
    const options = { listen: { host: '127.0.0.1', port: 0 }, serving: ['miners'] };
    const server = new OpsServer(options, deps);
    open.push(server);
    const { port } = await server.start();
    expect((await ask(port, '/readyz')).status).toBe(503);
    expect(await ask(port, '/healthz?verbose')).toMatchObject({
      status: 200,
      body: '[+]miners ok\nready\n',
    });
    isServing = false;
    expect((await ask(port, '/healthz')).status).toBe(503);
  });
});

describe('what stands under /api/', () => {
  const echo = async (request: Request): Promise<Response> =>
    new Response(await request.text(), { headers: { etag: '"a"' } });
  const post = (port: number, body: string, headers: Record<string, string> = {}): Promise<Answer> =>
    ask(port, '/api/v1/echo', { method: 'POST', body, headers });

  it('is asked with a whole body that is bounded, from pages of this server alone', async () => {
    const { port, server } = await start({ api: echo });
    const answer = await post(port, '{"a":1}');
    expect([answer.status, answer.body, answer.headers['etag']]).toEqual([200, '{"a":1}', '"a"']);
    expect((await post(port, 'x'.repeat(70_000))).status).toBe(413);
    expect((await post(port, '{}', { origin: 'http://evil.example' })).status).toBe(403);
    const put = await ask(port, '/api/v1/echo', { method: 'PUT', body: '{}' });
    expect([put.status, put.headers.allow]).toEqual([405, 'GET, HEAD, POST']);
    expect((await ask(port, 'http://')).status).toBe(404);
    expect(server.stats).toMatchObject({ refused: 4, failed: 0 });
  });

  it('tells coded errors with their hint, and a HEAD nothing but its length', async () => {
    const { port } = await start({
      api: () => Promise.reject(new CodedError('exposure_limit', 'three steps unpaid')),
    });
    const answer = await post(port, '{}');
    expect(answer.status).toBe(422);
    expect(JSON.parse(answer.body)).toEqual({
      error: {
        code: 'exposure_limit',
        message: 'exposure_limit: three steps unpaid',
        hint: 'unpaid verified work reached the limit; hashrate went to the fallback',
      },
    });
    const head = await ask(port, '/api/v1/echo', { method: 'HEAD' });
    expect([head.status, head.body, head.headers['content-length']]).toEqual([
      422,
      '',
      String(answer.body.length),
    ]);
  });

  type Source = ConstructorParameters<typeof ReadableStream<Uint8Array>>[0];
  const events = (source: Source): Response =>
    new Response(new ReadableStream(source), { headers: { 'content-type': 'text/event-stream' } });

  it('may be a stream, which ends with the server or its client', async () => {
    let cancelled = 0;
    const source: Source = {
      start: (controller) => controller.enqueue(Buffer.from(': here\n\n')),
      cancel: () => {
        cancelled += 1;
      },
    };
    const { port, server } = await start({ api: async () => events(source) });
    const opened = async (): Promise<Response> => await fetch(`http://127.0.0.1:${port}/api/v1/events`);
    const leaver = (await opened()).body!.getReader();
    await leaver.read();
    await leaver.cancel();
    await expect.poll(() => cancelled).toBe(1);
    const stayer = (await opened()).body!.getReader();
    expect(Buffer.from((await stayer.read()).value!).toString()).toBe(': here\n\n');
    await server.close();
    expect((await stayer.read()).done).toBe(true);
    expect(cancelled).toBe(2);
  });

  it('and a stream whose client does not read is cut', async () => {
    const timers = {
      ...systemTimers,
      after: (ms: number, run: () => void) => systemTimers.after(ms / 1000, run),
    };
    const chunk = Buffer.alloc(256 * 1024, 'x');
    const { port, server } = await start({
      timers,
      api: async () => events({ pull: (out) => out.enqueue(chunk) }),
    });
    const socket = connect(port, '127.0.0.1').pause();
    socket.on('error', () => {});
    socket.write('GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n');
    await expect.poll(() => server.stats.cut, { timeout: 30_000 }).toBe(1);
    socket.destroy();
  });

  it('and one that fails ends, while the server goes on', async () => {
    const { port, server } = await start({
      api: async () => events({ pull: () => Promise.reject(new TypeError('cannot read /var/lib/secret')) }),
    });
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1/events`);
    expect(await answer.text()).toBe('');
    expect(server.stats.failed).toBe(1);
    expect((await ask(port, '/livez')).status).toBe(200);
  });
});
