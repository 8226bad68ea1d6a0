import { Transaction } from 'bitcoinjs-lib';
import { describe, expect, it } from 'vitest';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import { signClose } from '../../src/channel/close.ts';
import type { LedgerEntry } from '../../src/ledger/ledger.ts';
import { coinbaseBinding, type JobBinding } from '../../src/maker/job-binding.ts';
import { handler } from '../../src/peer/calls.ts';
import type { Params } from '../../src/peer/messages.ts';
import type { RpcPeer } from '../../src/peer/rpc-peer.ts';
import { jobRecordOf } from '../../src/work/evidence.ts';
import { ShareRows } from '../../src/work/share-rows.ts';
import { type ChannelStand, ChannelStands, type Link } from './channel-stand.ts';
import { SHARE } from './world.ts';

const stands = new ChannelStands();

const away = new CodedError('protocol', 'away');
/** The daemon finds the contract by this, and not the channel. */
const contractId = 'ab'.repeat(32);
const share = { ntime: 1, nonce: 1, version: 1 };

/** Everything that is answered over the connection of a contract alone, each with what it would be asked. */
function doors({ channel }: ChannelStand, peer: RpcPeer): Readonly<Record<string, () => Promise<unknown>>> {
  const job = jobRecordOf(stands.paid.world.job());
  const instance = 'aa'.repeat(16);
  const extranonce2 = new Uint8Array(8);
  const txid = channel.store.channel!.fundingTxid;
  return {
    ready: () => channel.minerReady(peer, { contractId, txid, height: 0 }),
    announce: () => channel.announce(peer, { contractId, job }),
    batch: () =>
      channel.takeBatch(peer, { contractId, firstSeq: 5, shares: ShareRows.empty(0), workTotal: 0n }),
    subscribe: () => channel.subscribe(peer, { contractId, instance }),
    solution: () => channel.solve({ contractId, instance, id: 1, extranonce2, ...share }),
    block: () => channel.showBlock(peer, { contractId, job, extranonce: extranonce2, ...share }),
    minutes: () => channel.minutes(peer, { contractId, next: 0, reports: [] } as never),
    notices: async () => void channel.noticesOf(peer),
    updates: async () => void channel.updatesOf(peer),
    shutdown: () => channel.shutdown(peer),
    close: () => channel.closeSignature(peer, { contractId, n: 1, feeSat: 1n, signature: '11'.repeat(64) }),
  };
}

async function knocked(stand: ChannelStand, peer: RpcPeer): Promise<Readonly<Record<string, string>>> {
  const answers: Record<string, string> = {};
  for (const [name, ask] of Object.entries(doors(stand, peer)))
    answers[name] = await ask().then(() => 'answered', codeOf);
  return answers;
}

describe('what is asked of a contract', () => {
  const closed = (stand: ChannelStand, link: Link): Promise<string> =>
    knocked(stand, link.peer).then(({ subscribe: _any, solution: _too, ...answers }) =>
      [...new Set(Object.values(answers))].join(),
    );

  it('is answered over the connection that was reestablished last, and no other', async () => {
    const stand = await stands.looked();
    const link = await stand.connect();
    expect(await closed(stand, link)).toBe('protocol');
    await stand.reestablish(link);
    const newer = await stand.connect();
    expect(await closed(stand, newer)).toBe('protocol');
    await stand.reestablish(newer);
    expect(await closed(stand, link)).toBe('protocol');
    // What the coinbase binds has no jobs of the maker, no blocks for it, and no rules of delivery.
    const answers = knocked(stand, newer.peer);
    await stand.rest();
    expect(await answers).toEqual({
      ...{ ready: 'answered', announce: 'answered', batch: 'answered', subscribe: 'wrong_status' },
      ...{ solution: 'wrong_status', block: 'wrong_status', minutes: 'wrong_status' },
      ...{ notices: 'answered', updates: 'answered', shutdown: 'answered', close: 'wrong_state_number' },
    });
    newer.miner.close(away);
    await stand.rest();
    expect(await closed(stand, newer)).toBe('protocol');
  });

  it('of what the binding has goes to it, with who asks; jobs are given once the channel is open alone', async () => {
    const asked: unknown[] = [];
    const answer = (name: string) => async (params: unknown) => {
      asked.push([name, params]);
      return { isAccepted: true } as never;
    };
    const binding = (of: ChannelStand['store']): JobBinding => ({
      ...coinbaseBinding(of.terms),
      subscribe: (peer, params) => {
        asked.push(['subscribe', peer, params]);
        return { job: undefined } as never;
      },
      ...{ solve: answer('solve'), showBlock: answer('block'), work: { isDown: true } as never },
      ...{ blocks: { shown: 3 } as never, beads: { paid: 5 } as never },
      load: async () => void asked.push(['load']),
      stop: () => void asked.push(['stop']),
    });
    const deps = { bindingOf: (store: ChannelStand['store']) => binding(store) } as never;
    const stand = await stands.looked({ deps });
    const { peer } = await stand.attached();
    const { subscribe, solution, block } = doors(stand, peer);
    const answers = [await subscribe!(), await solution!(), await block!()];
    expect(answers).toEqual([{ job: undefined }, { isAccepted: true }, { isAccepted: true }]);
    expect(asked.map((each) => (each as unknown[])[0])).toEqual(['subscribe', 'solve', 'block']);
    expect(asked[0]).toMatchObject(['subscribe', {}, { instance: 'aa'.repeat(16) }]);
    expect((asked[0] as unknown[])[1]).toBe(peer);
    const { work, blocks, beads } = stand.channel;
    expect({ work, blocks, beads }).toEqual({
      ...{ work: { isDown: true }, blocks: { shown: 3 }, beads: { paid: 5 } },
    });
    await stand.channel.loadBinding();
    await stand.channel.stop();
    expect(asked.slice(3)).toEqual([['load'], ['stop']]);
    const early = await stands.looked({ deps, stored: stands.paid.funded });
    const before = await early.attached();
    expect(await doors(early, before.peer)['subscribe']!().catch(codeOf)).toBe('wrong_status');
    // Of a channel that ends no more are given either.
    stand.store.apply({ type: 'suspended', code: 'overload' });
    expect(await doors(stand, peer)['subscribe']!().then(() => 'given', codeOf)).toBe('given');
    expect(await doors(early, before.peer)['solution']!().then(() => 'answered', codeOf)).toBe('answered');
  });

  it('has no binding to be read or ended where that keeps nothing', async () => {
    const stand = await stands.looked();
    await stand.channel.loadBinding();
    const { work, blocks, beads, delivery, auditor } = stand.channel;
    expect({ work, blocks, beads, delivery, auditor }).toEqual({});
    expect([stand.channel.seal, stand.channel.isOver]).toEqual(['none', false]);
  });
});

describe('a batch', () => {
  const batchOf = (stand: ChannelStand, peer: RpcPeer): Promise<unknown> =>
    stand.channel
      .takeBatch(peer, { contractId, firstSeq: 5, shares: ShareRows.empty(0), workTotal: 0n })
      .then(
        ({ nextSeq }) => nextSeq,
        (error: CodedError) => error.message,
      );

  it('is taken while the channel is open, both see it deep, and nothing suspends it', async () => {
    const stand = await stands.looked();
    const { peer } = await stand.attached();
    expect(await batchOf(stand, peer)).toBe(5);
    stand.store.suspend(new CodedError('overload'));
    expect(await batchOf(stand, peer)).toBe('channel_frozen: overload');
    const early = await stands.looked({ stored: stands.paid.funded });
    const before = await early.attached();
    expect(await batchOf(early, before.peer)).toBe('protocol: the channel is not open');
  });

  it('that has shares which are not credited is said, by code', async () => {
    const stand = await stands.looked();
    const { peer } = await stand.attached();
    const parts = { extranonce1: new Uint8Array(4), extranonce2: new Uint8Array(4) };
    const shares = [1, 2].map((nonce) => ({
      ...{ jobId: 999_999, difficulty: SHARE.difficulty, ntime: 1, nonce, version: 1, ...parts },
    }));
    const answer = await stand.channel.takeBatch(peer, {
      contractId,
      firstSeq: 5,
      shares: ShareRows.of(shares),
      workTotal: 0n,
    });
    expect(answer.refused).toHaveLength(2);
    const { code } = answer.refused[0]!;
    const [level, fields, text] = stand.log.lines.at(-1)!;
    expect([level, text]).toEqual(['warn', 'shares are not credited']);
    expect(fields).toMatchObject({ contract: stands.paid.world.contractId, code, shares: 2 });
  });
});

describe('a contract that ends', () => {
  it('is settled when all that can be paid is acked, and no more work is asked for', async () => {
    const stand = await stands.looked();
    let answer!: () => void;
    const isAsked = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const { peer } = await stand.attached({
      'state.sign': handler('state.sign', async (params) => {
        await isAsked;
        return stand.acked(params);
      }),
    });
    let n: number | undefined;
    void stand.channel.shutdown(peer).then((result) => {
      n = result.n;
    });
    await stand.rest();
    expect([n, stand.store.last?.n, stand.store.stream.status]).toEqual([undefined, 2, 'ending']);
    answer();
    await stand.rest();
    expect([n, stand.store.ackedN]).toEqual([2, 2]);
    // Asked again there is nothing left.
    expect(await stand.channel.shutdown(peer)).toEqual({ n: 2 });
  });

  it('is answered with what is signed where its miner goes, and not while it is suspended', async () => {
    const stand = await stands.looked();
    const { peer, miner } = await stand.attached({ 'state.sign': () => new Promise(() => {}) });
    const answer = stand.channel.shutdown(peer);
    await stand.rest();
    miner.close(away);
    await stand.rest();
    expect(await answer).toEqual({ n: 2 });
    const frozen = await stands.looked();
    const link = await frozen.attached();
    frozen.store.suspend(new CodedError('overload'));
    expect(await frozen.channel.shutdown(link.peer).catch(codeOf)).toBe('channel_frozen');
    expect(await frozen.channel.requestClose().catch(codeOf)).toBe('channel_frozen');
  });

  it('is asked for where its miner is', async () => {
    const stand = await stands.looked();
    expect(await stand.channel.requestClose().catch(codeOf)).toBe('peer_closed');
    const asked: unknown[] = [];
    const link = await stand.attached({
      'channel.shutdown': handler('channel.shutdown', async (params) => {
        asked.push(params);
        return { n: 1 };
      }),
    });
    const done = stand.channel.requestClose().then(() => 'asked', codeOf);
    await stand.rest();
    expect([await done, asked]).toEqual(['asked', [{ contractId: stands.paid.world.contractId }]]);
    expect(link.peer.isClosed).toBe(false);
  });
});

describe('a close by both', () => {
  type Asked = Params<'close.sig'>;

  function signed(stand: ChannelStand, feeSat = 1_000n): Asked {
    const { assembled, last, contract } = stand.store;
    const signer = stands.paid.world.minerSigner.forChannel(contract.channelIndex);
    const signature = signClose(assembled!.params, last!, feeSat, 'miner', signer);
    return { contractId, n: last!.n, feeSat, signature };
  }

  it('is signed once, on disk before it is sent, and the same for whoever asks again', async () => {
    const stand = await stands.looked();
    const { peer } = await stand.attached();
    const { sent } = stand;
    let sentAtWrite: number | undefined;
    stand.ledger.deathAt = () => {
      sentAtWrite ??= sent.length;
      return undefined;
    };
    const { changes } = stand;
    const close = signed(stand);
    const { closeTx } = await stand.channel.closeSignature(peer, close);
    expect([sentAtWrite, sent]).toEqual([0, [closeTx]]);
    expect(stand.store.channel).toMatchObject({ status: 'closing', closeTx, closeFeeSat: 1_000n });
    const vsize = Transaction.fromHex(closeTx).virtualSize();
    expect(stand.store.state.close).toEqual({
      ...{ kind: 'together', transactionHex: closeTx, n: 1, feeSat: 1_000n, vsize },
    });
    expect(stand.changes).toBeGreaterThan(changes);
    for (const again of [close, signed(stand, 2_000n), { ...close, n: 7 }])
      expect(await stand.channel.closeSignature(peer, again)).toEqual({ closeTx });
    expect(sent).toEqual([closeTx]);
  });

  it('is possible before the channel is open too, by the state that gives each its own back', async () => {
    const stand = await stands.looked({ stored: stands.paid.funded });
    const { peer } = await stand.attached();
    const { closeTx } = await stand.channel.closeSignature(peer, signed(stand));
    expect([stand.sent, stand.store.channel?.status]).toEqual([[closeTx], 'closing']);
  });

  it.each<[string, (stand: ChannelStand) => Asked, string]>([
    ['an older state', (stand) => ({ ...signed(stand), n: 0 }), 'wrong_state_number'],
    ['a newer state', (stand) => ({ ...signed(stand), n: 2 }), 'wrong_state_number'],
    ['another fee than is signed', (stand) => ({ ...signed(stand), feeSat: 1_001n }), 'bad_signature'],
    ['no fee', (stand) => ({ ...signed(stand), feeSat: 0n }), 'bad_amount'],
    ['no signature', (stand) => ({ ...signed(stand), signature: '11'.repeat(64) }), 'bad_signature'],
  ])('by %s is refused, and the channel goes on', async (_, asked, code) => {
    const stand = await stands.looked();
    const { peer } = await stand.attached();
    expect(await stand.channel.closeSignature(peer, asked(stand)).catch(codeOf)).toBe(code);
    expect([stand.sent, stand.store.channel?.status]).toEqual([[], 'open']);
  });

  it('is none where the disk does not take it, or while the contract is suspended', async () => {
    const stand = await stands.looked();
    const { peer } = await stand.attached();
    stand.ledger.deathAt = () => 'refused';
    const close = signed(stand);
    expect(await stand.channel.closeSignature(peer, close).catch(codeOf)).toBe('overload');
    expect([stand.sent, stand.store.channel?.status]).toEqual([[], 'open']);
    stand.ledger.deathAt = () => undefined;
    stand.store.suspend(new CodedError('overload'));
    expect(await stand.channel.closeSignature(peer, close).catch(codeOf)).toBe('channel_frozen');
    expect(stand.sent).toEqual([]);
  });

  it('is none of an opening that is not signed, or of a channel that is spent otherwise', async () => {
    for (const status of ['opening', 'closing', 'closed', 'failed']) {
      const stored = stands.paid.stored.map((entry) =>
        entry.kind === 'channel'
          ? ({ ...entry, body: String(entry.body).replace('"open"', `"${status}"`) } as LedgerEntry)
          : entry,
      );
      const stand = await stands.looked({
        stored: status === 'opening' ? stored.filter(({ kind }) => kind !== 'funding') : stored,
      });
      const { peer } = await stand.attached();
      expect(await stand.channel.closeSignature(peer, signed(stand)).catch(codeOf), status).toBe(
        'unknown_channel',
      );
      expect(stand.sent).toEqual([]);
    }
  });
});
