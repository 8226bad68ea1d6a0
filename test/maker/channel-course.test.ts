import { describe, expect, it } from 'vitest';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import type { LedgerEntry } from '../../src/ledger/ledger.ts';
import { handler } from '../../src/peer/calls.ts';
import type { Feature } from '../../src/peer/features.ts';
import type { Params, Result } from '../../src/peer/messages.ts';
import type { RpcHandlers } from '../../src/peer/rpc-peer.ts';
import type { LadderWriter } from '../../src/settlement/ladder-writer.ts';
import { type ChannelStand, ChannelStands } from './channel-stand.ts';
import { SHARE } from './world.ts';

const W = SHARE.workHashes;
const stands = new ChannelStands();

/** As it was before the funding was signed. */
function asOpening(funded: readonly LedgerEntry[]): readonly LedgerEntry[] {
  return funded.flatMap((entry) => {
    if (entry.kind === 'funding') return [];
    return entry.kind === 'channel' && 'id' in entry
      ? [{ ...entry, body: entry.body.replace('"funding"', '"opening"') } as LedgerEntry]
      : [entry];
  });
}

type Asked = Params<'state.sign'>;
type Answer = (asked: Asked) => Promise<Result<'state.sign'>>;

/** A miner that answers for states as a test says. */
function signing(stand: ChannelStand, answer?: Answer) {
  const asked: Asked[] = [];
  const handlers: RpcHandlers = {
    'state.sign': handler('state.sign', async (params) => {
      asked.push(params);
      return answer === undefined ? stand.acked(params) : answer(params);
    }),
  };
  return { asked, handlers };
}

describe('a state', () => {
  it('is signed for each step, and offered to a miner that is ready until it is acked', async () => {
    const stand = await stands.looked();
    await stand.credit(2);
    expect(stand.store.last?.n).toBe(1);
    const { asked, handlers } = signing(stand);
    await stand.ready(handlers);
    expect(asked).toEqual([]);
    await stand.credit(1);
    expect(asked).toEqual([{ contractId: stands.paid.world.contractId, state: stand.store.last }]);
    expect(stand.store.last).toMatchObject({ n: 2, workHashes: 8n * W });
    expect([stand.store.ackedN, stand.channel.stats]).toEqual([2, { statesSigned: 1, statesAcked: 1 }]);
    await stand.credit(4);
    expect([stand.store.ackedN, stand.channel.stats]).toEqual([3, { statesSigned: 2, statesAcked: 2 }]);
  });

  it('carries what it commits to where the miner knows that, and its signature of that comes back', async () => {
    const features: readonly Feature[] = ['state_commitments', 'fault_log'];
    for (const known of [features, []] as const) {
      const stand = await stands.looked();
      const { asked, handlers } = signing(stand);
      const { peer } = await stand.attached(handlers, known);
      const shut = stand.channel.shutdown(peer);
      await stand.rest();
      expect(asked.map(({ commitment }) => commitment?.baseN)).toEqual([known.length > 0 ? 1 : undefined]);
      expect(await shut).toEqual({ n: 2 });
      // Its own signature of that comes with the ack, or it does not follow.
      expect([stand.store.ackedN, peer.isClosed]).toEqual([2, false]);
    }
  });

  it.each<[string, Answer, string]>([
    [
      'another number',
      async ({ state }) => ({ n: state.n + 1, ackSignature: '11'.repeat(64) }),
      'wrong_state_number',
    ],
    [
      'no signature of the miner',
      async ({ state }) => ({ n: state.n, ackSignature: '11'.repeat(64) }),
      'bad_signature',
    ],
    ['an error', () => Promise.reject(new CodedError('bad_amount')), 'bad_amount'],
    ['that it has no room', () => Promise.reject(new CodedError('overload')), 'overload'],
  ])(
    'answered with %s ends the connection, is said, and offered again the same',
    async (_, answer, code) => {
      const stand = await stands.looked();
      await stand.credit(3);
      const { asked, handlers } = signing(stand, answer);
      const { peer } = await stand.attached(handlers);
      expect(codeOf(await peer.closed)).toBe(code);
      expect(stand.said.filter(([level]) => level === 'warn')).toEqual([
        ['warn', code, 'the miner did not follow'],
      ]);
      expect(stand.log.lines.at(-1)?.[1]).toMatchObject({ contract: stands.paid.world.contractId });
      expect([stand.store.last?.n, stand.store.ackedN, stand.channel.stats.statesAcked]).toEqual([2, 1, 0]);
      const again = signing(stand);
      await stand.attached(again.handlers);
      expect(again.asked).toEqual([asked[0]]);
      expect([stand.store.ackedN, stand.channel.stats]).toEqual([2, { statesSigned: 1, statesAcked: 1 }]);
    },
  );

  it('that could not be written is said, and none is offered; the connection stays', async () => {
    const stand = await stands.looked();
    const { asked, handlers } = signing(stand);
    const { peer } = await stand.ready(handlers);
    stand.ledger.deathAt = (entries) =>
      entries.some(({ kind }) => kind === 'state') ? 'refused' : undefined;
    await stand.credit(3);
    const [level, fields, text] = stand.log.lines.findLast(([each]) => each === 'warn')!;
    expect([level, fields['code'], fields['contract'], text]).toEqual([
      ...['warn', 'overload', stands.paid.world.contractId, 'a task of the channel failed'],
    ]);
    expect(fields['detail']).toMatch(/^overload: /);
    expect([asked, peer.isClosed, stand.store.last?.n]).toEqual([[], false, 1]);
  });
});

describe('a miner that says that its node shows the funding', () => {
  const readyOf = (stand: ChannelStand): Params<'channel.ready'> => {
    const { contractId, channel } = stand.store;
    return { contractId, txid: channel!.fundingTxid, height: 0 };
  };

  it('is told that of the own, with the height of the tip; where it will not have it, it connects again', async () => {
    for (const hasTip of [true, false]) {
      const stand = await stands.stand();
      if (hasTip) await stand.look();
      const told: unknown[] = [];
      const { peer } = await stand.attached({
        'channel.ready': handler('channel.ready', async (params) => {
          told.push(params);
          return {};
        }),
      });
      const height = hasTip ? stands.paid.world.chain.height : 0;
      expect(told).toEqual([{ ...readyOf(stand), height }]);
      expect(peer.isClosed).toBe(false);
    }
    const stand = await stands.looked();
    const refused = await stand.attached({
      'channel.ready': () => Promise.reject(new CodedError('bad_funding')),
    });
    expect(codeOf(await refused.peer.closed)).toBe('bad_funding');
  });

  it('opens a channel whose funding is as deep here, which is on disk; else it connects again', async () => {
    const stand = await stands.looked({ stored: stands.paid.funded });
    expect([stand.store.channel?.status, stand.store.isDeep]).toEqual(['funding', true]);
    const { peer } = await stand.attached();
    const ready = readyOf(stand);
    const other = await stand.channel.minerReady(peer, { ...ready, txid: '11'.repeat(32) }).catch(codeOf);
    expect([other, stand.store.channel?.status]).toEqual(['bad_funding', 'funding']);
    stand.ledger.deathAt = () => 'refused';
    expect([await stand.channel.minerReady(peer, ready), peer.isClosed]).toEqual([{}, false]);
    await stand.rest();
    expect(codeOf(await peer.closed)).toBe('overload');
    expect(stand.store.channel?.status).toBe('funding');
    stand.ledger.deathAt = () => undefined;
    const again = await stand.attached();
    const { appends } = stand.ledger;
    await stand.channel.minerReady(again.peer, ready);
    await stand.rest();
    expect([stand.store.channel?.status, again.peer.isClosed]).toEqual(['open', false]);
    expect(stand.ledger.appends).toBeGreaterThan(appends);
  });

  it('has the chain looked at: a block that came with it is seen', async () => {
    const stand = await stands.stand();
    const { peer } = await stand.attached();
    stand.view.onTip(await stands.paid.world.source.tip());
    await stand.channel.minerReady(peer, readyOf(stand));
    await stand.rest();
    expect(stand.store.state.tipHeight).toBe(stands.paid.world.chain.height);
  });
});

describe('a look at the chain', () => {
  /** What was asked of the writer of refunds. */
  function writer() {
    const told: unknown[] = [];
    const ladders = {
      writeRefund: (params: { keys: unknown }) => void told.push(params),
      remove: (contractId: string) => void told.push(`remove ${contractId}`),
    } as unknown as LadderWriter;
    return { told, ladders };
  }

  it('writes the way out that needs no ledger, from the funding to the end', async () => {
    const { told, ladders } = writer();
    const stand = await stands.looked({ deps: { ladders } });
    expect(told).toEqual([stand.store.assembled!.params]);
    const opening = asOpening(stands.paid.funded);
    const unfunded = writer();
    const early = await stands.looked({ stored: opening, deps: { ladders: unfunded.ladders } });
    expect([early.store.channel?.status, unfunded.told]).toEqual(['opening', []]);
    const over = writer();
    const { contractId } = stands.paid.world;
    const gone = await stands.looked({
      stored: [...stands.paid.stored, { type: 'put', kind: 'watched', id: contractId, body: '{}' }],
      deps: { ladders: over.ladders },
    });
    expect([gone.channel.isOver, over.told]).toEqual([true, [`remove ${contractId}`]]);
    expect([stand.channel.isOver, early.channel.isOver]).toEqual([false, false]);
  });

  it('is none before a block is known, and one that fails is said, with the way out written all the same', async () => {
    const { told, ladders } = writer();
    const deps = { ladders };
    const blind = await stands.stand({ deps });
    blind.channel.lookAtChain();
    await blind.rest();
    expect([told, blind.said]).toEqual([[], []]);
    blind.store.record = () => Promise.reject(new CodedError('chain_rpc', 'no answer'));
    await blind.look();
    expect(told).toHaveLength(1);
    const [, fields, text] = blind.log.lines.findLast(([level]) => level === 'warn')!;
    expect([fields, text]).toEqual([
      { contract: stands.paid.world.contractId, code: 'chain_rpc', detail: 'chain_rpc: no answer' },
      'a task of the channel failed',
    ]);
  });

  it('takes a channel back when it may, and tells of the change also where it may not', async () => {
    const stand = await stands.looked();
    const { changes } = stand;
    expect(await stand.channel.closeAlone().catch(codeOf)).toBe('not_expired');
    expect(stand.changes).toBeGreaterThan(changes);
  });
});

it('a contract that is given up signs what was earned, and asks the miner to close', async () => {
  const stand = await stands.looked();
  const told: string[] = [];
  const handlers: RpcHandlers = {
    'channel.shutdown': handler('channel.shutdown', async ({ contractId }) => {
      told.push(contractId);
      return { n: 1 };
    }),
  };
  const { miner } = await stand.ready(handlers, ['notices']);
  const nothing = stand.channel.notice({ type: 'void' }, true);
  await stand.rest();
  expect([(await nothing).writtenOffSat, told]).toEqual([160n, []]);
  const pause = { type: 'pause', fromHeight: 5000, toHeight: 5001 } as never;
  const heard = stand.channel.notice(pause, false).catch(codeOf);
  await stand.rest();
  // Its miner is there to hear it.
  expect(await heard).not.toBe('peer_closed');
  expect(told).toEqual([]);
  miner.close(new CodedError('protocol', 'away'));
  await stand.rest();
  const voided = stand.channel.notice({ type: 'void' }, false);
  await stand.rest();
  expect((await voided).writtenOffSat).toBe(160n);
  expect(stand.said.at(-1)).toEqual(['warn', 'peer_closed', 'not closed yet']);
  const there = await stands.looked();
  await there.ready(handlers, ['notices']);
  const given = there.channel.notice({ type: 'void' }, false);
  await there.rest();
  await given;
  expect(told).toEqual([stands.paid.world.contractId]);
  expect(there.said.filter(([level]) => level === 'warn')).toEqual([]);
  // What was earned is signed all the same.
  expect(there.store).toMatchObject({ ackedN: 2, last: { workHashes: 5n * W } });
});
