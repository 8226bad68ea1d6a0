import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ACCEPTED_IN, LIFECYCLE_STATUSES } from '../../src/channel/lifecycle-state.ts';
import { methods } from '../../src/peer/messages.ts';
import { anySchedule, play, start } from './lifecycle-model.ts';

const TEXT = readFileSync(new URL('../../src/channel/PROTOCOL.md', import.meta.url), 'utf8');
const CAUSES = ['own', 'peer', 'chain', 'clock', 'person'];

/** The cells of a table whose first column has this heading; without the heading and its rule. */
function tableOf(heading: string): string[][] {
  const lines = TEXT.split('\n');
  const from = lines.findIndex((line) => line.startsWith(`| ${heading} |`));
  expect(from, `a table of each ${heading}`).toBeGreaterThan(0);
  const end = lines.findIndex((line, index) => index > from && !line.startsWith('|'));
  return lines.slice(from + 2, end === -1 ? undefined : end).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

const wordsOf = (cell: string): string[] => cell.split(',').flatMap((word) => word.trim() || []);
const namesOf = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!);
const sorted = (words: Iterable<string>): string[] => [...new Set(words)].sort((a, b) => (a < b ? -1 : 1));

type Row = {
  readonly events: readonly string[];
  readonly causes: string[];
  readonly statuses: string[];
  readonly arrows: string[];
  readonly effects: string[];
};

function rows(): Row[] {
  const all: Row[] = [];
  for (const [events = '', causes = '', statuses = '', arrows = '', effects = ''] of tableOf('event')) {
    if (events !== '') {
      all.push({ events: namesOf(events), causes: [], statuses: [], arrows: [], effects: [] });
    }
    const row = all.at(-1)!;
    row.causes.push(...wordsOf(causes));
    row.statuses.push(...wordsOf(statuses).flatMap(statusesOf));
    row.arrows.push(...wordsOf(arrows));
    row.effects.push(...namesOf(effects));
  }
  return all;
}

function statusesOf(word: string): readonly string[] {
  if (word === 'any') return LIFECYCLE_STATUSES;
  if (word === 'channel') return LIFECYCLE_STATUSES.filter((each) => !/proposed|failed/.test(each));
  return [word];
}

describe('the table of the machine', () => {
  it('has every event, and says where it is accepted, as the code does', () => {
    const said = rows().flatMap(({ events, statuses }) => events.map((event) => [event, sorted(statuses)]));
    const done = Object.entries(ACCEPTED_IN).map(([event, statuses]) => [event, sorted(statuses)]);
    expect(Object.fromEntries(said)).toEqual(Object.fromEntries(done));
    expect(said).toHaveLength(done.length);
    for (const { causes } of rows()) {
      expect(causes).not.toEqual([]);
      for (const cause of causes) expect(CAUSES).toContain(cause);
    }
  });

  it('has every arrow and effect that many lives have, and none that they have not', () => {
    const arrows = new Map<string, Set<string>>();
    const effects = new Map<string, Set<string>>();
    const put = (to: Map<string, Set<string>>, event: string, what: string): void => {
      to.set(event, (to.get(event) ?? new Set()).add(what));
    };
    // Always the same lives: what is rare among them is among them.
    for (const schedule of fc.sample(anySchedule, { numRuns: 12_000, seed: 7 })) {
      const life = start(schedule, ({ before, event, after, effects: seen }) => {
        if (before.status !== after.status) put(arrows, event.type, `${before.status} → ${after.status}`);
        for (const { type } of seen) put(effects, event.type, type);
      });
      play(life, schedule.ops);
    }
    const seenOf = (from: Map<string, Set<string>>, events: readonly string[]): string[] =>
      sorted(events.flatMap((event) => [...(from.get(event) ?? [])]));
    for (const row of rows()) {
      const { events } = row;
      expect({ events, arrows: sorted(row.arrows), effects: sorted(row.effects) }).toEqual({
        events,
        arrows: seenOf(arrows, events),
        effects: seenOf(effects, events),
      });
    }
  });
});

describe('the table of messages', () => {
  it('has every method of the peers and no other', () => {
    const said = tableOf('method').flatMap(([name = '']) => namesOf(name));
    expect(sorted(said)).toEqual(sorted(Object.keys(methods)));
    expect(said).toHaveLength(Object.keys(methods).length);
  });
});

describe('the text', () => {
  it('has no line of more than 140 characters', () => {
    expect(TEXT.split('\n').filter((line) => line.length > 140)).toEqual([]);
  });
});
