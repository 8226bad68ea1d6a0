import { describe, expect, it } from 'vitest';
import { CodedError, codeOf, type ErrorCode } from '../../src/base/errors.ts';
import { ChainNodes, type ChainNodesOptions } from '../../src/chain/chain-nodes.ts';
import type { ChainSource, ChainTip } from '../../src/chain/source.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { recorder } from './log-recorder.ts';

const POLL_MS = 1_000;
const PATIENCE_MS = 2_000;

/** What a node answers to one question: a value, an error, or either after some time. */
type Answer = { readonly value?: unknown; readonly error?: Error; readonly afterMs?: number };

const fails = (code: ErrorCode, afterMs?: number): Answer => ({
  error: new CodedError(code),
  ...(afterMs === undefined ? {} : { afterMs }),
});
const tipAt = (height: number): ChainTip => ({ height, hash: `h${height}`, timeSeconds: 0 });

/** Nodes that answer from tables, each question by its name. */
function setUp(tables: readonly Record<string, Answer>[], options: Partial<ChainNodesOptions> = {}) {
  const time = new VirtualTime();
  const { lines, log } = recorder();
  const asked: string[] = [];
  const nodes = tables.map((table, index) => {
    const answers: Record<string, Answer> = { tip: { value: tipAt(100) }, ...table };
    const answer =
      (name: string) =>
      async (...params: unknown[]): Promise<unknown> => {
        asked.push([`n${index}`, name, ...params].join(' '));
        const { value, error, afterMs } = answers[name] ?? { value: `${name} of n${index}` };
        if (afterMs !== undefined)
          await new Promise<void>((resolve) => void time.timers.after(afterMs, resolve));
        if (error !== undefined) throw error;
        return value;
      };
    const making = ['template', 'waitingFeesSat', 'mempoolTxids', 'mempoolTransaction', 'proposalFault'];
    const names = ['genesisHash', 'tip', 'header', 'txOut', 'confirmations', 'spender', 'utxos'];
    const more = ['broadcast', 'broadcastPackage', 'feeRateSatPerKvb', 'trucPolicy'];
    const methods = (of: readonly string[]) => Object.fromEntries(of.map((name) => [name, answer(name)]));
    const source = {
      ...methods([...names, ...more]),
      blocks: methods([...making, 'submitBlock']),
      close: () => void asked.push(`n${index} close`),
    } as unknown as ChainSource & { blocks?: unknown };
    return { answers, source };
  });
  const chain = new ChainNodes(
    nodes.map(({ source }, index) => ({ name: `n${index}`, source })),
    { pollMs: POLL_MS, ...options },
    { clock: time.clock, timers: time.timers, log },
  );
  const since = (): string[] => asked.splice(0);
  return { time, lines, nodes, chain, since };
}

const codeFrom = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'resolved', codeOf);

/** What became of a promise after each of these times. */
async function seenAfter(time: VirtualTime, promise: Promise<unknown>, steps: readonly number[]) {
  let seen: unknown = 'waits';
  void promise.then(
    (value) => {
      seen = value;
    },
    (error: unknown) => {
      seen = codeOf(error);
    },
  );
  const all: unknown[] = [];
  await time.settle();
  for (const ms of steps) {
    await time.advance(ms);
    await time.settle();
    all.push(seen);
  }
  return all;
}

describe('every question', () => {
  const questions: readonly [string, (chain: ChainNodes) => Promise<unknown>, string][] = [
    ['header', (chain) => chain.header('h'), 'h'],
    ['txOut', (chain) => chain.txOut('t', 1, false), 't 1 false'],
    ['confirmations', (chain) => chain.confirmations('t'), 't'],
    ['spender', (chain) => chain.spender('t', 1, 9), 't 1 9'],
    ['utxos', (chain) => chain.utxos('51'), '51'],
    ['trucPolicy', (chain) => chain.trucPolicy(), ''],
    ['template', (chain) => chain.blocks.template(), ''],
    ['waitingFeesSat', (chain) => chain.blocks.waitingFeesSat(), ''],
    ['mempoolTxids', (chain) => chain.blocks.mempoolTxids(), ''],
    ['mempoolTransaction', (chain) => chain.blocks.mempoolTransaction('t'), 't'],
    ['proposalFault', (chain) => chain.blocks.proposalFault('00'), '00'],
  ];

  it.each(questions)('%s is passed on whole, and its answer back', async (name, ask, params) => {
    const { chain, since } = setUp([{}, {}]);
    await chain.tip();
    since();
    expect(await ask(chain)).toBe(`${name} of n0`);
    expect(since()).toEqual([`n0 ${name} ${params}`.trim()]);
  });

  it('is answered at the best tip of all, also before any was heard', async () => {
    const { chain, since } = setUp([{}, { tip: { value: tipAt(120) } }]);
    expect(await chain.confirmations('t')).toBe('confirmations of n1');
    expect(since()).toEqual(['n0 tip', 'n1 tip', 'n1 confirmations t']);
    await chain.confirmations('t');
    expect(since()).toEqual(['n1 confirmations t']);
  });

  it('that is answered with an error leaves a node in its health; no answer does not', async () => {
    const { chain, nodes, lines } = setUp([{ confirmations: fails('chain_rpc') }, {}]);
    await chain.tip();
    expect(await chain.confirmations('t')).toBe('confirmations of n1');
    expect(chain.health[0]).toMatchObject({ state: 'ready', error: undefined });
    expect(lines).toEqual([]);
    nodes[0]!.answers['confirmations'] = fails('chain_unreachable');
    await chain.confirmations('t');
    expect(chain.health[0]).toMatchObject({ state: 'unreachable', error: { code: 'chain_unreachable' } });
  });

  it('fails with the first error where no node answers, and with a fault of ours at once', async () => {
    const { chain, nodes, since } = setUp([
      { confirmations: fails('chain_rpc') },
      { confirmations: fails('chain_syncing') },
    ]);
    await chain.tip();
    expect(await codeFrom(chain.confirmations('t'))).toBe('chain_rpc');
    nodes[0]!.answers['confirmations'] = { error: new TypeError('a fault of ours') };
    nodes[1]!.answers['confirmations'] = { value: 1 };
    since();
    await expect(chain.confirmations('t')).rejects.toThrow(TypeError);
    expect(since()).toEqual(['n0 confirmations t']);
  });

  it('about blocks goes to none that makes no blocks', async () => {
    const { chain, nodes } = setUp([{}, {}]);
    delete nodes[0]!.source.blocks;
    expect(await chain.blocks.template()).toBe('template of n1');
    delete nodes[1]!.source.blocks;
    expect(await codeFrom(chain.blocks.template())).toBe('chain_rpc');
  });

  it('about version 3 has no answer of a source that knows the chain alone', async () => {
    const { chain, nodes } = setUp([{}]);
    delete (nodes[0]!.source as { trucPolicy?: unknown }).trucPolicy;
    expect(await chain.trucPolicy()).toBeUndefined();
  });

  it('needs a node', () => {
    expect(() => setUp([])).toThrow('a_bitcoin_node');
  });
});

describe('the tip', () => {
  it('is asked of a node once for all who want it at one time', async () => {
    const { chain, since } = setUp([{}, {}]);
    await Promise.all([chain.tip(), chain.tip()]);
    expect(since()).toEqual(['n0 tip', 'n1 tip']);
    await chain.tip();
    expect(since()).toEqual(['n0 tip', 'n1 tip']);
  });

  it('is waited for as long as it takes where the others failed, and two seconds after the first', async () => {
    const slow = setUp([
      { tip: fails('chain_unreachable') },
      { tip: { value: tipAt(7), afterMs: 3 * PATIENCE_MS } },
    ]);
    const waits = [1, 3 * PATIENCE_MS - 2, 1];
    expect(await seenAfter(slow.time, slow.chain.tip(), waits)).toEqual(['waits', 'waits', tipAt(7)]);
    const hanging = setUp([{}, { tip: { value: tipAt(101), afterMs: 60_000 } }]);
    const patient = [PATIENCE_MS - 1, 1];
    expect(await seenAfter(hanging.time, hanging.chain.tip(), patient)).toEqual(['waits', tipAt(100)]);
    // From the first answer on, not from the last.
    const three = setUp([
      { tip: { value: tipAt(1), afterMs: 10 } },
      { tip: { value: tipAt(2), afterMs: 1_500 } },
      { tip: { value: tipAt(3), afterMs: 60_000 } },
    ]);
    const steps = [PATIENCE_MS + 9, 1];
    expect(await seenAfter(three.time, three.chain.tip(), steps)).toEqual(['waits', tipAt(2)]);
  });

  it('of before is not that of now: where no node answers there is none, for the reason of the first', async () => {
    const { chain, nodes } = setUp([{}, {}]);
    await chain.tip();
    nodes[0]!.answers['tip'] = fails('chain_syncing');
    nodes[1]!.answers['tip'] = fails('chain_unreachable');
    expect(await codeFrom(chain.tip())).toBe('chain_syncing');
    expect(chain.best).toEqual(tipAt(100));
  });

  it('is told at once to who comes later, unless he goes away before', async () => {
    const { chain, time, since } = setUp([{}, {}]);
    const heard: string[] = [];
    const stop = chain.watchTip(({ height }) => heard.push(`first ${height}`));
    await time.advance(1);
    expect(heard).toEqual(['first 100']);
    since();
    chain.watchTip(({ height }) => heard.push(`second ${height}`));
    chain.watchTip(() => heard.push('gone'))();
    await time.settle();
    expect(heard).toEqual(['first 100', 'second 100']);
    // Who comes later changes nothing in the pace.
    await time.advance(POLL_MS - 1);
    expect(since()).toEqual([]);
    await time.advance(1);
    expect(since()).toEqual(['n0 tip', 'n1 tip']);
    stop();
    await time.advance(POLL_MS);
    expect(since()).toEqual(['n0 tip', 'n1 tip']);
    chain.close();
  });

  it('is told to nobody, and asked of nobody, after the end, which closes each node', async () => {
    const { chain, nodes, time, since, lines } = setUp([{}, { tip: { value: tipAt(105), afterMs: 50 } }]);
    const heard: number[] = [];
    chain.watchTip(({ height }) => heard.push(height));
    await time.advance(1);
    chain.close();
    expect(since()).toEqual(['n0 tip', 'n1 tip', 'n0 close', 'n1 close']);
    nodes[0]!.answers['tip'] = { value: tipAt(101) };
    await time.advance(10 * POLL_MS);
    expect(since()).toEqual([]);
    expect(heard).toEqual([100]);
    expect(lines).toEqual([]);
  });

  it('is asked of nobody once the last one went away', async () => {
    const { chain, time, since } = setUp([{}, {}]);
    const stop = chain.watchTip(() => {});
    await time.advance(10);
    expect(since()).toEqual(['n0 tip', 'n1 tip']);
    stop();
    await time.advance(10 * POLL_MS);
    expect(since()).toEqual([]);
  });

  it('is not asked again by a poll in the midst of which the last one went away', async () => {
    const { chain, time, since } = setUp([{ tip: { value: tipAt(100), afterMs: 50 } }]);
    const stop = chain.watchTip(() => {});
    await time.advance(10);
    stop();
    await time.advance(10 * POLL_MS);
    expect(since()).toEqual(['n0 tip']);
  });
});

describe('a node that goes away and comes back', () => {
  it('is said once each, and not after the end', async () => {
    const { chain, nodes, time, lines } = setUp([{}, {}]);
    chain.watchTip(() => {});
    await time.advance(1);
    nodes[1]!.answers['tip'] = fails('chain_unreachable');
    await time.advance(3 * POLL_MS);
    nodes[1]!.answers['tip'] = { value: tipAt(100) };
    await time.advance(3 * POLL_MS);
    expect(lines).toEqual([
      [
        ...(['warn', { node: 'n1', code: 'chain_unreachable', detail: 'chain_unreachable' }] as const),
        'bitcoin node is not asked any more',
      ],
      ['info', { node: 'n1' }, 'bitcoin node answers again'],
    ]);
    nodes[1]!.answers['tip'] = fails('chain_unreachable', 50);
    await time.advance(POLL_MS);
    chain.close();
    await time.advance(POLL_MS);
    expect(lines).toHaveLength(2);
  });
});

describe('what is sent', () => {
  it('is refused two seconds after the first refusal, and not for the silence of a node', async () => {
    const refused = setUp([{ broadcast: fails('tx_refused') }, { broadcast: fails('chain_rpc', 60_000) }]);
    await refused.chain.tip();
    const patient = [PATIENCE_MS - 1, 1];
    expect(await seenAfter(refused.time, refused.chain.broadcast('x'), patient)).toEqual([
      'waits',
      'tx_refused',
    ]);
    const silent = setUp([
      { broadcast: fails('chain_unreachable') },
      { broadcast: { value: 'taken', afterMs: 3 * PATIENCE_MS } },
    ]);
    await silent.chain.tip();
    const steps = [3 * PATIENCE_MS - 1, 1];
    expect(await seenAfter(silent.time, silent.chain.broadcast('x'), steps)).toEqual(['waits', 'taken']);
  });

  it('is a block to all nodes, packages too', async () => {
    const { chain, since } = setUp([{}, {}]);
    await chain.tip();
    since();
    expect(await chain.blocks.submitBlock('00')).toBe('submitBlock of n0');
    await chain.broadcastPackage(['p', 'c']);
    expect(since()).toEqual([
      'n0 submitBlock 00',
      'n1 submitBlock 00',
      'n0 broadcastPackage p,c',
      'n1 broadcastPackage p,c',
    ]);
  });
});

describe('the fee rate', () => {
  const echo = (nodes: ReturnType<typeof setUp>['nodes']): void => {
    for (const { source } of nodes)
      source.feeRateSatPerKvb = async (_blocks, fallback) => Promise.resolve(fallback!);
  };

  it('is what was asked for otherwise, else what is configured, else the least of all', async () => {
    for (const [configured, fallback, rate] of [
      [undefined, undefined, 5_000],
      [7_000, undefined, 7_000],
      [7_000, 8_000, 8_000],
      [undefined, 0, 0],
    ] as const) {
      const { chain, nodes } = setUp(
        [{}],
        configured === undefined ? {} : { feeRateSatPerKvb: configured },
      );
      echo(nodes);
      expect(await chain.feeRateSatPerKvb(6, fallback)).toBe(rate);
    }
  });

  it('is never that of a node that stands still, but of the first where all are away', async () => {
    const { chain, nodes } = setUp([{}, { tip: { value: tipAt(90) }, feeRateSatPerKvb: { value: 99 } }]);
    echo(nodes.slice(0, 1));
    await chain.tip();
    expect(await chain.feeRateSatPerKvb(6, 8_000)).toBe(8_000);
    const away = setUp([{ tip: fails('chain_unreachable'), feeRateSatPerKvb: { value: 99 } }]);
    await codeFrom(away.chain.tip());
    expect(await away.chain.feeRateSatPerKvb(6, 8_000)).toBe(99);
  });
});

describe('the genesis block', () => {
  it('is unknown, for the reason of the first, where no node answers and none is expected', async () => {
    const { chain, nodes } = setUp([
      { genesisHash: fails('chain_syncing') },
      { genesisHash: fails('chain_unreachable') },
    ]);
    expect(await codeFrom(chain.genesisHash())).toBe('chain_syncing');
    nodes[1]!.answers['genesisHash'] = fails('chain_network');
    expect(await codeFrom(chain.genesisHash())).toBe('chain_network');
    nodes[0]!.answers['genesisHash'] = { error: new TypeError('a fault of ours') };
    await expect(chain.genesisHash()).rejects.toThrow('a fault of ours');
  });
});
