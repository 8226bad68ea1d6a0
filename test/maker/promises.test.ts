import { afterEach, describe, expect, it } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import type { ContractTerms } from '../../src/contract/terms.ts';
import { call } from '../../src/peer/calls.ts';
import type { RpcPeer } from '../../src/peer/rpc-peer.ts';
import { signTerms } from '../../src/settlement/opening.ts';
import { connectAsMiner } from './impostors.ts';
import { until, World } from './world.ts';

describe('a proposal that is never opened', () => {
  let world: World;
  afterEach(() => world.stop());

  const termsOf = (nonce: string): ContractTerms => ({ ...world.terms, nonceHex: nonce.repeat(16) });
  const propose = (peer: RpcPeer, nonce: string): Promise<string> => {
    const terms = termsOf(nonce);
    const signature = signTerms(terms, world.minerSigner);
    return call(peer, 'contract.propose', { terms, signature }).then(() => 'answered', codeOf);
  };

  it('holds a budget for some minutes, and none after them', async () => {
    world = new World();
    let laterMs = 0;
    const clock = {
      nowMs: () => Date.now() + laterMs,
      monotonicMs: () => performance.now() + laterMs,
    };
    await world.startMaker({}, { clock });
    const peer = await connectAsMiner(world);
    expect([await propose(peer, 'a1'), await propose(peer, 'a2')]).toEqual(['answered', 'answered']);
    expect(await propose(peer, 'a3')).toBe('bad_terms');
    laterMs = 10 * 60_000 + 1000;
    expect(await propose(peer, 'a3')).toBe('answered');
    peer.close();
  });

  it('holds none after a restart, and the honest miner is served', async () => {
    world = new World();
    await world.startMaker();
    const peer = await connectAsMiner(world);
    expect([await propose(peer, 'b1'), await propose(peer, 'b2')]).toEqual(['answered', 'answered']);
    peer.close();
    await world.restartMaker();
    await world.startMiner();
    await until('funding broadcast', () => world.chain.mempoolEntries().length > 0);
  });
});
