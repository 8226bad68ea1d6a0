import { afterEach, describe, expect, it } from 'vitest';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { termsV3From } from '../../src/contract/terms-upgrade.ts';
import type { MakerDeps } from '../../src/maker/maker-options.ts';
import type { MakerPolicy } from '../../src/maker/policy.ts';
import { blobOf, sealBlob } from '../../src/settlement/peer-blob.ts';
import { blobsInMemory } from '../../src/settlement/peer-blobs.ts';
import { loadContract } from '../../src/settlement/records.ts';
import { MemoryServer } from '../auditor/memory-links.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { random } from '../peer/tls-pair.ts';
import { paidChannel } from './channel-stand.ts';
import { AT_BEGIN, MakerStand, type MakerStandOptions } from './maker-stand.ts';

const MANY = { maxOpenContractsPerMiner: 99, maxTotalBudgetSat: 10n ** 9n };
const STRANGERS = { maxBudgetSat: 10n ** 8n, maxContracts: 2, requireCollateral: false };

let stand: MakerStand;
afterEach(() => stand.stop());

async function made(options: MakerStandOptions = {}): Promise<MakerStand> {
  const { world = {} } = options;
  stand = await MakerStand.of({ ...options, world: { ...world, policy: { ...MANY, ...world.policy } } });
  return stand;
}

const MINUTE_MS = 60_000;
/** How long after a connection work on blocks of before is credited. */
const BACKLOG_MS = 10 * MINUTE_MS;

const away = new CodedError('protocol', 'away');

describe('whoever connects', () => {
  const comes = (name?: string): Promise<string> =>
    stand.miner(name).then(
      ({ peer }) => (peer.isClosed ? 'ended' : 'served'),
      (error: unknown) => codeOf(error),
    );

  it('is served where it is listed, or any may come, or it has a channel that is not over', async () => {
    await made();
    expect(await comes()).toBe('served');
    expect(await comes('stranger')).not.toBe('served');
    const refusals = (): number =>
      Object.values(stand.maker.stats.refused).reduce((sum, each) => sum + each);
    expect([stand.maker.stats.connections, refusals()]).toEqual([1, 1]);
    expect(await comes('stranger')).not.toBe('served');
    const [code] = Object.keys(stand.maker.stats.refused);
    expect(stand.maker.stats.refused).toEqual({ [code!]: 2 });
    expect(stand.log.lines).toContainEqual([
      ...['debug', { code }, 'connection ended before it was authenticated'],
    ]);
    const miner = await stand.miner();
    await miner.openChannel(miner.terms('a1'));
    await miner.propose(miner.terms('a2'));
    stand = await stand.again({ maker: { allowedNodeIds: new Set() } });
    expect([await comes(), await comes('stranger')]).toEqual([
      'served',
      expect.not.stringMatching('served'),
    ]);
    await stand.stop();
    await made({ maker: { allowedNodeIds: new Set() }, world: { policy: { strangers: STRANGERS } } });
    expect([await comes(), await comes('stranger')]).toEqual(['served', 'served']);
    await stand.stop();
    const none = { ...STRANGERS, maxContracts: 0 };
    await made({ maker: { allowedNodeIds: new Set() }, world: { policy: { strangers: none } } });
    expect(await comes('stranger')).not.toBe('served');
  });

  it('keeps its place where it is listed, or has a channel: a stranger gives way to them', async () => {
    const server = new MemoryServer();
    let kept = 0;
    const deps: Partial<MakerDeps> = {
      openServer: (_options, of) =>
        server.open({
          ...of,
          onConnection: (link) => {
            const keepPlace = (): void => {
              kept += 1;
            };
            of.onConnection(Object.assign(link, { keepPlace }));
          },
        }),
    };
    await made({ deps, world: { policy: { strangers: STRANGERS } } });
    Object.assign(stand, { server });
    await stand.miner();
    const stranger = await stand.miner('stranger');
    expect(kept).toBe(1);
    const terms = stranger.terms('a1');
    expect(await stranger.propose(terms)).toBe('signed');
    await stand.miner('stranger');
    expect(kept).toBe(1);
    const coins = (await stand.miner()).coins(terms);
    expect([await stranger.open(terms, coins), kept]).toEqual(['opened', 2]);
    await stand.miner('stranger');
    expect(kept).toBe(3);
  });

  it('with no more than a proposal is not known by it', async () => {
    await made();
    const miner = await stand.miner();
    expect(await miner.propose(miner.terms('a1'))).toBe('signed');
    stand = await stand.again({ maker: { allowedNodeIds: new Set() } });
    expect(await comes()).not.toBe('served');
  });

  it('has so many connections: of more the oldest is ended, which is counted', async () => {
    let told = 0;
    await made({ deps: { onStatus: () => void told++ } });
    const miners = [];
    for (let each = 0; each < LIMITS.peerConnectionsPerNode; each += 1) miners.push(await stand.miner());
    expect(miners.map(({ peer }) => peer.isClosed)).not.toContain(true);
    const newest = await stand.miner();
    expect(miners.map(({ peer }) => peer.isClosed)).toEqual(miners.map((_, each) => each === 0));
    expect(stand.maker.stats.limitHits).toEqual({ peerConnectionsPerNode: 1 });
    expect(stand.log.lines).toContainEqual([
      'info',
      { nodeId: newest.nodeId, code: 'too_often' },
      'miner disconnected',
    ]);
    // Who went makes room.
    const before = told;
    newest.peer.close(away);
    await stand.rest();
    expect(told).toBe(before + 1);
    await stand.miner();
    expect(told).toBe(before + 2);
    expect([miners[1]!.peer.isClosed, stand.maker.stats.limitHits]).toEqual([
      ...[false, { peerConnectionsPerNode: 1 }],
    ]);
    expect(stand.maker.stats.connections).toBe(LIMITS.peerConnectionsPerNode + 2);
  });

  it('asks for the offer where one is served, and is told no price while nothing is taken', async () => {
    await made();
    const without = await stand.miner();
    expect(await without.ask('market.offer', {})).toBe('unknown_method');
    await stand.stop();
    const line = 'shst1qpzry9x8gf2tvdw0s3jn54khce6mua7';
    const offer = ({ maxBudgetSat }: MakerPolicy): string => `${line}${maxBudgetSat === 77n ? 'l' : 'q'}`;
    const applyPolicy = (settings: Readonly<Record<string, string>>): MakerPolicy => ({
      ...stand.world.policy,
      ...{ maxBudgetSat: 77n, isHalted: settings['halt'] === 'true' },
    });
    await made({ deps: { offer, applyPolicy } });
    const miner = await stand.miner();
    expect(await miner.ask('market.offer', {})).toEqual({ offer: `${line}q` });
    await stand.maker.policies.set({ max: '77' });
    expect(await miner.ask('market.offer', {})).toEqual({ offer: `${line}l` });
    await stand.maker.policies.set({ halt: 'true' });
    expect(await miner.ask('market.offer', {})).toBe('maker_halted');
  });

  it('may have work metered without money where it is listed alone', async () => {
    const policy = { strangers: STRANGERS, meters: true };
    await made({ world: { policy } });
    const metering = (name?: string) =>
      stand.miner(name).then((miner) => {
        const free = { priceMsatPerEh: 0n, budgetSat: 0n, reserveSat: 0n, minerReserveSat: 0n };
        const older = { ...stand.world.terms, ...free, minerNodeId: miner.nodeId };
        return miner.propose(termsV3From(older, 500, { type: 'none' }));
      });
    expect([await metering(), await metering('stranger')]).toEqual(['signed', 'bad_terms']);
    expect(stand.maker.metering).toHaveLength(1);
  });
});

describe('the blobs that a miner leaves', () => {
  const put = async (miner: Awaited<ReturnType<MakerStand['miner']>>, contractId: string, blob: string) => {
    // One a minute is taken.
    await stand.pass(60_000);
    const answer = await miner.ask('peer_storage.put', { contractId, blob });
    return typeof answer === 'string' ? answer : 'kept';
  };

  it('are of contracts with a channel, and come back to their miner, the newest contract first', async () => {
    await made({ world: { policy: { strangers: STRANGERS } } });
    const [miner, stranger] = [await stand.miner(), await stand.miner('stranger')];
    expect(await miner.propose(miner.terms('a0'))).toBe('signed');
    const { contractId: proposed } = stand.maker.status[0]!;
    expect(await put(miner, proposed, 'AAAA')).toBe('unknown_channel');
    const one = await miner.openChannel(miner.terms('a1'));
    const two = await miner.openChannel(miner.terms('a2'));
    expect([await put(miner, one, 'AAAA'), await put(miner, two, 'BBBB')]).toEqual(['kept', 'kept']);
    expect(await put(stranger, one, 'CCCC')).toBe('unknown_channel');
    expect(await miner.ask('peer_storage.get', {})).toEqual({
      blobs: [
        { contractId: two, blob: 'BBBB' },
        { contractId: one, blob: 'AAAA' },
      ],
    });
    expect(await stranger.ask('peer_storage.get', {})).toEqual({ blobs: [] });
  });

  it('come back as far as half a line takes them: one that is too long leaves room for the others', async () => {
    const files = blobsInMemory();
    await made({ deps: { blobFiles: files } });
    const miner = await stand.miner();
    const ids: string[] = [];
    for (let each = 0; each < 8; each += 1) ids.push(await miner.openChannel(miner.terms(`a${each}`)));
    const most = LIMITS.peerBlobChars;
    const left = LIMITS.peerLineBytes / 2 - 6 * most;
    expect([left > 0, left < most]).toEqual([true, true]);
    /** The lengths that come back of these, of the newest contract first. */
    const given = async (...lengths: number[]): Promise<unknown> => {
      for (const [each, length] of lengths.entries())
        await files.replace(ids.at(-1 - each)!, 'A'.repeat(length));
      const answer = await miner.ask('peer_storage.get', {});
      return typeof answer === 'string' ? answer : answer.blobs.map(({ blob }) => blob.length);
    };
    const six = Array.from({ length: 6 }, () => most);
    const even = left - (left % 4);
    expect(await given(...six, even - 4, 4)).toEqual([...six, even - 4, 4]);
    expect(await given(...six, even, 4)).toEqual([...six, even, ...(left - even >= 4 ? [4] : [])]);
    expect(await given(...six, even + 4, 4)).toEqual([...six, 4]);
  });
});

describe('a contract that the ledger lost', () => {
  async function lost(deps: Partial<MakerDeps> = {}) {
    await made();
    const miner = await stand.miner();
    const contractId = await miner.openChannel(miner.terms('a1'));
    const blob = sealBlob(contractId, blobOf(await loadContract(stand.store, contractId))!, {
      ...{ signer: stand.world.makerSigner, random },
    });
    const { world } = stand;
    await stand.stop();
    stand = await MakerStand.of({ deps, maker: { allowedNodeIds: undefined as never } }, undefined, world);
    return { contractId, blob };
  }

  it('comes back with the blob of its miner, and whoever is connected hears up to where nothing is paid', async () => {
    const { contractId, blob } = await lost();
    const [miner, stranger] = [await stand.miner(), await stand.miner('stranger')];
    const asked = { contractId, ...AT_BEGIN, nextSeq: 3, blob };
    expect(await stranger.ask('channel.reestablish', asked)).toBe('unknown_channel');
    expect(await miner.ask('channel.reestablish', { contractId, ...AT_BEGIN })).toBe('unknown_channel');
    expect(await miner.ask('channel.reestablish', { ...asked, blob: 'AAAA' })).toBe('bad_blob');
    expect(stand.channels).toEqual([]);
    const before = stand.log.lines.length;
    const { height } = stand.world.chain;
    expect(await miner.ask('channel.reestablish', asked)).toMatchObject({
      ...{ n: 0, nextSeq: 3, verifiedWork: 0n, restoredHeight: height },
    });
    expect(stand.channels).toHaveLength(1);
    expect(stand.log.lines.slice(before).map(([level, , text]) => [level, text])).toContainEqual([
      ...['warn', 'a lost contract came back from its miner'],
    ]);
    const stored = await loadContract(stand.store, contractId);
    expect(stored).toMatchObject({ delivery: { nextSeq: 3, restoredHeight: height } });
    // What is here is not taken from a blob again.
    const appends = stand.ledger.appends;
    const again = await stand.miner();
    await again.ask('channel.reestablish', { ...asked, blob: 'AAAA' });
    expect([stand.channels.length, stand.ledger.appends]).toEqual([1, appends]);
  });
});

describe('without a bitcoin node', () => {
  it('a maker does not start with a channel that is not over, and does with proposals alone', async () => {
    await made();
    const miner = await stand.miner();
    expect(await miner.propose(miner.terms('a1'))).toBe('signed');
    stand = await stand.again({ maker: { hasChain: false } });
    expect([stand.channels, stand.maker.height]).toEqual([['a1 none'], undefined]);
    stand = await stand.again();
    const back = await stand.miner();
    const contractId = await back.openChannel(back.terms('a2'));
    await stand.stop();
    const { store, world } = stand;
    await expect(MakerStand.of({ maker: { hasChain: false } }, store, world)).rejects.toThrow(
      `config_invalid: [chain] is missing: channel ${contractId} is not over`,
    );
    stand = await MakerStand.of({}, store, world);
  });
});

describe('what a maker says of itself', () => {
  it('is of each contract, and of one that it does not have it is said', async () => {
    await made();
    // From the start on: no block has come since.
    expect(stand.maker.height).toBe(stand.world.chain.height);
    const miner = await stand.miner();
    const contractId = await miner.openChannel(miner.terms('a1'));
    const { maker, world } = stand;
    expect([maker.height, maker.isSuspended, maker.rememberedHashes]).toEqual([
      ...[world.chain.height, false, 0],
    ]);
    expect([maker.moneyStreams.length, maker.termsOf(contractId)]).toEqual([1, miner.terms('a1')]);
    expect(maker.streamOf(contractId).moneyStream).toEqual(maker.moneyStreams[0]);
    expect(maker.updatesOf(contractId).state.pending).toBe(undefined);
    const unknown = 'ab'.repeat(32);
    expect(maker.termsOf(unknown)).toBe(undefined);
    for (const task of [
      async () => maker.updatesOf(unknown),
      async () => maker.streamOf(unknown),
      () => maker.requestClose(unknown),
      () => maker.closeAlone(unknown),
      () => maker.notice(unknown, { type: 'void' }, true),
      () => maker.endMetering(unknown),
    ])
      expect(await task().then(() => 'known', codeOf)).toBe('unknown_channel');
    expect(await maker.notice(contractId, { type: 'void' }, true)).toMatchObject({ writtenOffSat: 0n });
    expect(await maker.closeAlone(contractId).catch(codeOf)).toBe('not_expired');
  });

  it('that a fault of its own holds it up is said', async () => {
    await made();
    const miner = await stand.miner();
    const terms = miner.terms('a1');
    const coins = miner.coins(terms);
    expect([await miner.propose(terms), await miner.open(terms, coins)]).toEqual(['signed', 'opened']);
    expect([stand.maker.isSuspended, stand.maker.status[0]?.fault]).toEqual([false, undefined]);
    stand.store.failNext(new CodedError('ledger_io'));
    expect(await miner.fund(terms, coins)).toBe('channel_frozen');
    expect([stand.maker.isSuspended, stand.maker.status[0]?.fault]).toEqual([true, 'suspended']);
  });
});

it('what a miner says of a contract is heard over the connection that it is attached to', async () => {
  await made();
  const miner = await stand.miner();
  const contractId = await miner.openChannel(miner.terms('a1'));
  const other = await stand.miner();
  const heard = async (of: typeof miner): Promise<unknown[]> => [
    await of.ask('contract.resume', { contractId }),
    await of.ask('contract.revoke', { contractId, hash: 'ab'.repeat(32), signature: '11'.repeat(64) }),
    await of.ask('delivery.minutes', { contractId, next: 0, reports: [] }),
    await of.ask('work.subscribe', { contractId, instance: 'aa'.repeat(16) }),
  ];
  expect(await heard(other)).toEqual(['protocol', 'protocol', 'protocol', 'wrong_status']);
  expect(await heard(miner)).toEqual([{}, 'bad_signature', 'wrong_status', 'wrong_status']);
});

it('a ping is answered, whatever contracts there are', async () => {
  await made();
  const miner = await stand.miner();
  await miner.openChannel(miner.terms('a1'));
  const answer = miner.peer.request('ping', {});
  await stand.rest();
  expect(await answer).toEqual({});
});

describe('hashes of credited shares', () => {
  it('are remembered over a start, and as long as a share on their block may be credited, and a minute', async () => {
    const { world, stored } = await paidChannel();
    const store = new MemoryLedger();
    await store.append(stored);
    stand = await MakerStand.of({}, store, world);
    expect(stand.maker.rememberedHashes).toBe(5);
    const graceMs = world.terms.staleGraceSeconds * 1000;
    await stand.pass(graceMs);
    await stand.blocks(1);
    // Their block was replaced just now.
    expect(stand.maker.rememberedHashes).toBe(5);
    // Nobody was heard of since the start: the miner may come back with what it found before.
    await stand.pass(graceMs + MINUTE_MS);
    await stand.blocks(1);
    expect(stand.maker.rememberedHashes).toBe(5);
    const miner = await stand.miner();
    const { contractId } = world;
    const back = await miner.ask('channel.reestablish', { contractId, n: 1, state: undefined, nextSeq: 5 });
    expect(back).toMatchObject({ n: 1, nextSeq: 5 });
    await stand.pass(BACKLOG_MS);
    await stand.blocks(1);
    expect(stand.maker.rememberedHashes).toBe(5);
    await miner.peer.request('ping', {}).catch(() => undefined);
    await stand.pass(graceMs + MINUTE_MS + 1);
    await stand.blocks(1);
    expect(stand.maker.rememberedHashes).toBe(0);
  });
});

describe('the value of hashes', () => {
  it('is read of the chain where a rule, a volatility or a bound follows it, and only then', async () => {
    const follows = { formula: 'hash_value_144', epoch: 'difficulty', ttlBlocks: 144 } as const;
    const index = { type: 'index', ...follows, minMsatPerEh: 1n, maxMsatPerEh: 9n, premiumPpm: 0 } as const;
    const fixed = { type: 'fixed', msatPerEh: 5n } as const;
    const spread = { inventoryPpm: 0, volatilityPpm: 0, sizePpm: 0, durationPpm: 0 };
    const pricing = (rule: typeof index | typeof fixed, volatilityPpm = 0) => ({
      pricing: { rule, spread: { ...spread, volatilityPpm }, targetInventoryHashes: 1n },
    });
    const reads = async (policy: Partial<MakerPolicy>): Promise<boolean> => {
      let asked = 0;
      await made({
        world: { policy },
        chain: (source) =>
          new Proxy(source, {
            get: (target, name, receiver) => {
              if (name === 'blockRewardSat') asked += 1;
              return Reflect.get(target, name, receiver) as unknown;
            },
          }),
      });
      await stand.blocks(150);
      await stand.stop();
      return asked > 0;
    };
    const found = {
      nothing: await reads({}),
      fixed: await reads(pricing(fixed)),
      index: await reads(pricing(index)),
      volatility: await reads(pricing(fixed, 1)),
      bound: await reads({ offMarketPpm: 2_000_000n }),
    };
    expect(found).toEqual({ nothing: false, fixed: false, index: true, volatility: true, bound: true });
    await made();
  });
});
