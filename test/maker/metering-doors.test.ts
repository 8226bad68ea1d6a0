import { afterEach, describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import { nodeIdBytes, SeedSigner } from '../../src/channel/signer.ts';
import { call, handler } from '../../src/peer/calls.ts';
import type { MethodName, Params } from '../../src/peer/messages.ts';
import type { RpcHandlers, RpcPeer } from '../../src/peer/rpc-peer.ts';
import { signTerms } from '../../src/settlement/opening.ts';
import { jobRecordOf } from '../../src/work/evidence.ts';
import { connectAsMiner } from './impostors.ts';
import { Stand } from './metering-stand.ts';
import { sellOver } from './wire-work.ts';
import { SHARE, seedOf, until } from './world.ts';

const stranger = new SeedSigner({ seed: seedOf('stranger'), network: 'regtest' });
const W = SHARE.workHashes;

let stand: Stand;
let peer: RpcPeer;
const peers: RpcPeer[] = [];
afterEach(async () => {
  for (const each of peers.splice(0)) each.close(new CodedError('protocol', 'the test is over'));
  await stand.stop();
});

async function connected(handlers: RpcHandlers = {}, signer?: SeedSigner): Promise<RpcPeer> {
  const made = await connectAsMiner(stand.world, signer, handlers);
  peers.push(made);
  return made;
}

const ask = <M extends MethodName>(method: M, params: Params<M>, over = peer): Promise<string> =>
  call(over, method, params).then(() => 'answered', codeOf);

const propose = (over = peer, signer = stand.world.minerSigner): Promise<string> =>
  ask('contract.propose', { terms: stand.terms, signature: signTerms(stand.terms, signer) }, over);

async function agreed(): Promise<void> {
  stand = new Stand({}, { hasChain: false });
  const { world } = stand;
  await world.startMaker({
    ...{
      hasChain: false,
      allowedNodeIds: new Set([world.terms.minerNodeId, toHex(nodeIdBytes(stranger))]),
    },
  });
  peer = await connected();
  expect(await propose()).toBe('answered');
}

describe('a metering that is proposed', () => {
  it('is one contract however often, signed by its miner alone, and known to nobody else', async () => {
    await agreed();
    const signature = signTerms(stand.terms, stand.world.minerSigner);
    const [one, two] = [
      await call(peer, 'contract.propose', { terms: stand.terms, signature }),
      await call(peer, 'contract.propose', { terms: stand.terms, signature: '00'.repeat(64) }),
    ];
    expect(two).toEqual(one);
    expect(stand.world.maker.metering).toHaveLength(1);
    const other = await connected({}, stranger);
    expect(await propose(other, stranger)).toBe('bad_terms');
    const { contractId } = stand;
    expect(await ask('meter.attach', { contractId }, other)).toBe('unknown_channel');
    expect(await ask('meter.end', { contractId }, other)).toBe('unknown_channel');
    const forged = { ...stand.terms, nonceHex: 'ee'.repeat(16) };
    const bad = { terms: forged, signature: signTerms(forged, stranger) };
    expect(await ask('contract.propose', bad)).toBe('bad_signature');
    expect(stand.world.maker.metering).toHaveLength(1);
  });

  it('is known to the maker alone by its id', async () => {
    await agreed();
    const { maker } = stand.world;
    expect(await maker.endMetering('ab').catch(codeOf)).toBe('unknown_channel');
    expect(maker.termsOf(stand.contractId)).toBe(undefined);
    expect(stand.maker).toEqual({
      ...{ contractId: stand.contractId, minerNodeId: stand.terms.minerNodeId, connected: false },
      ...{ status: 'live', endReason: undefined, workTotalHashes: stand.terms.workTotalHashes },
      ...{ verifiedWorkHashes: 0n, totals: 0, signedWorkHashes: 0n, sharesCredited: 0, refused: {} },
    });
  });
});

describe('a metering', () => {
  it('hears nothing before it is attached, and then its newest connection alone', async () => {
    await agreed();
    const { contractId, world } = stand;
    const job = jobRecordOf(world.job({ stream: contractId }));
    expect(await ask('job.announce', { contractId, job })).toBe('protocol');
    expect(await ask('meter.end', { contractId })).toBe('protocol');
    expect(await call(peer, 'meter.attach', { contractId })).toEqual({
      ...{ nextSeq: 0, verifiedWork: 0n, isEnded: false },
    });
    await until('attached', () => stand.maker!.connected);
    expect(await sellOver(world, peer, { contractId, firstSeq: 0, count: 2 })).toMatchObject({
      ...{ nextSeq: 2, verifiedWork: 2n * W, refused: [] },
    });
    const newer = await connected();
    expect(await ask('job.announce', { contractId, job }, newer)).toBe('protocol');
    expect(await call(newer, 'meter.attach', { contractId })).toMatchObject({ nextSeq: 2 });
    await peer.closed;
    expect(await ask('job.announce', { contractId, job }, newer)).toBe('answered');
    expect(stand.maker).toMatchObject({ connected: true, sharesCredited: 2, verifiedWorkHashes: 2n * W });
    newer.close(new CodedError('protocol', 'away'));
    await until('away', () => !stand.maker!.connected);
  });

  it('that ended takes no work, says so to who attaches, and ends once', async () => {
    await agreed();
    const { contractId, world } = stand;
    await call(peer, 'meter.attach', { contractId });
    expect(await ask('meter.end', { contractId })).toBe('answered');
    expect(stand.maker).toMatchObject({ status: 'ended', endReason: 'asked' });
    const sold = sellOver(world, peer, { contractId, firstSeq: 0, count: 1 });
    expect(await sold.catch(codeOf)).toBe('wrong_status');
    expect(await ask('meter.end', { contractId })).toBe('answered');
    expect(await call(peer, 'meter.attach', { contractId })).toMatchObject({ isEnded: true });
    // So it stays after a start.
    await world.maker.close();
    await world.startMaker({ hasChain: false });
    expect(stand.maker).toMatchObject({ status: 'ended', endReason: 'asked' });
  });

  it.each([
    ['an error', () => Promise.reject(new CodedError('bad_commitment'))],
    ['no signature', () => Promise.resolve({})],
    ['a signature of another', () => Promise.resolve({ signature: '11'.repeat(64) })],
  ] as const)(
    'whose total the miner answers with %s is offered once a connection, the same',
    async (_, answer) => {
      await agreed();
      const { contractId, world } = stand;
      const offered: unknown[] = [];
      const signing: RpcHandlers = {
        'meter.sign': handler('meter.sign', async (total) => {
          offered.push(total);
          return answer();
        }),
      };
      peer = await connected(signing);
      await call(peer, 'meter.attach', { contractId });
      await until('attached', () => stand.maker!.connected);
      await sellOver(world, peer, { contractId, firstSeq: 0, count: 4 });
      await until('offered', () => offered.length === 1);
      await sellOver(world, peer, { contractId, firstSeq: 4, count: 4 });
      await world.rest();
      expect([offered.length, stand.maker!.totals]).toEqual([1, 0]);
      peer = await connected(signing);
      expect(await call(peer, 'meter.attach', { contractId })).toMatchObject({ nextSeq: 8 });
      await until('offered again', () => offered.length === 2);
      // One number has one content, whatever came since.
      expect(offered[1]).toEqual(offered[0]);
      expect(offered[0]).toMatchObject({ n: 1, workHashes: 4n * W });
      // The end waits for nobody who refuses.
      expect(await ask('meter.end', { contractId })).toBe('answered');
      expect(stand.maker).toMatchObject({ status: 'ended', totals: 0, verifiedWorkHashes: 8n * W });
    },
  );
});
