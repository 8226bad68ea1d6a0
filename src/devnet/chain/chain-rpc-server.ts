import * as crypto from 'node:crypto';
import * as http from 'node:http';
import type { AddressInfo } from 'node:net';
import { isRecord } from '../../base/json.ts';
import type { Logger } from '../../log/logger.ts';
import type { DevnetChain } from './chain.ts';
import { chainRpcMethods, RPC_METHOD_NOT_FOUND, RpcError, type RpcMethods } from './chain-rpc-methods.ts';

export type ChainRpcServerOptions = {
  /** Default 0: any free port. */
  readonly port?: number;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Basic authentication is asked for when both are given. */
  readonly user?: string;
  readonly password?: string;
  /** What `estimatesmartfee` answers; without it there is no estimate, as on a fresh regtest. */
  readonly estimateSatPerKvb?: number;
};

export type ChainRpcServer = {
  readonly url: string;
  readonly port: number;
  readonly stats: { requests: number; errors: number; unauthorized: number };
  close(): Promise<void>;
};

const MAX_BODY_BYTES = 4 * 1024 * 1024;
const RPC_PARSE_ERROR = -32700;
const RPC_INVALID_REQUEST = -32600;
const RPC_INTERNAL_ERROR = -32603;

/**
 * bitcoind's JSON-RPC over HTTP for a devnet chain. A request that says `"jsonrpc":"2.0"` is answered with
 * status 200 whatever the outcome, any other the way bitcoind has always done: status 500 with `result`
 * null beside the error.
 */
export async function startChainRpcServer(
  options: ChainRpcServerOptions,
  deps: { readonly chain: DevnetChain; readonly log: Logger },
): Promise<ChainRpcServer> {
  const stats = { requests: 0, errors: 0, unauthorized: 0 };
  const methods = chainRpcMethods(deps.chain, options);
  const server = http.createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      deps.log.error({ error: String(error) }, 'devnet chain rpc failed');
      response.destroy();
    });
  });

  async function answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    if (!authorized(request, options)) {
      stats.unauthorized += 1;
      response.writeHead(401, { 'www-authenticate': 'Basic realm="jsonrpc"' }).end();
      return;
    }
    if (request.method !== 'POST') {
      response.writeHead(405).end('JSONRPC server handles only POST requests');
      return;
    }
    const body = await readBody(request);
    if (body === undefined) {
      response.writeHead(413).end();
      return;
    }
    const { status, reply } = answerBody(body, methods, stats);
    response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(reply)}\n`);
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, options.host ?? '127.0.0.1', resolve);
  });
  const { port, address } = server.address() as AddressInfo;
  return {
    url: `http://${address}:${port}`,
    port,
    stats,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function authorized(request: http.IncomingMessage, options: ChainRpcServerOptions): boolean {
  if (options.user === undefined || options.password === undefined) return true;
  const expected = `Basic ${Buffer.from(`${options.user}:${options.password}`).toString('base64')}`;
  const digest = (text: string): Buffer => crypto.hash('sha256', text, 'buffer');
  return crypto.timingSafeEqual(digest(request.headers.authorization ?? ''), digest(expected));
}

async function readBody(request: http.IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

type Outcome = { readonly status: number; readonly reply: unknown };
type Stats = ChainRpcServer['stats'];

function answerBody(body: string, methods: RpcMethods, stats: Stats): Outcome {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    return failure({}, new RpcError(RPC_PARSE_ERROR, 'Parse error'), 500);
  }
  if (!Array.isArray(parsed)) return answerOne(parsed, methods, stats);
  return { status: 200, reply: parsed.map((request) => answerOne(request, methods, stats).reply) };
}

function answerOne(request: unknown, methods: RpcMethods, stats: Stats): Outcome {
  stats.requests += 1;
  if (!isRecord(request) || typeof request['method'] !== 'string') {
    stats.errors += 1;
    return failure({}, new RpcError(RPC_INVALID_REQUEST, 'Invalid Request object'), 400);
  }
  const params = request['params'] ?? [];
  try {
    const method = Object.hasOwn(methods, request['method']) ? methods[request['method']] : undefined;
    if (method === undefined) throw new RpcError(RPC_METHOD_NOT_FOUND, 'Method not found');
    if (!Array.isArray(params)) throw new RpcError(RPC_INVALID_REQUEST, 'Params must be an array');
    const result = method(params);
    const id = request['id'] ?? null;
    const reply = isVersion2(request) ? { jsonrpc: '2.0', result, id } : { result, error: null, id };
    return { status: 200, reply };
  } catch (error) {
    stats.errors += 1;
    const rpcError = error instanceof RpcError ? error : new RpcError(RPC_INTERNAL_ERROR, String(error));
    return failure(request, rpcError, rpcError.code === RPC_METHOD_NOT_FOUND ? 404 : 500);
  }
}

function isVersion2(request: Record<string, unknown>): boolean {
  return request['jsonrpc'] === '2.0';
}

function failure(request: Record<string, unknown>, error: RpcError, status: number): Outcome {
  const body = { code: error.code, message: error.message };
  const id = request['id'] ?? null;
  return isVersion2(request)
    ? { status: 200, reply: { jsonrpc: '2.0', error: body, id } }
    : { status, reply: { result: null, error: body, id } };
}
