import { describe, expect, it } from 'vitest';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import { coinbaseBinding } from '../../src/maker/job-binding.ts';
import type { MinerAccess } from '../../src/maker/maker-channel.ts';
import { handler } from '../../src/peer/calls.ts';
import type { RpcHandlers } from '../../src/peer/rpc-peer.ts';
import { type ChannelStand, ChannelStands } from './channel-stand.ts';
import { SHARE } from './world.ts';

const W = SHARE.workHashes;
const stands = new ChannelStands();

const away = new CodedError('protocol', 'away');

describe('a miner that comes back', () => {
  it('with what the maker knows is told where the maker is, and nothing that it has', async () => {
    const stand = await stands.stand();
    const link = await stand.connect();
    const position = { n: 1, state: undefined, nextSeq: 5, verifiedWork: 5n * W };
    expect(await stand.reestablish(link)).toEqual(position);
    expect(await stand.reestablish(link, { state: undefined })).toEqual(position);
    expect([stand.restored, stand.store.frozen]).toEqual([0, undefined]);
  });

  it('with less is told the newest state of the maker', async () => {
    const stand = await stands.stand();
    const { last } = stand.store;
    const state0 = stand.signed(0, 0n);
    const answer = { n: 1, state: last, nextSeq: 5, verifiedWork: 5n * W };
    const link = await stand.connect();
    expect(await stand.reestablish(link, { n: 0, state: undefined })).toEqual(answer);
    // What it shows of an older one is not compared.
    expect(await stand.reestablish(link, { n: 0, state: state0 })).toEqual(answer);
    expect(stand.channel.connected).toBe(true);
  });

  it.each<[string, (stand: ChannelStand) => Parameters<ChannelStand['reestablish']>[1], string]>([
    ['another state than it announces', (stand) => ({ n: 2, state: stand.signed(3, 6n * W) }), 'protocol'],
    ['an older one than it announces', () => ({ n: 2 }), 'protocol'],
    ['no proof of the newer state it announces', () => ({ n: 2, state: undefined }), 'wrong_state_number'],
    [
      'a newer state that the maker did not sign',
      (stand) => ({ n: 2, state: { ...stand.signed(2, 6n * W), receiptSignature: '11'.repeat(64) } }),
      'bad_signature',
    ],
    ['two contents of one number', (stand) => ({ state: stand.signed(1, 3n * W) }), 'equivocation'],
  ])('with %s is not heard', async (_, shown, code) => {
    const stand = await stands.stand();
    const link = await stand.connect();
    expect(await stand.reestablish(link, shown(stand))).toBe(code);
    expect([stand.channel.connected, stand.store.last?.n, stand.restored]).toEqual([false, 1, 0]);
    expect(link.asked).toEqual([]);
  });

  it('with a newer state proves that the ledger is an older copy, up to the tip of that moment', async () => {
    for (const hasTip of [true, false]) {
      const stand = await stands.stand();
      if (hasTip) await stand.look();
      const height = hasTip ? stands.paid.world.chain.height : stands.paid.world.terms.expiryHeight;
      const link = await stand.connect({}, ['restored_height']);
      const state = stand.signed(2, 7n * W);
      expect(await stand.reestablish(link, { n: 2, state, nextSeq: 9 })).toEqual({
        ...{ n: 2, state: undefined, nextSeq: 9, verifiedWork: 7n * W, restoredHeight: height },
      });
      expect([stand.restored, stand.store.ackedN, stand.store.delivery.restoredHeight]).toEqual([
        ...[1, 2, height],
      ]);
      // An older miner knows no such member.
      const older = await stand.attached();
      expect(await stand.reestablish(older)).not.toHaveProperty('restoredHeight');
    }
    const whole = await stands.stand();
    expect(await whole.reestablish(await whole.connect({}, ['restored_height']))).not.toHaveProperty(
      'restoredHeight',
    );
  });
});

it('what a state commits to is taken over where it is ours, and said where it is not', async () => {
  const stand = await stands.stand();
  const base = stand.store.commitments.base!;
  expect(await stand.reestablish(await stand.connect(), { commitment: base })).toMatchObject({ n: 1 });
  expect(stand.said.filter(([level]) => level === 'warn')).toEqual([]);
  const forged = { ...base, makerSignature: '11'.repeat(64) };
  expect(await stand.reestablish(await stand.connect(), { commitment: forged })).toMatchObject({ n: 1 });
  expect(stand.said.filter(([level]) => level === 'warn').map(([, code]) => code)).toEqual([
    'bad_signature',
  ]);
  expect([stand.store.commitments.base, stand.channel.connected]).toEqual([base, true]);
});

describe('the connection of a contract', () => {
  it('is told of once its answer has left: the funding is deep, and a backup is left', async () => {
    const stand = await stands.stand();
    const { peer, asked } = await stand.connect();
    let before: boolean | undefined;
    const answer = stand.channel.reestablish(peer, stand.position()).then(() => {
      before = stand.store.state.link !== undefined || asked.length > 0;
    });
    await stand.rest();
    await answer;
    expect(before).toBe(false);
    expect(asked.toSorted()).toEqual(['channel.ready', 'peer_storage.put']);
    expect(stand.store.state.link).toMatchObject({ ready: 'sent' });
    // A backup that is not kept ends nothing.
    const full = () => Promise.reject(new CodedError('overload'));
    const other = await stand.attached({ 'peer_storage.put': full });
    expect([other.peer.isClosed, stand.channel.connected]).toEqual([false, true]);
  });

  it('has the chain looked at', async () => {
    const stand = await stands.stand();
    stand.view.onTip(await stands.paid.world.source.tip());
    expect(stand.store.state.tipHeight).toBe(undefined);
    await stand.attached();
    expect(stand.store.state.tipHeight).toBe(stands.paid.world.chain.height);
  });

  it('is the newest: the one before is ended, and its end is none of the contract’s', async () => {
    const stand = await stands.stand();
    const first = await stand.attached();
    const second = await stand.attached();
    expect([first.peer.isClosed, second.peer.isClosed, stand.channel.connected]).toEqual([
      ...[true, false, true],
    ]);
    const { link } = stand.store.state;
    expect(link).toMatchObject({ ready: 'sent' });
    const { changes } = stand;
    first.miner.close(away);
    await stand.rest();
    expect([stand.store.state.link, stand.channel.connected, stand.changes]).toEqual([link, true, changes]);
    second.miner.close(away);
    await stand.rest();
    expect([stand.store.state.link, stand.channel.connected]).toEqual([undefined, false]);
    expect(stand.changes).toBeGreaterThan(changes);
  });

  it('that says again where it is goes on, and begins anew', async () => {
    const stand = await stands.stand();
    const { peer, asked } = await stand.attached();
    stand.store.apply({ type: 'peer_ready' });
    const answered = stand.channel.reestablish(peer, stand.position()).then(() => stand.store.state.link);
    await stand.rest();
    // Nothing is sent over it before the answer is.
    expect(await answered).toBe(undefined);
    expect([peer.isClosed, stand.channel.connected]).toEqual([false, true]);
    expect(asked.filter((method) => method === 'channel.ready')).toHaveLength(2);
    expect(stand.store.state.link?.isPeerReady).toBe(false);
  });

  it('that ends before its answer has left is none', async () => {
    const stand = await stands.stand();
    const { peer, miner, asked } = await stand.connect();
    const answer = stand.channel.reestablish(peer, stand.position());
    await answer;
    expect(stand.channel.connected).toBe(true);
    miner.close(away);
    await stand.rest();
    expect([stand.channel.connected, stand.store.state.link, asked]).toEqual([false, undefined, []]);
    // Nor is one in whose place another comes at once.
    const [one, two] = [await stand.connect(), await stand.connect()];
    await Promise.all([one, two].map(({ peer: of }) => stand.channel.reestablish(of, stand.position())));
    await stand.rest();
    expect([one.asked, two.asked]).toEqual([[], ['channel.ready', 'peer_storage.put']]);
  });

  it('is dropped with the reason; one that is the contract’s no more takes nothing with it', async () => {
    const stand = await stands.stand();
    const [first, second] = [await stand.attached(), await stand.attached()];
    const late = await stand.connect();
    const { changes } = stand;
    for (const { peer } of [first, late]) stand.channel.drop(peer, away);
    await stand.rest();
    expect([first.peer.isClosed, late.peer.isClosed, second.peer.isClosed]).toEqual([true, true, false]);
    expect(stand.store.state.link).toMatchObject({ ready: 'sent' });
    expect([stand.channel.connected, stand.changes]).toEqual([true, changes]);
    stand.channel.drop(second.peer, away);
    // At once: nothing that was on its way is heard.
    expect([stand.channel.connected, stand.store.state.link, stand.changes]).toEqual([
      ...[false, undefined, changes + 1],
    ]);
    await stand.rest();
    expect([codeOf(await second.peer.closed), stand.changes]).toEqual(['protocol', changes + 1]);
  });

  it('is ended where the miner has to hear of something anew', async () => {
    const stand = await stands.stand();
    stand.channel.reconnect(away);
    const { peer } = await stand.attached();
    stand.channel.reconnect(away);
    await stand.rest();
    expect([peer.isClosed, stand.channel.connected]).toEqual([true, false]);
  });

  it('is that over which a contract is compared as a money stream', async () => {
    const stand = await stands.stand();
    const compared = (): Promise<unknown> => {
      const answer = stand.channel.compareStreams().then(({ differences }) => differences, codeOf);
      return stand.rest().then(() => answer);
    };
    expect(await compared()).toBe('peer_closed');
    const same = handler('contract.stream', async () => ({ stream: stand.channel.moneyStream }));
    await stand.attached({ 'contract.stream': same });
    expect(await compared()).toBe('unsupported');
    await stand.attached({ 'contract.stream': same }, ['money_stream']);
    expect(await compared()).toEqual([]);
  });

  it('gives a backlog for the time that the miner was away', async () => {
    const stand = await stands.stand();
    await stand.time.advance(90_000);
    await stand.attached();
    expect(stand.channel.batchVerifier.contactAtMonotonicMs).toBe(90_000);
  });

  it('is that over which a binding asks, and knows what it announced', async () => {
    let miner!: MinerAccess;
    const bindingOf = (store: ChannelStand['store'], access: MinerAccess) => {
      miner = access;
      return coinbaseBinding(store.terms);
    };
    const stand = await stands.stand({ deps: { bindingOf } });
    const { contractId } = stands.paid.world;
    const ask = (): Promise<string> =>
      miner.ask('channel.shutdown', { contractId }).then(({ n }) => `n ${n}`, codeOf);
    expect([await ask(), miner.knows('notices')]).toEqual(['peer_closed', false]);
    const handlers: RpcHandlers = {
      'channel.shutdown': handler('channel.shutdown', async () => ({ n: 7 })),
    };
    const link = await stand.attached(handlers, ['notices']);
    expect([miner.knows('notices'), miner.knows('updates')]).toEqual([true, false]);
    expect([await ask(), link.asked.at(-1)]).toEqual(['n 7', 'channel.shutdown']);
    link.miner.close(away);
    await stand.rest();
    expect([await ask(), miner.knows('notices')]).toEqual(['peer_closed', false]);
  });
});
