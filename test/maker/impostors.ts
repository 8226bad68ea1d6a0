import { systemTimers } from '../../src/base/system-timers.ts';
import type { SeedSigner } from '../../src/channel/signer.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { createTlsIdentity } from '../../src/peer/certificate.ts';
import { authenticate } from '../../src/peer/handshake.ts';
import { type RpcHandlers, RpcPeer } from '../../src/peer/rpc-peer.ts';
import { connectPeer, DEFAULT_TRANSPORT, PeerServer } from '../../src/peer/transport.ts';
import { identityOfSigner } from '../../src/settlement/opening.ts';
import { RPC, random } from '../peer/tls-pair.ts';
import type { World } from './world.ts';

function handshakeOf(world: World, signer: SeedSigner) {
  return {
    identity: identityOfSigner(signer),
    genesisHash: world.chain.blockAt(0)!.hash,
    features: [],
    isKnown: () => true,
    random,
    timers: systemTimers,
    timeoutMs: 5_000,
  };
}

/** What every peer answers. */
const POLITE: RpcHandlers = { ping: async () => ({}), 'channel.ready': async () => ({}) };

/** An authenticated connection to the maker of a world, with the keys of any node. */
export async function connectAsMiner(
  world: World,
  signer: SeedSigner = world.minerSigner,
  handlers: RpcHandlers = {},
): Promise<RpcPeer> {
  const target = { host: '127.0.0.1', port: world.port, connectTimeoutMs: 5_000 };
  const connection = await connectPeer({ ...DEFAULT_TRANSPORT, ...target }, { timers: systemTimers });
  const peer = new RpcPeer(connection, RPC, { timers: systemTimers, log: silentLogger });
  await authenticate(peer, 'client', handshakeOf(world, signer));
  peer.serve({ ...POLITE, ...handlers }, 'unknown_method');
  return peer;
}

/** A server in the place of the maker of a world, with its keys. Resolves with how to end it. */
export async function serveAsMaker(
  world: World,
  handlers: RpcHandlers,
  onPeer: (peer: RpcPeer) => void = () => {},
): Promise<() => Promise<void>> {
  const server = new PeerServer(
    {
      ...DEFAULT_TRANSPORT,
      host: '127.0.0.1',
      port: 0,
      maxConnections: 4,
      tls: createTlsIdentity({ random, nowMs: Date.now() }),
    },
    {
      log: silentLogger,
      timers: systemTimers,
      onConnection: (connection) => {
        const peer = new RpcPeer(connection, RPC, { timers: systemTimers, log: silentLogger });
        authenticate(peer, 'server', handshakeOf(world, world.makerSigner)).then(
          () => {
            peer.serve({ ...POLITE, ...handlers }, 'unknown_method');
            onPeer(peer);
          },
          () => {},
        );
      },
    },
  );
  world.port = await server.listen();
  return () => server.close();
}
