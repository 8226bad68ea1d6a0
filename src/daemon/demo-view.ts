import { printable } from '../base/text.ts';
import { formatGrouped, formatSi } from '../base/units.ts';

/** What the demo shows, read from the status of the proxy. */
export type DemoSnapshot = {
  readonly elapsedSeconds: number;
  readonly totalSeconds: number;
  readonly phase: string;
  readonly stratumListen: string;
  readonly hashesPerSecond: number;
  readonly accepted: number;
  readonly rejected: Readonly<Record<string, number>>;
  readonly miners: readonly MinerRow[];
  readonly workHashes: bigint;
  readonly workTotalHashes: bigint;
  readonly stepHashes: bigint;
  readonly stateNumber: number;
  readonly settledSat: bigint;
  readonly signedSat: bigint;
  readonly accruedSat: bigint;
  readonly unspentSat: bigint;
  readonly blocks: number;
  readonly tipHeight: number;
  /** Where the logs are. */
  readonly directory: string;
  /** Of their pages. */
  readonly pageUrls: { readonly proxy: string; readonly maker: string };
  /** Ctrl+C was pressed once. */
  readonly isStopping: boolean;
};

export type MinerRow = {
  readonly worker: string;
  readonly hashesPerSecond: number;
  readonly accepted: number;
  readonly rejected: number;
};

/** Of a terminal, in characters. */
export type ViewSize = { readonly columns: number; readonly rows: number };

export type Style = 'bold' | 'dim' | 'green' | 'yellow' | 'red' | 'cyan';

/** A piece of a line. Colour repeats what the text says. */
export type Span = { readonly text: string; readonly style?: Style };
export type Line = readonly Span[];

/** Lines that belong together; the higher `rank` is, the sooner they give way where rows are few. */
type Block = { readonly rank: number; readonly lines: readonly Line[] };

const LABEL_WIDTH = 10;
const MINER_COLUMNS = [12, 10, 9] as const;
const BLANK: Block = { rank: 9, lines: [[]] };

/** The live view: no more lines than rows, none wider than the columns, and no terminal control. */
export function renderDemo(now: DemoSnapshot, { columns, rows }: ViewSize): Line[] {
  const blocks: Block[] = [
    { rank: 0, lines: [headOf(now, columns)] },
    BLANK,
    fact(1, 'Page', `${now.pageUrls.proxy} (of the maker: ${now.pageUrls.maker})`),
    fact(6, 'Stratum', `${now.stratumListen}, open to any miner of this machine`),
    fact(5, 'Chain', `height ${now.tipHeight}; ${now.blocks} of its blocks found by these miners`),
    fact(3, 'Shares', sharesOf(now)),
    { rank: 2, lines: [workOf(now)] },
    BLANK,
    { rank: 1, lines: channelOf(now, columns) },
    { rank: 4, lines: legendOf(now, columns) },
    BLANK,
    fact(8, 'Logs', `proxy.log, maker.log in ${now.directory}`),
    { rank: 1, lines: [labelled('Ctrl+C', [{ text: stopOf(now) }])] },
  ];
  const minersAt = 8;
  let count = countOf(blocks);
  // Two rows of miners are worth more than where the logs are.
  const wanted = Math.min(now.miners.length + 1, 3);
  for (let rank = 9; rank > 0 && count + wanted > rows; rank -= 1) {
    for (const [index, block] of blocks.entries()) {
      if (block.rank === rank && count + wanted > rows) {
        count -= block.lines.length;
        blocks[index] = { rank, lines: [] };
      }
    }
  }
  const miners = minersOf(now, columns, rows - count - 1);
  blocks.splice(minersAt, 0, { rank: 0, lines: miners }, miners.length + count < rows ? BLANK : EMPTY);
  return blocks
    .flatMap(({ lines }) => lines)
    .slice(0, rows)
    .map((line) => cut(line, columns));
}

/** All of it in one line, where there is no terminal to draw on. */
export function plainLine(now: DemoSnapshot): Line {
  const { phase, hashesPerSecond, accepted, stateNumber, signedSat, settledSat } = now;
  const { stratumListen, pageUrls } = now;
  const [, ...work] = workOf(now);
  return [
    { text: `${phase}`, style: 'cyan' },
    { text: `: ${formatSi(hashesPerSecond, 'H/s')}, ${accepted} shares accepted, state ${stateNumber}, ` },
    { text: `${formatGrouped(signedSat + settledSat)} sat signed, `, style: 'green' },
    ...work,
    { text: `, stratum ${stratumListen}, page ${pageUrls.proxy}` },
  ];
}

const EMPTY: Block = { rank: 0, lines: [] };

function countOf(blocks: readonly Block[]): number {
  return blocks.reduce((sum, { lines }) => sum + lines.length, 0);
}

function headOf({ phase, elapsedSeconds, totalSeconds }: DemoSnapshot, columns: number): Line {
  const name = 'Sharestream demo';
  const time = `${Math.floor(elapsedSeconds)} of ${totalSeconds} s`;
  const gap = Math.max(2, columns - name.length - phase.length - time.length - 2);
  return [
    { text: name, style: 'bold' },
    { text: ' '.repeat(gap) },
    { text: phase, style: 'cyan' },
    { text: `  ${time}` },
  ];
}

function labelled(label: string, spans: Line): Line {
  return [{ text: label.padEnd(LABEL_WIDTH), style: 'dim' }, ...spans];
}

function fact(rank: number, label: string, text: string): Block {
  return { rank, lines: [labelled(label, [{ text }])] };
}

function sharesOf({ accepted, rejected }: DemoSnapshot): string {
  const refused = Object.entries(rejected)
    .filter(([, count]) => count > 0)
    .map(([reason, count]) => `${reason} ${count}`);
  return `${accepted} accepted${refused.length === 0 ? '' : `; refused: ${refused.join(', ')}`}`;
}

function workOf({ workHashes, workTotalHashes, stepHashes }: DemoSnapshot): Line {
  const work = (hashes: bigint): string => formatSi(Number(hashes), 'H');
  const isComplete = workTotalHashes > 0n && workHashes >= workTotalHashes;
  return labelled('Work', [
    { text: `${work(workHashes)} of ${work(workTotalHashes)}, ` },
    isComplete
      ? { text: 'the contract is complete', style: 'green' }
      : { text: `paid in steps of ${work(stepHashes)}` },
  ]);
}

/** As many rows as there is room for. */
function minersOf({ miners, hashesPerSecond }: DemoSnapshot, columns: number, room: number): Line[] {
  if (room < 1) return [];
  const nameWidth = Math.max(8, Math.min(40, columns - MINER_COLUMNS.reduce((sum, each) => sum + each, 0)));
  const row = (name: string, cells: readonly string[]): string =>
    inColumns(name, nameWidth) + cells.map((cell, index) => cell.padStart(MINER_COLUMNS[index]!)).join('');
  const head = row(`Miners (${miners.length})`, [formatSi(hashesPerSecond, 'H/s'), 'accepted', 'refused']);
  const shown = miners.length <= room ? miners : miners.slice(0, Math.max(0, room - 1));
  const more = miners.length - shown.length;
  return [
    [{ text: head, style: 'dim' }],
    ...shown.map(({ worker, hashesPerSecond: rate, accepted, rejected }): Line => {
      const [name, refused] = [row(worker, [formatSi(rate, 'H/s'), String(accepted)]), String(rejected)];
      const text = refused.padStart(MINER_COLUMNS[2]);
      return [{ text: name }, rejected > 0 ? { text, style: 'yellow' } : { text }];
    }),
    ...(more > 0 && room > 0 ? [[{ text: `and ${more} more`, style: 'dim' } as const]] : []),
  ];
}

const MONEY = [
  { sign: '#', name: 'paid on chain', style: 'green', of: ({ settledSat }: Money) => settledSat },
  { sign: '=', name: 'signed, safe', style: 'cyan', of: ({ signedSat }: Money) => signedSat },
  { sign: '-', name: 'not yet signed', style: 'yellow', of: ({ accruedSat }: Money) => accruedSat },
  { sign: '.', name: 'not yet earned', style: 'dim', of: ({ unspentSat }: Money) => unspentSat },
] as const;

type Money = Pick<DemoSnapshot, 'settledSat' | 'signedSat' | 'accruedSat' | 'unspentSat'>;

function channelOf(now: DemoSnapshot, columns: number): Line[] {
  const width = Math.max(4, Math.min(100, columns - LABEL_WIDTH - 2));
  return [
    labelled('Channel', [{ text: `state ${now.stateNumber}` }]),
    labelled('', [{ text: '[' }, ...moneyBar(now, width), { text: ']' }]),
  ];
}

/** What the signs of the bar mean, and how many sats each stands for. */
function legendOf(now: DemoSnapshot, columns: number): Line[] {
  const items = MONEY.map(
    ({ sign, name, style, of }): Line => [
      { text: sign, style },
      { text: ` ${name} ${formatGrouped(of(now))} sat` },
    ],
  );
  const half = Math.floor((columns - LABEL_WIDTH) / 2);
  const lines =
    half < 34
      ? items
      : [
          [...padded(items[0]!, half), ...items[1]!],
          [...padded(items[2]!, half), ...items[3]!],
        ];
  return lines.map((line) => labelled('', line));
}

function padded(line: Line, width: number): Line {
  const used = line.reduce((sum, { text }) => sum + widthOf(text), 0);
  return [...line, { text: ' '.repeat(Math.max(1, width - used)) }];
}

/** The money in proportion, a sign for each kind. */
export function moneyBar(money: Money, width: number): Line {
  const total = MONEY.reduce((sum, { of }) => sum + of(money), 0n);
  if (total === 0n) return [{ text: ' '.repeat(width) }];
  let upTo = 0n;
  let drawn = 0;
  return MONEY.map(({ sign, style, of }): Span => {
    upTo += of(money);
    const end = Number((upTo * BigInt(width)) / total);
    const text = sign.repeat(end - drawn);
    drawn = end;
    return { text, style };
  });
}

function stopOf({ isStopping }: DemoSnapshot): string {
  return isStopping
    ? 'again: ends at once, and leaves the channel open'
    : 'ends it early: the channel is closed and checked all the same';
}

/** A name in exactly so many columns: what a terminal cannot show is left out, what is too long is cut. */
function inColumns(text: string, width: number): string {
  let out = '';
  let used = 0;
  for (const { segment } of new Intl.Segmenter().segment(printable(text))) {
    const wide = widthOf(segment);
    if (used + wide > width - 1) break;
    out += segment;
    used += wide;
  }
  return out + ' '.repeat(width - used);
}

const WIDE_SIGNS = [
  String.raw`\p{Extended_Pictographic}\p{Regional_Indicator}`,
  String.raw`\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6`,
];
const WIDE = new RegExp(`[${WIDE_SIGNS.join('')}]`, 'u');

/** Columns of a text; a sign that may be two wide counts as two. */
function widthOf(text: string): number {
  let width = 0;
  for (const { segment } of new Intl.Segmenter().segment(text)) width += WIDE.test(segment) ? 2 : 1;
  return width;
}

function cut(line: Line, columns: number): Line {
  const kept: Span[] = [];
  let left = columns;
  for (const span of line) {
    const width = widthOf(span.text);
    if (width <= left) kept.push(span);
    else if (left > 0)
      kept.push({
        ...span,
        text: inColumns(span.text, left + 1)
          .slice(0, -1)
          .trimEnd(),
      });
    left -= width;
    if (left <= 0) break;
  }
  return kept;
}
