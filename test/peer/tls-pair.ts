import * as ecc from 'tiny-secp256k1';
import { toHex } from '../../src/base/bytes.ts';
import type { Timers } from '../../src/base/clock.ts';
import { sha256 } from '../../src/base/hash.ts';
import { systemRandom } from '../../src/base/random.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { createTlsIdentity } from '../../src/peer/certificate.ts';
import type { NodeIdentity } from '../../src/peer/handshake.ts';
import { RpcPeer } from '../../src/peer/rpc-peer.ts';
import {
  connectPeer,
  DEFAULT_TRANSPORT,
  type PeerLink,
  PeerServer,
  type TransportOptions,
} from '../../src/peer/transport.ts';

export const random = systemRandom;

/** A node key made from a name. */
export function identityOf(name: string): NodeIdentity {
  const secret = sha256(new TextEncoder().encode(`test node ${name}`));
  return {
    nodeId: toHex(ecc.xOnlyPointFromScalar(secret)),
    sign: (digest) => ecc.signSchnorr(digest, secret),
  };
}

export const RPC = { requestTimeoutMs: 5_000, pingIntervalMs: 1_000 };

export type TlsPair = {
  readonly client: PeerLink;
  readonly server: PeerLink;
  readonly close: () => Promise<void>;
};

/** Two ends of one real TLS connection on loopback. The client has the server's options unless given. */
export async function createTlsPair(
  options: Partial<TransportOptions> = {},
  clientOptions: Partial<TransportOptions> = options,
  timers: Timers = systemTimers,
): Promise<TlsPair> {
  const transport = { ...DEFAULT_TRANSPORT, ...options };
  const accepted = Promise.withResolvers<PeerLink>();
  const listener = new PeerServer(
    {
      ...transport,
      host: '127.0.0.1',
      port: 0,
      maxConnections: 8,
      tls: createTlsIdentity({ random, nowMs: Date.now() }),
    },
    { log: silentLogger, timers, onConnection: accepted.resolve },
  );
  const port = await listener.listen();
  const client = await connectPeer(
    {
      ...DEFAULT_TRANSPORT,
      ...clientOptions,
      host: '127.0.0.1',
      port,
      connectTimeoutMs: 5_000,
    },
    { timers: systemTimers },
  );
  const server = await accepted.promise;
  return {
    client,
    server,
    close: async () => {
      client.close();
      await listener.close();
    },
  };
}

export function rpcOver(connection: PeerLink, options = RPC): RpcPeer {
  return new RpcPeer(connection, options, { timers: systemTimers, log: silentLogger });
}
