import * as ecc from 'tiny-secp256k1';
import { concat, fromHex, toHex } from '../base/bytes.ts';
import type { Random, Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { taggedHash } from '../base/hash.ts';
import { commonFeatures, missingFeature } from './features.ts';
import { authCodec, type Hello, helloCodec } from './messages.ts';
import type { RpcPeer } from './rpc-peer.ts';

/** Version of the peer protocol, announced in `session.hello`. */
export const PROTOCOL_VERSION = 1;

/** The identity of a node: an x-only secp256k1 key and its BIP340 signer. */
export type NodeIdentity = {
  /** Node id, 64 lower-case hex digits. */
  readonly nodeId: string;
  readonly sign: (digest: Uint8Array) => Uint8Array;
};

export type HandshakeRole = 'client' | 'server';

export type HandshakeOptions = {
  readonly identity: NodeIdentity;
  /** Hash of block 0 as displayed; both peers must have the same. */
  readonly genesisHash: string;
  /** Feature bits to announce: see `FEATURE_TABLE`. */
  readonly features: readonly number[];
  /** Whether a proven node id is accepted: the allow-list of a server, the expected id of a client. */
  readonly isKnown: (nodeId: string) => boolean;
  readonly random: Random;
  readonly timers: Timers;
  readonly timeoutMs: number;
};

/**
 * The digest that `role` signs: `taggedHash("shc/auth/1", role || id_client || id_server || nonce_client ||
 * nonce_server || exporter)`, with role one byte, 0 for the client (`PROTOCOL.md`). The exporter ties it to
 * one TLS connection.
 */
export function authDigest(
  role: HandshakeRole,
  client: Hello,
  server: Hello,
  exporter: Uint8Array,
): Uint8Array {
  return taggedHash(
    'shc/auth/1',
    concat(
      Uint8Array.of(role === 'client' ? 0 : 1),
      fromHex(client.nodeId, 32),
      fromHex(server.nodeId, 32),
      fromHex(client.nonce, 32),
      fromHex(server.nonce, 32),
      exporter,
    ),
  );
}

function createHello(options: HandshakeOptions): Hello {
  return {
    protocol: PROTOCOL_VERSION,
    chainHash: options.genesisHash,
    nodeId: options.identity.nodeId,
    features: [...options.features],
    nonce: toHex(options.random.bytes(32)),
  };
}

/** Checks a hello by itself. Throws `unsupported`, `wrong_chain`, `unauthenticated`. */
export function checkHello(theirs: Hello, options: HandshakeOptions): void {
  if (theirs.protocol !== PROTOCOL_VERSION) {
    throw new CodedError('unsupported', `protocol ${theirs.protocol}, here ${PROTOCOL_VERSION}`);
  }
  const unknown = missingFeature(options.features, theirs.features);
  if (unknown !== undefined) throw new CodedError('unsupported', `feature ${unknown}`);
  if (theirs.chainHash !== options.genesisHash) throw new CodedError('wrong_chain');
  if (theirs.nodeId === options.identity.nodeId)
    throw new CodedError('unauthenticated', 'the peer uses our own node key');
}

function checkAuth(digest: Uint8Array, nodeId: string, signatureHex: string): void {
  const key = fromHex(nodeId, 32);
  if (!ecc.isXOnlyPoint(key) || !ecc.verifySchnorr(digest, key, fromHex(signatureHex, 64)))
    throw new CodedError('unauthenticated', 'the signature does not prove the node key');
}

/**
 * Authenticates both node keys over the TLS exporter. The client speaks first; the server signs only after
 * the client has proven a key on its list. Nothing else is answered until it resolves, with `peer.features`
 * set to what both announced. On failure the connection is ended and the coded error thrown.
 * @returns the node id of the peer
 */
export async function authenticate(
  peer: RpcPeer,
  role: HandshakeRole,
  options: HandshakeOptions,
): Promise<string> {
  const { promise: expired, reject } = Promise.withResolvers<never>();
  const timer = options.timers.after(options.timeoutMs, () =>
    reject(new CodedError('peer_timeout', 'not authenticated in time')),
  );
  const ended = peer.closed.then((reason): never => {
    throw reason;
  });
  ended.catch(() => {});
  try {
    const proof = role === 'client' ? proveToServer(peer, options) : serveProof(peer, options);
    return await Promise.race([proof, expired, ended]);
  } catch (error) {
    peer.close(error instanceof CodedError ? error : new CodedError('unauthenticated'));
    throw error;
  } finally {
    timer.cancel();
  }
}

async function proveToServer(peer: RpcPeer, options: HandshakeOptions): Promise<string> {
  peer.serve({ ping: async () => ({}) }, 'unauthenticated');
  const client = createHello(options);
  const server = helloCodec.parse(await peer.request('session.hello', helloCodec.print(client)));
  checkHello(server, options);
  if (!options.isKnown(server.nodeId))
    throw new CodedError('unknown_peer', 'the server has another node key than expected');
  const exporter = peer.connection.exporter;
  const signature = toHex(options.identity.sign(authDigest('client', client, server, exporter)));
  const answer = authCodec.parse(await peer.request('session.auth', authCodec.print({ signature })));
  checkAuth(authDigest('server', client, server, exporter), server.nodeId, answer.signature);
  peer.features = commonFeatures(client.features, server.features);
  return server.nodeId;
}

function serveProof(peer: RpcPeer, options: HandshakeOptions): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let client: Hello | undefined;
  const server = createHello(options);
  const refuseBy = (error: unknown): never => {
    // The error is sent first: the connection ends a turn of the event loop later.
    options.timers.afterTurn(() => reject(error as Error));
    throw error;
  };
  peer.serve(
    {
      'session.hello': async (params) => {
        try {
          if (client !== undefined) throw new CodedError('unauthenticated', 'a second hello');
          const hello = helloCodec.parse(params);
          checkHello(hello, options);
          client = hello;
          return helloCodec.print(server);
        } catch (error) {
          return refuseBy(error);
        }
      },
      'session.auth': async (params) => {
        try {
          if (client === undefined) throw new CodedError('unauthenticated', 'auth before hello');
          const { signature } = authCodec.parse(params);
          const exporter = peer.connection.exporter;
          checkAuth(authDigest('client', client, server, exporter), client.nodeId, signature);
          if (!options.isKnown(client.nodeId)) throw new CodedError('unknown_peer');
          const digest = authDigest('server', client, server, exporter);
          const proof = authCodec.print({ signature: toHex(options.identity.sign(digest)) });
          peer.features = commonFeatures(server.features, client.features);
          resolve(client.nodeId);
          return proof;
        } catch (error) {
          return refuseBy(error);
        }
      },
    },
    'unauthenticated',
  );
  return promise;
}
