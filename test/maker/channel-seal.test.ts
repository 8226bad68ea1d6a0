import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import { signSealClaim } from '../../src/channel/seal.ts';
import { handler } from '../../src/peer/calls.ts';
import type { Params, Result } from '../../src/peer/messages.ts';
import type { RpcHandlers } from '../../src/peer/rpc-peer.ts';
import { ChannelStand, type PaidChannel, paidChannel } from './channel-stand.ts';
import { SHARE } from './world.ts';

const W = SHARE.workHashes;
let paid: PaidChannel;
const stands: ChannelStand[] = [];
beforeAll(async () => {
  paid = await paidChannel({
    terms: { seal: { sealSat: 3000n, claimFeeRateSatPerKvb: 2000 } },
    policy: {
      stakes: {
        ...{ bondModes: ['none'], maxMakerBondSat: 0n, minCollateralSat: 0n, auditorKeysHex: [] },
        ...{ minBondCsvBlocks: 1, maxBondCsvBlocks: 2016, seal: 'required' },
        ...{ minClaimFeeRateSatPerKvb: 1000, earlyClose: 'refused' },
      },
    },
  });
});
afterEach(() => Promise.all(stands.splice(0).map((stand) => stand.channel.stop())));

async function stood(): Promise<ChannelStand> {
  const stand = await ChannelStand.of(paid);
  stands.push(stand);
  await stand.look();
  return stand;
}

type Asked = Params<'seal.claim'>;
type Answer = (asked: Asked) => Promise<Result<'seal.claim'>>;

/** The claim that was asked for, or one that differs from it, with the miner's signature. */
function claimed(stand: ChannelStand, { n, workHashes, shareRoot }: Asked, changes: Partial<Asked> = {}) {
  const signer = paid.world.minerSigner.forChannel(stand.store.contract.channelIndex);
  const claim = signSealClaim(
    stand.store.assembled!.params,
    { n, workHashes, shareRoot, ...changes },
    signer,
  );
  return { claim };
}

/** A miner that answers for claims as a test says. */
function claiming(stand: ChannelStand, answer?: Answer) {
  const asked: Asked[] = [];
  const handlers: RpcHandlers = {
    'seal.claim': handler('seal.claim', async (params) => {
      asked.push(params);
      return answer === undefined ? claimed(stand, params) : answer(params);
    }),
  };
  return { asked, handlers };
}

const warned = (stand: ChannelStand): unknown[] => stand.said.filter(([level]) => level === 'warn');

describe('the claim of a state', () => {
  it('is asked for before the state is signed, which comes with it', async () => {
    const stand = await stood();
    const { asked, handlers } = claiming(stand);
    const { peer } = await stand.attached(handlers);
    expect(asked).toEqual([]);
    await stand.credit(3);
    expect(asked).toMatchObject([{ contractId: paid.world.contractId, n: 2, workHashes: 8n * W }]);
    expect([stand.store.ackedN, stand.store.sealClaim?.n, peer.isClosed]).toEqual([2, 2, false]);
    expect(stand.store.last).toMatchObject({ n: 2, workHashes: 8n * W });
  });

  it.each<[string, (stand: ChannelStand) => Answer, string]>([
    ['refused', () => () => Promise.reject(new CodedError('bad_amount')), 'bad_amount'],
    [
      'another than was asked for',
      (stand) => async (asked) => claimed(stand, asked, { workHashes: asked.workHashes - 1n }),
      'bad_amount',
    ],
    [
      'not signed',
      (stand) => async (asked) => ({
        claim: { ...claimed(stand, asked).claim, signature: '11'.repeat(64) },
      }),
      'bad_signature',
    ],
  ])('that is %s is not paid, nor asked for again over this connection', async (_, answer, code) => {
    const stand = await stood();
    const { asked, handlers } = claiming(stand, answer(stand));
    const { peer } = await stand.attached(handlers);
    await stand.credit(3);
    expect(warned(stand)).toEqual([['warn', code, 'the claim was refused']]);
    expect(stand.log.lines.findLast(([level]) => level === 'warn')?.[1]).toMatchObject({
      contract: paid.world.contractId,
    });
    await stand.credit(4);
    expect([asked.length, stand.store.last?.n, peer.isClosed]).toEqual([1, 1, false]);
    // The end is waited for no longer than what can be paid.
    const shut = stand.channel.shutdown(peer);
    await stand.rest();
    expect(await shut).toEqual({ n: 1 });
    const again = claiming(stand);
    await stand.attached(again.handlers);
    // What was asked for never changes.
    expect(again.asked[0]).toEqual(asked[0]);
    expect(stand.store.sealClaim?.n).toBeGreaterThan(1);
  });

  it('that is refused wakes whoever waits for the end', async () => {
    const stand = await stood();
    const refusal = Promise.withResolvers<Result<'seal.claim'>>();
    const { asked, handlers } = claiming(stand, () => refusal.promise);
    const { peer } = await stand.attached(handlers);
    let n: number | undefined;
    void stand.channel.shutdown(peer).then((answer) => {
      n = answer.n;
    });
    await stand.rest();
    expect([asked.length, n]).toEqual([1, undefined]);
    refusal.reject(new CodedError('bad_amount'));
    await stand.rest();
    expect(n).toBe(1);
  });

  it('that the miner has no room for ends the connection, and is asked for again', async () => {
    const stand = await stood();
    const { asked, handlers } = claiming(stand, () => Promise.reject(new CodedError('overload')));
    const { peer } = await stand.attached(handlers);
    await stand.credit(3);
    expect(codeOf(await peer.closed)).toBe('overload');
    expect(warned(stand)).toEqual([['warn', 'overload', 'the miner did not follow']]);
    const again = claiming(stand);
    await stand.attached(again.handlers);
    expect(again.asked).toEqual(asked);
    expect([stand.store.ackedN, stand.store.sealClaim?.n]).toEqual([2, 2]);
  });

  it('that the own disk has no room for is not asked for: the miner connects again', async () => {
    const stand = await stood();
    const { asked, handlers } = claiming(stand);
    const { peer } = await stand.attached(handlers);
    let isFull = true;
    stand.ledger.deathAt = (entries) =>
      isFull && entries.length === 1 && entries[0]?.kind === 'seal' ? 'refused' : undefined;
    await stand.credit(3);
    expect([codeOf(await peer.closed), asked]).toEqual(['overload', []]);
    isFull = false;
    const again = claiming(stand);
    await stand.attached(again.handlers);
    expect([again.asked.length, stand.store.ackedN]).toEqual([1, 2]);
  });

  it('that is refused over a connection which was replaced is still asked for over the new one', async () => {
    const stand = await stood();
    const late = Promise.withResolvers<Result<'seal.claim'>>();
    const first = claiming(stand, () => late.promise);
    const link = await stand.attached(first.handlers);
    await stand.credit(3);
    expect(first.asked).toHaveLength(1);
    const second = claiming(stand, () => new Promise(() => {}));
    await stand.attached(second.handlers);
    expect([link.peer.isClosed, second.asked.length]).toEqual([true, 1]);
    // Its end was the answer: the contract is held to nothing by it.
    expect(stand.store.state.link).toMatchObject({ isClaimRefused: false, claimAskedN: 2 });
  });
});

it('a claim that the miner shows after a loss is taken over, and a wrong one is not heard', async () => {
  const stand = await stood();
  const { handlers } = claiming(stand);
  const { peer } = await stand.attached(handlers);
  await stand.credit(3);
  peer.close();
  await stand.rest();
  const { seal } = stand.store;
  const shown = { claim: seal!.claim, tree: seal!.tree, nextSeq: 8, workHashes: 8n * W };
  const old = await stood();
  const link = await old.connect();
  const forged = { ...shown, claim: { ...shown.claim, signature: '11'.repeat(64) } };
  expect(await old.reestablish(link, { claimed: forged })).toBe('bad_signature');
  expect(old.channel.connected).toBe(false);
  const newer = { n: 2, state: stand.store.last, nextSeq: 8, claimed: shown };
  expect(await old.reestablish(link, newer)).toMatchObject({ n: 2 });
  expect(old.store.sealClaim).toEqual(shown.claim);
  expect(old.channel.seal).toBe('intact');
});
