import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import type { ChannelParams } from '../../src/channel/params.ts';
import { type SignedSealClaim, signSealClaim, verifySealClaim } from '../../src/channel/seal.ts';
import { ShareTree } from '../../src/channel/share-tree.ts';
import { signState } from '../../src/channel/states.ts';
import { call, handler } from '../../src/peer/calls.ts';
import type { Params } from '../../src/peer/messages.ts';
import type { RpcPeer } from '../../src/peer/rpc-peer.ts';
import { assembleChannel } from '../../src/settlement/opening.ts';
import type { ContractRecord } from '../../src/settlement/records.ts';
import { loadContract } from '../../src/settlement/records.ts';
import { jobDocumentId, parseJobDocument, unpackShares } from '../../src/work/evidence.ts';
import { ShareRows } from '../../src/work/share-rows.ts';
import { connectAsMiner, serveAsMaker } from './impostors.ts';
import { MortalLedger, SHARE, seedOf, until, World } from './world.ts';

function worldWithSeal(): World {
  return new World({
    terms: { seal: { sealSat: 3000n, claimFeeRateSatPerKvb: 2000 } },
    policy: {
      stakes: {
        ...{ bondModes: ['none'], maxMakerBondSat: 0n, minCollateralSat: 0n, auditorKeysHex: [] },
        ...{ minBondCsvBlocks: 1, maxBondCsvBlocks: 2016, seal: 'required' },
        ...{ minClaimFeeRateSatPerKvb: 1000, earlyClose: 'refused' },
      },
    },
  });
}

async function opened(): Promise<{ world: World; params: ChannelParams; contract: ContractRecord }> {
  const world = worldWithSeal();
  await world.open();
  await world.work(4);
  await until('state 1', () => world.maker.status[0]!.ackedN === 1);
  const { opening, contract } = (await loadContract(world.makerStore, world.contractId))!;
  const { params } = assembleChannel(contract.terms, opening!.open, opening!.accept!);
  return { world, params, contract };
}

describe('a maker that asks for claims it has no right to', () => {
  let world: World;
  let params: ChannelParams;
  let contract: ContractRecord;
  let peer: RpcPeer | undefined;
  let close: () => Promise<void>;
  let hashes: Uint8Array[];

  beforeAll(async () => {
    ({ world, params, contract } = await opened());
    await world.maker.close();
    await world.deliver(world.find(world.job(), 4));
    await world.miner.stop();
    const rows = await world.minerStore.readLog('share', world.contractId, 0, 100);
    hashes = rows.flatMap(({ body }) => unpackShares(body).map(({ hash }) => hash));
    const reestablish = handler('channel.reestablish', async ({ n, nextSeq }) => {
      return { n, state: undefined, nextSeq, verifiedWork: 4n * SHARE.workHashes };
    });
    const handlers = { 'channel.reestablish': reestablish };
    close = await serveAsMaker(world, handlers, (made) => {
      peer = made;
    });
    world.minerLedger = new MortalLedger(world.minerStore);
    await world.startMiner();
    await until('connected', () => peer !== undefined && world.miner.status.connected);
  });
  afterAll(async () => {
    await world.miner.stop();
    await close();
  });

  const rootOf = (indexes: readonly number[]): Uint8Array => {
    const tree = new ShareTree();
    for (const index of indexes) tree.append(hashes[index]!);
    return tree.root();
  };
  const honest = (changes: Partial<Params<'seal.claim'>> = {}): Params<'seal.claim'> => ({
    contractId: world.contractId,
    n: 2,
    workHashes: 8n * SHARE.workHashes,
    nextSeq: 8,
    refused: [],
    shareRoot: rootOf([0, 1, 2, 3, 4, 5, 6, 7]),
    ...changes,
  });
  const ask = async (request: Params<'seal.claim'>): Promise<string> =>
    call(peer!, 'seal.claim', request).then(() => 'given', codeOf);

  it.each<[string, Partial<Params<'seal.claim'>>, string]>([
    ['of more work than the shares have', { workHashes: 9n * SHARE.workHashes }, 'bad_amount'],
    ['of less work than the shares have', { workHashes: 7n * SHARE.workHashes }, 'bad_amount'],
    ['of another root', { shareRoot: seedOf('root') }, 'bad_amount'],
    ['of shares it says it refused', { refused: [{ first: 5, count: 1 }] }, 'bad_amount'],
    ['of shares that were never made', { nextSeq: 9 }, 'bad_sequence'],
    ['of fewer shares than before', { nextSeq: 3 }, 'bad_sequence'],
    ['for a state that is paid', { n: 1 }, 'equivocation'],
    ['for a state that is not the next', { n: 3 }, 'wrong_state_number'],
    ['before the last', { n: 0 }, 'wrong_state_number'],
    ['of another contract', { contractId: '11'.repeat(32) }, 'unknown_channel'],
  ])('%s: nothing is signed', async (_name, changes, code) => {
    const before = await world.minerStore.get('seal', world.contractId);
    expect(await ask(honest(changes))).toBe(code);
    expect(await world.minerStore.get('seal', world.contractId)).toBe(before);
  });

  it('that are as the own log says are given once: again the same, never another of that number', async () => {
    // The last share of its row is not claimed yet.
    const work = { nextSeq: 7, refused: [{ first: 5, count: 1 }], workHashes: 6n * SHARE.workHashes };
    const request = honest({ ...work, shareRoot: rootOf([0, 1, 2, 3, 4, 6]) });
    const { claim } = await call(peer!, 'seal.claim', request);
    verifySealClaim(params, claim);
    expect(await call(peer!, 'seal.claim', request)).toEqual({ claim });
    expect(await ask(honest())).toBe('equivocation');
  });

  it('and then pays for other work than was claimed: not taken', async () => {
    const keys = world.makerSigner.forChannel(contract.channelIndex);
    const sign = (workHashes: bigint): Promise<string> => {
      const state = signState(params, 2, workHashes, keys);
      const { contractId } = world;
      return call(peer!, 'state.sign', { contractId, state }).then(() => 'taken', codeOf);
    };
    expect(await sign(5n * SHARE.workHashes)).toBe('bad_amount');
    expect(await sign(8n * SHARE.workHashes)).toBe('bad_amount');
    expect(await sign(6n * SHARE.workHashes)).toBe('taken');
  });
});

describe('a miner that shows claims it should not', () => {
  it('is refused, and the newest claim of the maker stays', async () => {
    const { world, params } = await opened();
    await world.miner.stop();
    const { contractId } = world;
    const stored = (await loadContract(world.minerStore, contractId))!;
    const keys = world.minerSigner.forChannel(stored.contract.channelIndex);
    const before = await world.makerStore.get('seal', contractId);
    const tree = new ShareTree();
    tree.append(seedOf('a share'));
    const workHashes = 4n * SHARE.workHashes;
    const show = async (claim: SignedSealClaim, shown = tree): Promise<string> => {
      const peer = await connectAsMiner(world);
      const claimed = { claim, nextSeq: 4, workHashes, tree: shown };
      const { last: state } = stored;
      const request = { contractId, n: 1, state: state!, nextSeq: 4, claimed };
      const code = await call(peer, 'channel.reestablish', request).then(() => 'taken', codeOf);
      peer.close();
      return code;
    };
    const other = signSealClaim(params, { n: 1, workHashes, shareRoot: tree.root() }, keys);
    expect(await show(other)).toBe('equivocation');
    expect(await show(other, new ShareTree())).toBe('bad_amount');
    expect(await show({ ...other, n: 2 })).toBe('bad_signature');
    // Of a state that was never signed: the work behind it may be anything.
    const ahead = signSealClaim(params, { n: 2, workHashes, shareRoot: tree.root() }, keys);
    expect(await show(ahead)).toBe('taken');
    expect(await world.makerStore.get('seal', contractId)).toBe(before);
    await world.stop();
  });

  it('gives another claim than was asked for, or none: it is paid no more', async () => {
    const { world, params } = await opened();
    await world.miner.stop();
    await world.meters.commit(world.minerStore, world.find(world.job(), 4));
    const { contractId } = world;
    const stored = (await loadContract(world.minerStore, contractId))!;
    const keys = world.minerSigner.forChannel(stored.contract.channelIndex);
    // As the miner's side does, but for its answers to the maker's questions.
    const answers: ((asked: Params<'seal.claim'>) => SignedSealClaim)[] = [
      (asked) => signSealClaim(params, { ...asked, workHashes: asked.workHashes - 1n }, keys),
      (asked) => ({ ...signSealClaim(params, asked, keys), signature: '11'.repeat(64) }),
      (asked) => signSealClaim(params, asked, keys),
    ];
    const codes = ['bad_amount', 'bad_signature', undefined];
    for (const [index, answer] of answers.entries()) {
      const peer = await connectAsMiner(world, world.minerSigner, {
        'peer_storage.put': handler('peer_storage.put', async () => ({})),
        'seal.claim': handler('seal.claim', async (asked) => ({ claim: answer(asked) })),
      });
      const request = { contractId, n: 1, state: stored.last!, nextSeq: 4 };
      const { nextSeq } = await call(peer, 'channel.reestablish', request);
      if (nextSeq === 4) await deliverByHand(world, peer);
      if (codes[index] === undefined) {
        await until('signed', () => world.maker.status[0]!.n === 2);
      } else {
        await world.rest();
        expect(world.maker.status[0]!.n).toBe(1);
      }
      peer.close();
      await until('gone', () => !world.maker.status[0]!.connected);
    }
    await world.stop();
  });
});

/** The shares that the maker does not have yet, over a bare connection. */
async function deliverByHand(world: World, peer: RpcPeer): Promise<void> {
  const { contractId } = world;
  const rows = await world.minerStore.readLog('share', contractId, 4, 100);
  const shares = rows.flatMap(({ first, body }) => (first >= 4 ? unpackShares(body) : []));
  for (const { jobId } of shares.slice(0, 1)) {
    const body = await world.minerStore.get('job', jobDocumentId(jobId));
    await call(peer, 'job.announce', { contractId, job: parseJobDocument(body!) });
  }
  await call(peer, 'work.batch', {
    contractId,
    firstSeq: 4,
    shares: ShareRows.of(shares),
    workTotal: 8n * SHARE.workHashes,
  });
}
