import * as http from 'node:http';
import * as https from 'node:https';
import { isIP, type Socket } from 'node:net';
import * as tls from 'node:tls';
import type { Timers } from './clock.ts';
import { dial } from './dial.ts';

export type HttpPost = {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly signal: AbortSignal;
  /** Of the answer; more is an error. Default: whatever comes is read. */
  readonly maxBytes?: number;
};

export type HttpAnswer = { readonly status: number; readonly text: string };

/**
 * One request over a connection of its own, made by `dial`; nothing is redirected. Rejects when there is no
 * whole answer, or the signal is aborted.
 */
export function post(
  request: HttpPost,
  deps: { readonly timers: Pick<Timers, 'after'> },
): Promise<HttpAnswer> {
  const { signal } = request;
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      signal.removeEventListener('abort', onAbort);
      cancelDial();
      reject(error);
    };
    const onAbort = (): void => fail(signal.reason);
    const url = new URL(request.url);
    const isSecure = url.protocol === 'https:';
    const host = url.hostname.replace(/[[\]]/g, '');
    const port = Number(url.port) || (isSecure ? 443 : 80);
    const cancelDial = dial({ host, port }, deps, (dialed) => {
      if (dialed.error !== undefined) fail(dialed.error);
      else send(request, isSecure ? secured(dialed.socket, host) : dialed.socket).then(done, fail);
    });
    const done = (answer: HttpAnswer): void => {
      signal.removeEventListener('abort', onAbort);
      resolve(answer);
    };
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
  });
}

function secured(socket: Socket, host: string): tls.TLSSocket {
  return tls.connect({ socket, host, ...(isIP(host) === 0 ? { servername: host } : {}) });
}

function send({ url, headers, body, signal, maxBytes }: HttpPost, socket: Socket): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const { request } = url.startsWith('https:') ? https : http;
    const options = {
      ...{ method: 'POST', signal, createConnection: () => socket },
      headers: { ...headers, 'content-length': Buffer.byteLength(body), connection: 'close' },
    };
    const asked = request(url, options, (answer) => {
      const chunks: Buffer[] = [];
      let size = 0;
      answer.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        size += chunk.length;
        if (maxBytes !== undefined && size > maxBytes)
          answer.destroy(new Error(`more than ${maxBytes} bytes`));
      });
      answer.on('error', reject);
      answer.on('end', () => {
        socket.destroy();
        resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') });
      });
    });
    asked.on('error', reject);
    asked.end(body);
  });
}
