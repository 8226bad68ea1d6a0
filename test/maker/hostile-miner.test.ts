import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { SeedSigner } from '../../src/channel/signer.ts';
import type { SignedState } from '../../src/channel/states.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { call, handler } from '../../src/peer/calls.ts';
import { authenticate } from '../../src/peer/handshake.ts';
import type { MethodName, Params, WireShare } from '../../src/peer/messages.ts';
import { RpcPeer } from '../../src/peer/rpc-peer.ts';
import { connectPeer, DEFAULT_TRANSPORT } from '../../src/peer/transport.ts';
import { identityOfSigner, signTerms } from '../../src/settlement/opening.ts';
import { loadContract } from '../../src/settlement/records.ts';
import { jobDocument, jobRecordOf, parseJobDocument } from '../../src/work/evidence.ts';
import { ShareRows } from '../../src/work/share-rows.ts';
import { RPC, random } from '../peer/tls-pair.ts';
import { SHARE, seedOf, until, World } from './world.ts';

describe('a miner that sends what it should not', () => {
  const world = new World();
  const stranger = new SeedSigner({ seed: seedOf('stranger'), network: 'regtest' });
  let peer: RpcPeer;
  let last: SignedState;
  let nextSeq: number;

  async function connect(signer: SeedSigner): Promise<RpcPeer> {
    const target = { host: '127.0.0.1', port: world.port, connectTimeoutMs: 5_000 };
    const made = new RpcPeer(
      await connectPeer({ ...DEFAULT_TRANSPORT, ...target }, { timers: systemTimers }),
      RPC,
      { timers: systemTimers, log: silentLogger },
    );
    await authenticate(made, 'client', {
      timers: systemTimers,
      identity: identityOfSigner(signer),
      genesisHash: world.chain.blockAt(0)!.hash,
      features: [],
      isKnown: () => true,
      random,
      timeoutMs: 5_000,
    });
    const ready = handler('channel.ready', async () => ({}));
    made.serve({ ping: async () => ({}), 'channel.ready': ready }, 'unknown_method');
    return made;
  }

  /** The code of the maker's answer. */
  async function ask<M extends MethodName>(method: M, params: Params<M>, over = peer): Promise<string> {
    return call(over, method, params).then(() => 'answered', codeOf);
  }

  const { contractId } = world;
  const share = (changes: Partial<WireShare> = {}): WireShare => ({
    jobId: 12345,
    difficulty: SHARE.difficulty,
    extranonce1: new Uint8Array(4),
    extranonce2: new Uint8Array(4),
    ntime: 1,
    nonce: 1,
    version: 1,
    ...changes,
  });

  beforeAll(async () => {
    await world.startMaker({ allowedNodeIds: new Set([world.terms.minerNodeId, strangerId()]) });
    await world.startMiner();
    await until('funding broadcast', () => world.chain.mempoolEntries().length > 0);
    world.chain.generate(2);
    await until('live', () => world.miner.status.live);
    await world.work(4);
    await until('state 1', () => world.maker.status[0]!.ackedN === 1);
    last = (await loadContract(world.minerStore, contractId))!.last!;
    await world.miner.stop();
    nextSeq = world.meters.total(contractId).seq;
    peer = await connect(world.minerSigner);
  });
  afterAll(async () => {
    peer.close();
    await world.stop();
  });

  function strangerId(): string {
    return identityOfSigner(stranger).nodeId;
  }

  it('over one connection too many loses the oldest, and costs no other miner any', async () => {
    const made: RpcPeer[] = [];
    for (let at = 0; at < LIMITS.peerConnectionsPerNode; at += 1) made.push(await connect(stranger));
    expect(world.maker.stats.limitHits).toEqual({});
    made.push(await connect(stranger));
    await made[0]!.closed;
    expect(world.maker.stats.limitHits).toEqual({ peerConnectionsPerNode: 1 });
    for (const other of [made[1]!, made.at(-1)!, peer]) expect(await other.request('ping', {})).toEqual({});
    for (const each of made) each.close();
  });

  it('must reestablish before anything else', async () => {
    const batch = { contractId, firstSeq: nextSeq, shares: ShareRows.of([share()]), workTotal: 0n };
    expect(await ask('work.batch', batch)).toBe('protocol');
    expect(await ask('channel.shutdown', { contractId })).toBe('protocol');
    const close = { contractId, n: 1, feeSat: 1000n, signature: '00'.repeat(64) };
    expect(await ask('close.sig', close)).toBe('protocol');
  });

  it('cannot reach the contract of another node', async () => {
    const other = await connect(stranger);
    const { n } = last;
    expect(await ask('channel.reestablish', { contractId, n, state: last, nextSeq }, other)).toBe(
      'unknown_channel',
    );
    expect(await ask('channel.shutdown', { contractId }, other)).toBe('unknown_channel');
    const { terms } = world;
    const proposal = { terms, signature: signTerms(terms, stranger) };
    expect(await ask('contract.propose', proposal, other)).toBe('bad_terms');
    other.close();
  });

  it('cannot propose terms it did not sign', async () => {
    const terms = { ...world.terms, nonceHex: 'ff'.repeat(16) };
    const signature = signTerms(terms, stranger);
    expect(await ask('contract.propose', { terms, signature })).toBe('bad_signature');
    expect(await world.makerStore.list('contract')).toHaveLength(1);
  });

  it('cannot claim a newer state without the proof of the maker', async () => {
    const claim = (n: number, state: SignedState | undefined): Promise<string> =>
      ask('channel.reestablish', { contractId, n, state, nextSeq });
    expect(await claim(2, undefined)).toBe('wrong_state_number');
    expect(await claim(2, last)).toBe('protocol');
    expect(await claim(2, { ...last, n: 2 })).toBe('bad_signature');
    const paid = { ...last, workHashes: last.workHashes + 1n, paidSat: last.paidSat + 10n };
    expect(await claim(1, paid)).toBe('bad_signature');
    expect(world.maker.status[0]).toMatchObject({ n: 1, frozen: undefined });
  });

  it('cannot send shares out of order, or of jobs nobody announced', async () => {
    const { n } = last;
    expect(await ask('channel.reestablish', { contractId, n, state: last, nextSeq })).toBe('answered');
    const batch = (firstSeq: number): Params<'work.batch'> => {
      return { contractId, firstSeq, shares: ShareRows.of([share()]), workTotal: 0n };
    };
    expect(await ask('work.batch', batch(nextSeq + 1))).toBe('bad_sequence');
    expect(await ask('work.batch', batch(nextSeq - 1))).toBe('bad_sequence');
    expect(await ask('work.batch', batch(0))).toBe('bad_sequence');
    const answer = await call(peer, 'work.batch', batch(nextSeq));
    expect(answer).toEqual({
      nextSeq: nextSeq + 1,
      verifiedWork: 4n * SHARE.workHashes,
      refused: [{ seq: nextSeq, code: 'share_bad' }],
    });
  });

  it('cannot change a job it announced', async () => {
    const job = parseJobDocument(jobDocument(jobRecordOf(world.job())));
    expect(await ask('job.announce', { contractId, job })).toBe('answered');
    expect(await ask('job.announce', { contractId, job })).toBe('answered');
    expect(await ask('job.announce', { contractId, job: { ...job, time: job.time + 1 } })).toBe(
      'equivocation',
    );
  });

  it('cannot close at another state, with another signature, or at a fee nobody would pay', async () => {
    const signature = '11'.repeat(64);
    const close = { contractId, n: 1, feeSat: 1000n, signature };
    expect(await ask('close.sig', { ...close, n: 0 })).toBe('wrong_state_number');
    expect(await ask('close.sig', close)).toBe('bad_signature');
    expect(await ask('close.sig', { ...close, feeSat: 1n })).toBe('bad_amount');
    expect(await ask('close.sig', { ...close, feeSat: 10n ** 12n })).toBe('bad_amount');
    expect(world.maker.status[0]!.channel).toBe('open');
    expect(world.chain.mempoolEntries()).toEqual([]);
  });

  it('cannot open its channel again with other parameters', async () => {
    const { opening } = (await loadContract(world.minerStore, contractId))!;
    const { open } = opening!;
    const again = { ...open, payoutScript: Uint8Array.of(0, 20, ...new Uint8Array(20)) };
    expect(await ask('channel.open', again)).toBe('bad_funding');
    expect(await call(peer, 'channel.open', open)).toEqual(opening!.accept);
  });
});
