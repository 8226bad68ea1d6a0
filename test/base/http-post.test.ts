import * as http from 'node:http';
import * as https from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { type HttpAnswer, post } from '../../src/base/http-post.ts';
import { systemRandom } from '../../src/base/random.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { createTlsIdentity } from '../../src/peer/certificate.ts';

const servers: http.Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function serve(listener: http.RequestListener, host = '127.0.0.1'): Promise<number> {
  const server = http.createServer(listener).listen(0, host);
  servers.push(server);
  await new Promise((resolve) => server.once('listening', resolve));
  return (server.address() as AddressInfo).port;
}

function ask(url: string, more: { signal?: AbortSignal; maxBytes?: number } = {}): Promise<HttpAnswer> {
  const request = { url, headers: { 'x-test': 'é'.length.toString() }, body: '{"é":1}' };
  return post({ signal: new AbortController().signal, ...request, ...more }, { timers: systemTimers });
}

it('sends a body and reads the answer, whatever the status', async () => {
  const seen: unknown[] = [];
  const port = await serve((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      seen.push(request.method, request.url, request.headers['x-test'], Buffer.concat(chunks).toString());
      response.writeHead(500).end('{"wörld":2}');
    });
  });
  expect(await ask(`http://localhost:${port}/wallet/a`)).toEqual({ status: 500, text: '{"wörld":2}' });
  expect(seen).toEqual(['POST', '/wallet/a', '1', '{"é":1}']);
});

it('names the address that does not answer, and never fails without a word', async () => {
  await expect(ask('http://127.0.0.1:1')).rejects.toThrow('ECONNREFUSED 127.0.0.1:1');
  await expect(ask('http://[::1]:1')).rejects.toThrow(/\[::1\]:1/);
  const port = await serve((request) => request.socket.destroy());
  await expect(ask(`http://127.0.0.1:${port}`)).rejects.toThrow(/.+/);
});

it('speaks TLS, and believes no certificate that nobody vouches for', async () => {
  const identity = createTlsIdentity({ random: systemRandom, nowMs: Date.now() });
  const server = https.createServer(identity, (_request, response) => response.end('{}'));
  servers.push(server.listen(0, '127.0.0.1'));
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await expect(ask(`https://localhost:${port}`)).rejects.toThrow(/self-signed/);
});

it('takes no more than it may, follows nobody, and ends when told', async () => {
  const port = await serve((request, response) => {
    if (request.url === '/moved') response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end('moved');
    else if (request.url === '/long') response.end('x'.repeat(5_000));
  });
  expect(await ask(`http://127.0.0.1:${port}/moved`)).toEqual({ status: 302, text: 'moved' });
  await expect(ask(`http://127.0.0.1:${port}/long`, { maxBytes: 4_999 })).rejects.toThrow('more than 4999');
  expect((await ask(`http://127.0.0.1:${port}/long`, { maxBytes: 5_000 })).text).toHaveLength(5_000);
  const ending = new AbortController();
  const asked = ask(`http://127.0.0.1:${port}/silent`, { signal: ending.signal });
  ending.abort(new Error('enough'));
  await expect(asked).rejects.toThrow('enough');
  await expect(ask(`http://127.0.0.1:${port}`, { signal: ending.signal })).rejects.toThrow('enough');
});
