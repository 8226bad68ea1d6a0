import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { NETWORKS } from '../../src/bitcoin/network.ts';
import { authDigest, authenticate, type HandshakeOptions } from '../../src/peer/handshake.ts';
import { createTlsPair, identityOf, random, rpcOver } from './tls-pair.ts';

const miner = identityOf('miner');
const maker = identityOf('maker');
const stranger = identityOf('stranger');

function optionsOf(of: 'miner' | 'maker', changes: Partial<HandshakeOptions> = {}): HandshakeOptions {
  return {
    timers: systemTimers,
    identity: of === 'miner' ? miner : maker,
    genesisHash: NETWORKS.regtest.genesisHash,
    features: [],
    isKnown: (nodeId) => nodeId === (of === 'miner' ? maker : miner).nodeId,
    random,
    timeoutMs: 2_000,
    ...changes,
  };
}

/** What each side takes for agreed after a handshake. */
async function agreed(client: readonly number[], server: readonly number[]): Promise<string[][]> {
  const pair = await createTlsPair();
  const peers = [rpcOver(pair.client), rpcOver(pair.server)] as const;
  expect(peers.map(({ features }) => features.size)).toEqual([0, 0]);
  await Promise.all([
    authenticate(peers[0], 'client', optionsOf('miner', { features: client })),
    authenticate(peers[1], 'server', optionsOf('maker', { features: server })),
  ]);
  await pair.close();
  return peers.map(({ features }) => [...features]);
}

async function shake(
  client: Partial<HandshakeOptions> = {},
  server: Partial<HandshakeOptions> = {},
): Promise<[string, string]> {
  const pair = await createTlsPair();
  const results = await Promise.all([
    authenticate(rpcOver(pair.client), 'client', optionsOf('miner', client)).catch(
      (error: { code: string }) => error.code,
    ),
    authenticate(rpcOver(pair.server), 'server', optionsOf('maker', server)).catch(
      (error: { code: string }) => error.code,
    ),
  ]);
  await pair.close();
  return results;
}

describe('the handshake', () => {
  it('proves both node keys', async () => {
    expect(await shake()).toEqual([maker.nodeId, miner.nodeId]);
    expect(await shake({ features: [1, 33] })).toEqual([maker.nodeId, miner.nodeId]);
  });

  it('refuses a node key that is not on the list', async () => {
    expect(await shake({ identity: stranger })).toEqual(['unknown_peer', 'unknown_peer']);
  });

  it('refuses a server with another key than expected', async () => {
    const [client] = await shake({}, { identity: stranger });
    expect(client).toBe('unknown_peer');
  });

  it('agrees on the features that both announce, whether as needed or as known', async () => {
    const none: string[][] = [[], []];
    const packed = ['packed_shares'];
    expect(await agreed([1, 3, 5], [])).toEqual(none);
    expect(await agreed([], [1, 3, 5])).toEqual(none);
    expect(await agreed([1], [5, 77])).toEqual(none);
    expect(await agreed([0, 5], [1, 3])).toEqual([packed, packed]);
    expect(await agreed([5, 3, 1], [1, 5])).toEqual([
      ['packed_shares', 'terms_v3'],
      ['packed_shares', 'terms_v3'],
    ]);
  });

  it('refuses another chain and a required feature it does not know', async () => {
    const mainnet = { genesisHash: NETWORKS.mainnet.genesisHash };
    expect(await shake(mainnet)).toEqual(['wrong_chain', 'wrong_chain']);
    expect(await shake({ features: [2] })).toEqual(['unsupported', 'unsupported']);
    expect((await shake({}, { features: [4] }))[0]).toBe('unsupported');
    expect(await shake({ features: [64] }, { features: [1, 3, 5] })).toEqual([
      'unsupported',
      'unsupported',
    ]);
  });

  it('refuses a peer that claims a key it does not hold', async () => {
    const impostor = { nodeId: miner.nodeId, sign: stranger.sign };
    expect(await shake({ identity: impostor })).toEqual(['unauthenticated', 'unauthenticated']);
    const [client] = await shake({}, { identity: { nodeId: maker.nodeId, sign: stranger.sign } });
    expect(client).toBe('unauthenticated');
    expect(await shake({ identity: maker })).toEqual(['unauthenticated', 'unauthenticated']);
  });

  it('refuses signatures replayed on another TLS connection', async () => {
    const first = await createTlsPair();
    const second = await createTlsPair();
    const server = authenticate(rpcOver(second.server), 'server', optionsOf('maker'));
    const outcome = server.catch((error: { code: string }) => error.code);
    const peer = rpcOver(second.client);
    peer.serve({ ping: async () => ({}) }, 'unauthenticated');
    const hello = {
      protocol: 1,
      chainHash: NETWORKS.regtest.genesisHash,
      nodeId: miner.nodeId,
      features: [],
      nonce: '11'.repeat(32),
    };
    const theirs = (await peer.request('session.hello', {
      protocol: 1,
      chain_hash: hello.chainHash,
      node_id: hello.nodeId,
      features: [],
      nonce: hello.nonce,
    })) as { node_id: string; nonce: string };
    const serverHello = { ...hello, nodeId: theirs.node_id, nonce: theirs.nonce };
    // A man in the middle forwards both hellos, and the signature the miner made for its own connection.
    const relayed = miner.sign(authDigest('client', hello, serverHello, first.client.exporter));
    await expect(peer.request('session.auth', { signature: toHex(relayed) })).rejects.toMatchObject({
      code: 'unauthenticated',
    });
    expect(await outcome).toBe('unauthenticated');
    await Promise.all([first.close(), second.close()]);
  });

  it('answers nothing before the peer is proven', async () => {
    const pair = await createTlsPair();
    const outcome = authenticate(rpcOver(pair.server), 'server', optionsOf('maker')).catch(
      (error: { code: string }) => error.code,
    );
    const peer = rpcOver(pair.client);
    peer.serve({ ping: async () => ({}) }, 'unauthenticated');
    for (const method of ['ping', 'contract.propose', 'state.sign', 'toString']) {
      await expect(peer.request(method, {})).rejects.toMatchObject({ code: 'unauthenticated' });
    }
    await expect(peer.request('session.auth', { signature: '00'.repeat(64) })).rejects.toMatchObject({
      code: 'unauthenticated',
    });
    expect(await outcome).toBe('unauthenticated');
    await pair.close();
  });

  it('gives up on a peer that says nothing', async () => {
    const pair = await createTlsPair();
    const server = authenticate(rpcOver(pair.server), 'server', optionsOf('maker', { timeoutMs: 50 }));
    await expect(server).rejects.toMatchObject({ code: 'peer_timeout' });
    await pair.close();
  });
});
