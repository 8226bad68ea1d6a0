import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { timelineType } from '../../src/api/proxy-schemas.ts';
import { pageOf } from '../../src/daemon/page-files.ts';
import { placesOf } from '../../src/page/dag-places.ts';
import { EventLines } from '../../src/page/event-lines.ts';
import { ago, btc, grouped, percent, price, sats, si, span } from '../../src/page/format.ts';
import { joined, plotted } from '../../src/page/plotted.ts';
import { windowOf } from '../../src/page/rows.ts';
import { type Happening, toldOf } from '../../src/page/timeline-words.ts';
import { filesUnder, readSource } from '../source-tree.ts';

const page = pageOf('proxy');
const asked = async (path: string, encodings = '', etags: readonly string[] = []) => {
  const reply = await page(path, { encodings, etags });
  expect(reply, path).toBeDefined();
  return reply!;
};
const textOf = (body: string | Uint8Array): string => (typeof body === 'string' ? body : '');

/** Everything that a browser loads first: the page, and what it names. */
async function firstLoad(): Promise<string[]> {
  const text = textOf((await asked('/')).body);
  return ['/', ...new Set([...text.matchAll(/(?:href|src)="(\/page\/[^"]+)"/g)].map((match) => match[1]!))];
}

describe('what is served', () => {
  it('lets nothing in but files of this server, and runs nothing inline', async () => {
    const { headers = {}, body } = await asked('/');
    expect(headers['content-security-policy']).toBe(
      [
        ...["default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:"],
        ...["connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"],
      ].join('; '),
    );
    expect(textOf(body)).not.toMatch(/<script(?![^>]*src=)|<style|\bstyle=|\bon\w+=|https?:/);
    for (const path of await firstLoad())
      expect((await asked(path)).headers?.['content-security-policy'], path).toContain("script-src 'self'");
  });

  it('is whole: every module that a module imports, and none that nobody wrote', async () => {
    const paths = await firstLoad();
    const modules = paths.filter((path) => /\.(?:ts|js)$/.test(path));
    expect(modules.length).toBeGreaterThan(20);
    for (const path of modules) {
      const { type, body } = await asked(path);
      expect(type).toBe('text/javascript; charset=utf-8');
      const text = textOf(body);
      for (const [, name] of text.matchAll(/(?:\bfrom|\bimport)\s*["']([^"'\n]+)["']/g)) {
        const target = name!.startsWith('.') ? new URL(name!, `http://page${path}`).pathname : name!;
        expect(paths, `${path} imports ${name}`).toContain(target);
      }
      expect(text, path).not.toMatch(/^import type|: string\b.*=>/m);
    }
    expect(await page('/page/../../package.json', { encodings: '', etags: [] })).toBeUndefined();
    expect(await page('/page/alerts.js.map', { encodings: '', etags: [] })).toBeUndefined();
  });

  it('loads at first less than 150 kB', async () => {
    let bytes = 0;
    for (const path of await firstLoad()) {
      const { body, headers = {} } = await asked(path, 'gzip, br');
      expect(headers['content-encoding'], path).toBe('gzip');
      expect(gunzipSync(body).toString()).toBe(textOf((await asked(path)).body));
      bytes += Buffer.byteLength(body);
    }
    expect(bytes).toBeGreaterThan(30_000);
    expect(bytes).toBeLessThan(150_000);
  });

  it('is whole in the package: the build copies what is no module', () => {
    const { scripts } = JSON.parse(readSource('package.json')) as { scripts: Record<string, string> };
    const others = filesUnder('src/page').filter((path) => /\.(?:css|svg)$/.test(path));
    expect(others.length).toBeGreaterThan(2);
    for (const path of others)
      expect(scripts['build'], path).toContain(`'${path.slice('src/page/'.length)}'`);
  });

  it('is not sent again to who has it', async () => {
    const { headers = {} } = await asked('/page/style.css');
    const again = await asked('/page/style.css', 'gzip', [headers['etag']!]);
    expect(again).toMatchObject({ status: 304, body: '' });
  });

  /** Of the files as npm has them; another hash is another program, to be read before it is taken. */
  const PACKAGES = {
    'preact/dist/preact.mjs': 'bdcbd9abdf2c77c5',
    'preact/hooks/dist/hooks.mjs': 'e862ab2973aa6455',
    'htm/dist/htm.mjs': 'ab33dd3f38059b9b',
    'htm/preact/index.mjs': 'b3f51db71c12eabb',
    'uplot/dist/uPlot.iife.min.js': '19c8d4c6ad88929a',
    'uplot/dist/uPlot.min.css': 'df630c6a8d6f8eea',
    'uqr/dist/index.mjs': '7f0e61c2f13bb372',
  };
  const LICENSES = { preact: 'MIT', htm: 'Apache-2.0', uplot: 'MIT', uqr: 'MIT' };

  it('of packages is what was looked at, under licences that allow it', () => {
    const read = (path: string): Buffer =>
      readFileSync(new URL(`../../node_modules/${path}`, import.meta.url));
    const hashes = Object.keys(PACKAGES).map((path) => [
      path,
      createHash('sha256').update(read(path)).digest('hex').slice(0, 16),
    ]);
    expect(Object.fromEntries(hashes)).toEqual(PACKAGES);
    for (const [name, license] of Object.entries(LICENSES)) {
      expect(JSON.parse(read(`${name}/package.json`).toString())).toMatchObject({ license });
      expect(read(`${name}/LICENSE`).length).toBeGreaterThan(500);
    }
  });
});

describe('what others call themselves', () => {
  it('is text: no module of the page writes markup', () => {
    const ways =
      /innerHTML|outerHTML|insertAdjacentHTML|document\.write|dangerously|createContextualFragment|\beval\b/;
    const sources = filesUnder('src/page').filter((path) => path.endsWith('.ts'));
    expect(sources.length).toBeGreaterThan(20);
    expect(sources.filter((path) => ways.test(readSource(path)))).toEqual([]);
  });
});

describe('numbers', () => {
  it('have units that follow the size, and three digits that count', () => {
    expect(si(0, 'H/s')).toBe('0\u202fH/s');
    expect(si(999.7, 'H/s')).toBe('1.00\u202fkH/s');
    expect(si(1.234e15, 'H/s')).toBe('1.23\u202fPH/s');
    expect(si(-5e12, 'H')).toBe('−5.00\u202fTH');
    expect(si(Number.NaN, 'H')).toBe('–');
  });

  it('of money are exact', () => {
    expect(sats('1234567')).toBe('1\u202f234\u202f567\u202fsat');
    expect(btc('123456789')).toBe('1.23456789\u202fBTC');
    expect(btc(-1n)).toBe('−0.00000001\u202fBTC');
    fc.assert(
      fc.property(fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }), (value) => {
        expect(grouped(value).replaceAll('\u202f', '').replace('−', '-')).toBe(String(value));
      }),
    );
  });

  it('of time are the two largest units', () => {
    expect(span(0)).toBe('0\u202fs');
    expect(span(61_000)).toBe('1\u202fmin 1\u202fs');
    expect(span(3_600_000 * 27)).toBe('1\u202fd 3\u202fh');
    expect(span(3_600_000)).toBe('1\u202fh');
    expect(ago(0, 5)).toBe('–');
    expect(ago(10_000, 10_400)).toBe('now');
    expect(ago(10_000, 15_000)).toBe('5\u202fs ago');
    expect(percent(0.12345, 2)).toBe('12.35\u202f%');
  });

  it('of prices are those of the market: a day of 1 PH/s is 86.4 EH', () => {
    expect(price('532407')).toBe('46\u202f000\u202fsat/PH/day');
    expect(price('532407', 'BTC/EH/day')).toBe('0.460\u202fBTC/EH/day');
    expect(price('2000000000000000000')).toBe('172\u202f800\u202f000\u202fsat/MH/day');
  });
});

describe('rows of a table', () => {
  it('in the document are few, those that are seen, and keep their place', () => {
    const sizes = fc.record({
      count: fc.nat(100_000),
      top: fc.integer({ min: -500, max: 4_000_000 }),
      view: fc.nat(20_000),
    });
    fc.assert(
      fc.property(sizes, ({ count, top, view }) => {
        const { from, to, above, below } = windowOf(count, 36, top, view);
        expect(to - from).toBeLessThanOrEqual(200);
        expect(above + (to - from) * 36 + below).toBe(count * 36);
        expect(from).toBeGreaterThanOrEqual(0);
        const first = Math.floor(Math.max(0, top) / 36);
        if (count > 0 && first < count) expect(from <= first && first < to).toBe(true);
      }),
    );
  });
});

describe('events', () => {
  it('are the same however their parts come', () => {
    const text =
      'retry: 2000\nid: a-1\nevent: snapshot\ndata: {"a":1}\n\n:\n\nid: a-2\nevent: change\ndata: {"a":2}\n\n';
    const whole = new EventLines().push(text);
    expect(whole.map(({ id, event, data }) => [id, event, data])).toEqual([
      ['a-1', 'snapshot', '{"a":1}'],
      ['a-2', 'change', '{"a":2}'],
    ]);
    fc.assert(
      fc.property(fc.array(fc.nat(text.length)), (cuts) => {
        const lines = new EventLines();
        const ends = [...cuts.toSorted((a, b) => a - b), text.length];
        const parts = ends.map((end, index) => text.slice(index === 0 ? 0 : ends[index - 1]!, end));
        expect(parts.flatMap((part) => lines.push(part))).toEqual(whole);
      }),
    );
  });

  it('without an end are not gathered for ever', () => {
    const lines = new EventLines();
    expect(() => lines.push('x'.repeat(1_000_001))).toThrow(RangeError);
  });
});

describe('the braid', () => {
  it('has a column for each cohort, and one for what follows the last', () => {
    const beads = ['old', 'a', 'b', 'c', 'new'].map((hash) => ({
      hash,
      parents: hash === 'new' ? ['c'] : [],
    }));
    const places = placesOf([{ beads: ['a', 'b'] }, { beads: ['c'] }], beads);
    expect(Object.fromEntries(places)).toEqual({
      a: { column: 0, row: 0 },
      b: { column: 0, row: 1 },
      c: { column: 1, row: 0 },
      new: { column: 2, row: 0 },
    });
  });
});

describe('a chart of what was', () => {
  const rows = (...hours: readonly number[]) => hours.map((hour) => ({ at_ms: hour * 3_600_000, hour }));

  it('has the hours of the ledger before what the daemon remembers, each moment once', () => {
    const hoursOf = (all: readonly { readonly hour: number }[]) => all.map(({ hour }) => hour);
    expect(hoursOf(joined(rows(1, 2, 3, 4), rows(2.5, 2.6)))).toEqual([1, 2, 2.5, 2.6]);
    expect(hoursOf(joined(rows(1, 2), []))).toEqual([1, 2]);
    expect(hoursOf(joined([], rows(7)))).toEqual([7]);
  });

  it('breaks where the daemon did not run', () => {
    const { times, values } = plotted(rows(1, 2, 5, 5.1), [({ hour }) => hour, () => 9]);
    expect(times).toEqual([3600, 7200, 7201, 18_000, 18_360]);
    expect(values).toEqual([
      [1, 2, null, 5, 5.1],
      [9, 9, null, 9, 9],
    ]);
  });
});

describe('the timeline', () => {
  const row = (type: Happening['type'], before: string | null, after: string | null, note = '') => {
    return toldOf({
      ...{ number: 1, at_ms: 1, type, subject: 'farm', contract: null },
      before,
      after,
      note,
    });
  };

  it('says what happened in words, and whether that is good', () => {
    expect(row('block', '1', '3')).toEqual({ tone: 'good', says: '2 blocks were found, 3 in all.' });
    expect(row('switch', 'pool', 'none').tone).toBe('bad');
    expect(row('destination', 'down', 'up')).toEqual({ tone: 'good', says: 'farm gives work.' });
    expect(row('contract', 'pending', 'live').says).toBe('farm runs.');
    expect(row('channel', 'opening', 'funding').says).toMatch(/^The channel of farm waits/);
    expect(row('channel', 'funding', 'open').says).toBe('The channel of farm is open.');
    expect(row('went', '4', '5', 'rig7').says).toBe('rig7 went.');
    expect(row('came', '4', '9', 'rig7').says).toBe('rig7 and 4 others came.');
  });

  it('has words for every type, and for what is new or gone', () => {
    for (const type of timelineType.options)
      for (const [before, after] of [
        [null, '1'],
        ['1', '2'],
        ['1', null],
      ] as const) {
        const isCounted = ['block', 'came', 'went'].includes(type);
        if (isCounted && after === null) continue;
        const { says } = row(type, before, after);
        expect(says, type).toMatch(/^[A-Za-z0-9].*\.$/);
        expect(says, type).not.toMatch(/undefined|NaN/);
      }
  });
});
