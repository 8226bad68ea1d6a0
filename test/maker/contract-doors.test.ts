import { afterEach, describe, expect, it } from 'vitest';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import { owedSat } from '../../src/base/units.ts';
import { signClose } from '../../src/channel/close.ts';
import { SeedSigner } from '../../src/channel/signer.ts';
import type { SignedState } from '../../src/channel/states.ts';
import type { MakerDeps } from '../../src/maker/maker-options.ts';
import { call, handler } from '../../src/peer/calls.ts';
import type { MethodName, Params, Result } from '../../src/peer/messages.ts';
import type { RpcHandlers, RpcPeer } from '../../src/peer/rpc-peer.ts';
import { assembleChannel, signTerms } from '../../src/settlement/opening.ts';
import { loadContract } from '../../src/settlement/records.ts';
import { jobRecordOf } from '../../src/work/evidence.ts';
import { ShareRows } from '../../src/work/share-rows.ts';
import { recorder } from '../chain/log-recorder.ts';
import { connectAsMiner } from './impostors.ts';
import { sellOver } from './wire-work.ts';
import { SHARE, seedOf, until, World, type WorldOptions } from './world.ts';

let world: World;
let peer: RpcPeer;
afterEach(async () => {
  peer.close(new CodedError('protocol', 'the test is over'));
  await world.stop();
});

const ask = <M extends MethodName>(method: M, params: Params<M>, over = peer): Promise<string> =>
  call(over, method, params).then(() => 'answered', codeOf);

/** A channel with a state that both signed, whose miner is ours from then on. */
async function paid(options: WorldOptions = {}, deps: Partial<MakerDeps> = {}): Promise<void> {
  world = new World(options);
  await world.open();
  if (deps.log !== undefined) await world.restartMaker(deps);
  await until('both', () => world.miner.status.live && world.maker.status[0]?.connected === true);
  await world.work(4);
  await until('state 1', () => world.maker.status[0]!.ackedN === 1);
  await world.miner.stop();
  await until('away', () => !world.maker.status[0]!.connected);
  peer = await connectAsMiner(world);
}

async function reestablished(over = peer): Promise<string> {
  const { last: state } = (await loadContract(world.minerStore, world.contractId))!;
  const nextSeq = world.meters.total(world.contractId).seq;
  return ask('channel.reestablish', { contractId: world.contractId, n: 1, state, nextSeq }, over);
}

async function closeAt(feeSat: bigint): Promise<Params<'close.sig'>> {
  const { contract, opening, last } = (await loadContract(world.minerStore, world.contractId))!;
  const { params } = assembleChannel(contract.terms, opening!.open, opening!.accept!);
  const signer = world.minerSigner.forChannel(contract.channelIndex);
  const signature = signClose(params, last!, feeSat, 'miner', signer);
  return { contractId: world.contractId, n: last!.n, feeSat, signature };
}

/** Everything a miner may ask of a running contract, each refused before it is reestablished. */
async function asked(over = peer): Promise<Readonly<Record<string, string>>> {
  const { contractId } = world;
  const instance = 'aa'.repeat(16);
  const share = { ntime: 1, nonce: 1, version: 1 };
  const parts = { extranonce1: new Uint8Array(4), extranonce2: new Uint8Array(4) };
  const shares = [{ jobId: 12_345, difficulty: SHARE.difficulty, ...parts, ...share }];
  const job = jobRecordOf(world.job());
  const extranonce = new Uint8Array(8);
  return {
    job: await ask('job.announce', { contractId, job }, over),
    batch: await ask(
      'work.batch',
      { contractId, firstSeq: 0, shares: ShareRows.of(shares), workTotal: 0n },
      over,
    ),
    subscribe: await ask('work.subscribe', { contractId, instance }, over),
    solution: await ask(
      'work.solution',
      { contractId, instance, id: 1, extranonce2: extranonce, ...share },
      over,
    ),
    block: await ask('work.block', { contractId, job, extranonce, ...share }, over),
    minutes: await ask('delivery.minutes', { contractId, next: 0, reports: [] } as never, over),
    resume: await ask('contract.resume', { contractId }, over),
  };
}

const NOT_HEARD = {
  ...{ job: 'protocol', batch: 'protocol' },
  // Jobs are given over any connection of the miner.
  ...{ subscribe: 'wrong_status', solution: 'wrong_status' },
  ...{ block: 'protocol', minutes: 'protocol', resume: 'protocol' },
};
/** What the coinbase binds has no jobs of the maker, no blocks for it, and no rules of delivery. */
const HEARD = {
  ...{ job: 'answered', batch: 'bad_sequence', subscribe: 'wrong_status', solution: 'wrong_status' },
  ...{ block: 'wrong_status', minutes: 'wrong_status', resume: 'answered' },
};

describe('a contract that is only proposed', () => {
  it('has no channel that anything could be asked of', async () => {
    world = new World();
    await world.startMaker();
    peer = await connectAsMiner(world);
    const { terms, contractId } = world;
    expect(await ask('contract.propose', { terms, signature: signTerms(terms, world.minerSigner) })).toBe(
      'answered',
    );
    expect(await ask('channel.reestablish', { contractId, n: 0, state: undefined, nextSeq: 0 })).toBe(
      'unknown_channel',
    );
    expect(await ask('peer_storage.put', { contractId, blob: 'AAAA' })).toBe('unknown_channel');
    expect(await ask('channel.tx_signatures', { contractId, psbt: 'cHNidP8=' })).toBe('unknown_channel');
    expect(await ask('channel.shutdown', { contractId })).toBe('protocol');
    expect(world.maker.status).toMatchObject([{ channel: 'none', n: -1, ackedN: -1, paidSat: 0n }]);
    expect(world.maker.status[0]).toMatchObject({ fundingTxid: undefined, fundingDepth: 0 });
  });
});

describe('a channel', () => {
  it('hears nothing before it is reestablished, and then what its terms have alone', async () => {
    await paid();
    const { contractId } = world;
    const txid = world.maker.status[0]!.fundingTxid!;
    const ready = (of: string): Promise<string> =>
      ask('channel.ready', { contractId, txid: of, height: 0 });
    expect(await asked()).toEqual(NOT_HEARD);
    expect([await ready('11'.repeat(32)), await ready(txid)]).toEqual(['bad_funding', 'protocol']);
    expect(await reestablished()).toBe('answered');
    expect(world.maker.status[0]!.connected).toBe(true);
    expect(await asked()).toEqual(HEARD);
    expect([await ready('11'.repeat(32)), await ready(txid)]).toEqual(['bad_funding', 'answered']);
  });

  it('is heard over its newest connection alone: the one before is ended', async () => {
    await paid();
    await reestablished();
    const newer = await connectAsMiner(world);
    expect(await asked(newer)).toEqual(NOT_HEARD);
    expect(await reestablished(newer)).toBe('answered');
    await peer.closed;
    expect(await asked(newer)).toEqual(HEARD);
    // The end of the old one is none of the contract's.
    await world.rest();
    expect(world.maker.status[0]!.connected).toBe(true);
    newer.close(new CodedError('protocol', 'away'));
    await until('away', () => !world.maker.status[0]!.connected);
  });

  it('is closed once: asked again, whatever for, the answer is the same close', async () => {
    await paid();
    await reestablished();
    const close = await closeAt(1_000n);
    const { closeTx } = await call(peer, 'close.sig', close);
    expect(world.chain.mempoolEntries()).toHaveLength(1);
    expect((await call(peer, 'close.sig', close)).closeTx).toBe(closeTx);
    expect((await call(peer, 'close.sig', await closeAt(2_000n))).closeTx).toBe(closeTx);
    expect((await call(peer, 'close.sig', { ...close, n: 7 })).closeTx).toBe(closeTx);
    expect(world.chain.mempoolEntries()).toHaveLength(1);
    expect(world.maker.status[0]!.channel).toBe('closing');
  });

  it('that is spent in another way has no close to be signed', async () => {
    world = new World();
    await world.open();
    await world.work(4);
    await until('state 1', () => world.maker.status[0]!.ackedN === 1);
    const close = await closeAt(1_000n);
    await world.miner.closeAlone();
    await world.miner.stop();
    world.chain.generate(1);
    await until('seen', () => world.maker.status[0]!.channel === 'closing');
    peer = await connectAsMiner(world);
    await reestablished();
    expect(await ask('close.sig', close)).toBe('unknown_channel');
    expect(world.chain.mempoolEntries()).toEqual([]);
  });

  it('that its maker would close is asked for where its miner is, and says where it is not', async () => {
    await paid();
    const said = (): Promise<string> =>
      world.maker.requestClose(world.contractId).then(() => 'asked', codeOf);
    expect(await said()).toBe('peer_closed');
    peer.close(new CodedError('protocol', 'away'));
    let shut = 0;
    peer = await connectAsMiner(world, world.minerSigner, {
      'channel.shutdown': async () => {
        shut += 1;
        return { n: 1 };
      },
    });
    await reestablished();
    expect([await said(), shut]).toEqual(['asked', 1]);
  });
});

describe('a maker', () => {
  it('serves a miner that is listed no more while its channel is open, and counts whom it refuses', async () => {
    await paid();
    peer.close(new CodedError('protocol', 'away'));
    await world.maker.close();
    await world.startMaker({ allowedNodeIds: new Set() });
    peer = await connectAsMiner(world);
    expect(await reestablished()).toBe('answered');
    const { terms } = world;
    const more = { ...terms, nonceHex: 'ab'.repeat(16) };
    const proposal = { terms: more, signature: signTerms(more, world.minerSigner) };
    expect(await ask('contract.propose', proposal)).toBe('bad_terms');
    const stranger = new SeedSigner({ seed: seedOf('stranger'), network: 'regtest' });
    await expect(connectAsMiner(world, stranger)).rejects.toThrow();
    await until('counted', () => Object.keys(world.maker.stats.refused).length > 0);
    expect(world.maker.stats).toMatchObject({ connections: 1, refused: { unknown_peer: 1 } });
  });

  it('says of a contract what it is, to the sat', async () => {
    await paid();
    const [status] = world.maker.status;
    const { luck, fundingTxid, ...rest } = status!;
    const paidSat = owedSat(4n * SHARE.workHashes, world.terms.priceMsatPerEh);
    expect(rest).toEqual({
      ...{ contractId: world.contractId, minerNodeId: world.terms.minerNodeId, connected: false },
      ...{ channel: 'open', stream: 'live', verifiedWorkHashes: 4n * SHARE.workHashes },
      ...{ unsignedWorkHashes: 0n, n: 1, ackedN: 1, paidSat, sharesCredited: 4, refused: {} },
      ...{ work: undefined, blocks: undefined, fundingDepth: 2, seal: 'none', beads: undefined },
      ...{ frozen: undefined, fault: undefined, delivery: undefined, auditor: undefined },
      ...{ workTotalHashes: world.terms.workTotalHashes, expiryHeight: world.terms.expiryHeight },
      unsignedSat: 0n,
      balance: {
        minerSat: world.terms.minerReserveSat + paidSat,
        makerSat: world.terms.reserveSat + world.terms.budgetSat - paidSat,
      },
      notices: {
        ...{ curtailedBlocks: 0, writtenOffSat: undefined },
        pauses: { miner: undefined, maker: undefined },
        ends: { miner: undefined, maker: undefined },
      },
    });
    expect(luck.block.expectedAtto).toBeGreaterThan(0n);
    expect(fundingTxid).toMatch(/^[0-9a-f]{64}$/);
    expect(world.maker.termsOf(world.contractId)).toEqual(world.proposed);
    expect([world.maker.isSuspended, world.maker.rememberedHashes]).toEqual([false, 4]);
  });
});

describe('a state that is offered', () => {
  /** A miner that answers for states as the test says, and takes part in the rest. */
  async function sold(answer: (n: number) => Promise<Result<'state.sign'>>) {
    const { log, lines } = recorder();
    await paid({}, { log });
    const said = (): unknown[] =>
      lines.flatMap(([, { code }, text]) => (text === 'the miner did not follow' ? [code] : []));
    const offered: SignedState[] = [];
    const signing: RpcHandlers = {
      'state.sign': handler('state.sign', async ({ state }) => {
        offered.push(state);
        return answer(state.n);
      }),
    };
    const { contractId } = world;
    const again = async (): Promise<void> => {
      peer = await connectAsMiner(world, world.minerSigner, signing);
      await reestablished();
      const txid = world.maker.status[0]!.fundingTxid!;
      await ask('channel.ready', { contractId, txid, height: 0 });
    };
    peer.close(new CodedError('protocol', 'away'));
    await again();
    await sellOver(world, peer, { contractId, firstSeq: 4, count: 4 });
    await until('offered', () => offered.length === 1);
    return { offered, again, said };
  }

  it.each<[string, (n: number) => Promise<Result<'state.sign'>>, string]>([
    ['an ack of another', async (n) => ({ n: n + 1, ackSignature: '11'.repeat(64) }), 'wrong_state_number'],
    ['an ack that nobody signed', async (n) => ({ n, ackSignature: '11'.repeat(64) }), 'bad_signature'],
    ['an error', () => Promise.reject(new CodedError('bad_signature')), 'bad_signature'],
  ])('and answered with %s ends the connection, and is offered again the same', async (_, answer, code) => {
    const { offered, again, said } = await sold(answer);
    await peer.closed;
    await until('away', () => !world.maker.status[0]!.connected);
    expect(said()).toEqual([code]);
    expect(world.maker.status[0]).toMatchObject({ n: 2, ackedN: 1, channel: 'open', frozen: undefined });
    await again();
    await until('offered again', () => offered.length === 2);
    expect(offered[1]).toEqual(offered[0]);
  });
});
