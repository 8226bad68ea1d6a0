import { EventEmitter } from 'node:events';
import xterm from '@xterm/headless';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { paint, Screen, usesColour } from '../../src/cli/screen.ts';
import { type DemoSnapshot, type Line, plainLine, renderDemo } from '../../src/daemon/demo-view.ts';

const SNAPSHOT: DemoSnapshot = {
  elapsedSeconds: 12.7,
  totalSeconds: 60,
  phase: 'streaming',
  stratumListen: '127.0.0.1:3333',
  hashesPerSecond: 512_345,
  accepted: 132,
  rejected: { duplicate: 12, stale: 3, low_difficulty: 9, overload: 0 },
  miners: ['late', 'rig1', 'rig2', 'rig3', 'twice', 'weak'].map((name, index) => ({
    worker: `farm.${name}`,
    hashesPerSecond: 60_000 + index * 20_000,
    accepted: 40 - index,
    rejected: index === 4 ? 12 : 0,
  })),
  workHashes: 34_100_000n,
  workTotalHashes: 84_000_000n,
  stepHashes: 2n ** 19n,
  stateNumber: 64,
  settledSat: 0n,
  signedSat: 67_108n,
  accruedSat: 1_048n,
  unspentSat: 99_844n,
  blocks: 5,
  tipHeight: 27,
  directory: '/tmp/sharestream-demo-Xy12Zq',
  pageUrls: { proxy: 'http://127.0.0.1:41234/', maker: 'http://127.0.0.1:41235/' },
  isStopping: false,
};

const plain = (line: Line): string => paint(line, false);

/** A terminal that somebody may make larger and smaller, with a shell's words in it. */
class Emulated extends EventEmitter {
  readonly isTTY = true;
  readonly #terminal: InstanceType<typeof xterm.Terminal>;
  raw = '';

  constructor(columns: number, rows: number) {
    super();
    this.#terminal = new xterm.Terminal({ cols: columns, rows, allowProposedApi: true });
    this.write('$ echo before\r\nbefore\r\n$ npm run demo\r\n');
  }

  get columns(): number {
    return this.#terminal.cols;
  }

  get rows(): number {
    return this.#terminal.rows;
  }

  write(text: string): void {
    this.raw += text;
    this.#terminal.write(text);
  }

  async resize(columns: number, rows: number): Promise<void> {
    await this.drawn();
    this.#terminal.resize(columns, rows);
    this.emit('resize');
  }

  drawn(): Promise<void> {
    return new Promise((done) => {
      this.#terminal.write('', done);
    });
  }

  /** What is seen, without the blanks at the ends. */
  async seen(): Promise<string[]> {
    await this.drawn();
    const { active } = this.#terminal.buffer;
    const lines = Array.from({ length: this.rows }, (_, row) => {
      return (
        active
          .getLine(active.viewportY + row)
          ?.translateToString(true)
          .trimEnd() ?? ''
      );
    });
    while (lines.at(-1) === '') lines.pop();
    return lines;
  }

  get isAlternate(): boolean {
    return this.#terminal.buffer.active.type === 'alternate';
  }
}

function open(columns = 80, rows = 24, env: Record<string, string> = {}) {
  const terminal = new Emulated(columns, rows);
  return { terminal, screen: new Screen(terminal, { env, render: renderDemo }) };
}

/** The lines as a terminal shows them. */
function expected(view: DemoSnapshot, columns: number, rows: number): string[] {
  const lines = renderDemo(view, { columns, rows }).map((line) => plain(line).trimEnd());
  while (lines.at(-1) === '') lines.pop();
  return lines;
}

const SIZES = [
  [80, 24],
  [132, 50],
  [100, 30],
  [60, 20],
  [40, 24],
  [40, 10],
  [20, 5],
  [9, 2],
  [2, 1],
] as const;

describe('the view of the demo', () => {
  it('says all there is on 80 by 24', () => {
    const text = expected(SNAPSHOT, 80, 24);
    expect(text.length).toBeLessThanOrEqual(24);
    const all = text.join('\n');
    for (const part of [
      'streaming  12 of 60 s',
      '127.0.0.1:3333, open to any miner',
      'duplicate 12, stale 3, low_difficulty 9',
      '# paid on chain 0 sat',
      '= signed, safe 67\u2009108 sat',
      '- not yet signed 1\u2009048 sat',
      '. not yet earned 99\u2009844 sat',
      'proxy.log, maker.log in /tmp/sharestream-demo-Xy12Zq',
      'Page      http://127.0.0.1:41234/ (of the maker: http://127.0.0.1:41235/)',
      'ends it early: the channel is closed and checked all the same',
    ]) {
      expect(all).toContain(part);
    }
    for (const { worker } of SNAPSHOT.miners) expect(all).toContain(worker);
    expect(all).not.toContain('overload');
    expect(all).not.toContain('complete');
  });

  it('says when the contract is complete, and what Ctrl+C does once it was pressed', () => {
    const all = expected({ ...SNAPSHOT, workHashes: 84_000_000n, isStopping: true }, 80, 24).join('\n');
    expect(all).toContain('the contract is complete');
    expect(all).toContain('again: ends at once, and leaves the channel open');
  });

  it('counts the miners that have no room', () => {
    const miners = Array.from({ length: 50 }, (_, index) => ({
      ...SNAPSHOT.miners[0]!,
      worker: `rig${index}`,
    }));
    const text = expected({ ...SNAPSHOT, miners }, 80, 24);
    expect(text).toHaveLength(24);
    const more = Number(/and (\d+) more/.exec(text.join('\n'))![1]);
    expect(text.filter((line) => line.startsWith('rig'))).toHaveLength(50 - more);
  });

  it.each(SIZES)('is never larger than %i by %i, in a terminal of that size', async (columns, rows) => {
    const { terminal, screen } = open(columns, rows);
    screen.show(SNAPSHOT);
    expect(await terminal.seen()).toEqual(expected(SNAPSHOT, columns, rows));
    expect(terminal.isAlternate).toBe(true);
    screen.end();
  });

  it('keeps what matters most where there is little room', () => {
    const text = expected(SNAPSHOT, 80, 8).join('\n');
    expect(text).toContain('Channel   state 64');
    expect(text).toContain('Ctrl+C');
    expect(text).not.toContain('Logs');
  });

  it('stays in its columns whatever a worker calls itself', async () => {
    const names = ['矿机一号', '👩‍🔧.rig', 'क्षि', '\u001b[2Jx', 'a\u202eb', 'x'.repeat(300), 'e\u0301', ''];
    const miners = names.map((worker) => ({ ...SNAPSHOT.miners[0]!, worker, accepted: 77, rejected: 5 }));
    const view = { ...SNAPSHOT, miners };
    const { terminal, screen } = open(80, 40);
    screen.show(view);
    const seen = await terminal.seen();
    expect(seen.filter((line) => /77 +5$/.test(line))).toHaveLength(names.length);
    expect(seen[0]).toContain('Sharestream demo');
    screen.end();
  });
});

describe('a terminal', () => {
  it('shows the same as a fresh one after any changes of its size', async () => {
    const size = fc.record({
      columns: fc.integer({ min: 2, max: 140 }),
      rows: fc.integer({ min: 1, max: 50 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(size, { minLength: 1, maxLength: 6 }), async (sizes) => {
        const { terminal, screen } = open();
        let view = SNAPSHOT;
        screen.show(view);
        for (const { columns, rows } of sizes) {
          await terminal.resize(columns, rows);
          expect(await terminal.seen()).toEqual(expected(view, columns, rows));
          view = { ...view, stateNumber: view.stateNumber + 1 };
          screen.show(view);
          expect(await terminal.seen()).toEqual(expected(view, columns, rows));
        }
        screen.end();
      }),
      { numRuns: 40 },
    );
  });

  it('has nothing left of a longer view in a shorter one', async () => {
    const { terminal, screen } = open();
    screen.show(SNAPSHOT);
    const short = { ...SNAPSHOT, miners: [], phase: 'up' };
    screen.show(short);
    expect(await terminal.seen()).toEqual(expected(short, 80, 24));
    screen.end();
  });

  it('is as it was before once it ends, and goes on below', async () => {
    const { terminal, screen } = open();
    const before = await terminal.seen();
    screen.show(SNAPSHOT);
    await terminal.resize(60, 12);
    await terminal.resize(80, 24);
    screen.end();
    screen.end();
    terminal.write('closed\r\n');
    expect(await terminal.seen()).toEqual([...before, 'closed']);
    expect(terminal.isAlternate).toBe(false);
    expect(terminal.listenerCount('resize')).toBe(0);
    expect(terminal.raw.endsWith('\u001b[?7h\u001b[?25h\u001b[?1049lclosed\r\n')).toBe(true);
  });

  it('is left alone where nothing was shown', () => {
    const { terminal, screen } = open();
    const before = terminal.raw;
    screen.end();
    expect(terminal.raw).toBe(before);
  });
});

describe('colours', () => {
  it.each([
    [{}, true, true],
    [{}, false, false],
    [{ NO_COLOR: '1' }, true, false],
    [{ NO_COLOR: '' }, true, true],
    [{ FORCE_COLOR: '1' }, false, true],
    [{ FORCE_COLOR: '' }, false, true],
    [{ FORCE_COLOR: '0' }, true, false],
    [{ NO_COLOR: '1', FORCE_COLOR: '1' }, true, false],
    [{ TERM: 'dumb' }, true, false],
  ])('with %j and a terminal: %s are %s', (env, isTTY, has) => {
    expect(usesColour({ isTTY }, env)).toBe(has);
  });

  it('repeat what the text says: without them it reads the same', async () => {
    const [grey, colourful] = [open(80, 24, { NO_COLOR: '1' }), open()];
    for (const { screen } of [grey, colourful]) screen.show(SNAPSHOT);
    expect(await colourful.terminal.seen()).toEqual(await grey.terminal.seen());
    expect(colourful.terminal.raw).toContain('\u001b[36m');
    expect(grey.terminal.raw).not.toContain('\u001b[36m');
    for (const { screen } of [grey, colourful]) screen.end();
  });

  it('can be had in a plain line too', () => {
    const line = plainLine(SNAPSHOT);
    expect(paint(line, false)).toMatch(/^streaming: 512 kH\/s, 132 shares accepted, state 64, /);
    expect(paint(line, true)).toContain('\u001b[36mstreaming\u001b[0m');
  });
});
